"""Makes `zeroidle_worker` importable in a process that has only this folder on its path: a child of a handler."""

from __future__ import annotations

import importlib.util
import os
import sys


def make_importable() -> None:
    """Loads the package by file, as its `__main__` does, unless it is installed."""
    if importlib.util.find_spec("zeroidle_worker") is not None:
        return
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = importlib.util.spec_from_file_location(
        "zeroidle_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zeroidle_worker"] = module
    spec.loader.exec_module(module)
