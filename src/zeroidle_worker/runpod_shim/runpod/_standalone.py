"""Makes `zeroidle_worker` importable where only this folder is on the path."""

from __future__ import annotations

import importlib.util
import os
import sys


def make_importable() -> None:
    """Loads the package by file, as its `__main__` does."""
    if importlib.util.find_spec("zeroidle_worker") is not None:
        return
    here = os.path.abspath(__file__)
    folder = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    spec = importlib.util.spec_from_file_location(
        "zeroidle_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zeroidle_worker"] = module
    spec.loader.exec_module(module)
