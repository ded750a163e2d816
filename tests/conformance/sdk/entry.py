"""What a fleet starts in place of our own worker: the handler's file and nothing else, `python handler.py`."""

import os
import sys

os.execv(sys.executable, [sys.executable, os.environ["ZEROIDLE_HANDLER"]])
