"""What a fleet starts in place of our own worker: the handler's file and nothing else, `python handler.py`."""

import os
import sys

# Some versions keep the running jobs in a file of the current folder, and a killed worker leaves it behind.
os.chdir(os.environ["ZEROIDLE_SCRATCH"])
os.execv(sys.executable, [sys.executable, os.environ["ZEROIDLE_HANDLER"]])
