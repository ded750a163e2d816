"""`zeroidle` where it is not installed: the names that a handler's file uses, for the child processes of a handler."""

from __future__ import annotations

import importlib
import sys

if "zeroidle_worker" not in sys.modules:
    importlib.import_module("_zeroidle_standalone").make_importable()

from zeroidle_worker.api import names

__getattr__ = names.find
