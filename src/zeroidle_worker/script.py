"""Runs the handler's file as `python handler.py` would: as `__main__`, its folder first on the path."""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType


def run_script(path: str) -> None:
    """Executes the file. Raises whatever it raises."""
    put_first(os.path.dirname(path))
    sys.argv[:] = [path]
    module = ModuleType("__main__")
    # What multiprocessing and pickle look for in the main module.
    module.__dict__.update(__file__=path, __builtins__=__builtins__, __cached__=None, __spec__=None)
    module.__loader__ = SourceFileLoader("__main__", path)
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102 (it is the user's program)


def put_first(folder: str) -> None:
    """Makes the handler's own folder the first place of imports, and the endpoint's root, which is the working
    directory, the second: there several endpoints of one project keep what they share."""
    root = os.getcwd()
    if root != folder and root not in sys.path:
        sys.path.insert(0, root)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)


def declares_only(path: str) -> bool:
    """Whether the text shows a file of `@endpoint` declarations, which never calls `runpod.serverless.start`.

    Such a file is imported under its own name, so that what stands under `if __name__ == "__main__"` does not run.
    """
    with open(path, "rb") as file:
        text = file.read()
    return b"zeroidle" in text and b"endpoint" in text and b"runpod" not in text
