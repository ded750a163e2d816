"""Imports a user's file under its own name: `if __name__ == "__main__"` does not run, and pickling works."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import List

from zeroidle_worker.api import declare
from zeroidle_worker.api.declare import Declared
from zeroidle_worker.script import put_first


def load_file(path: str) -> List[Declared]:
    """Runs the file as a module and answers what it declares. Its folder comes first on the path, then the root."""
    path = os.path.abspath(path)
    folder, name = os.path.dirname(path), os.path.splitext(os.path.basename(path))[0]
    put_first(folder)
    if not name.isidentifier() or name in sys.modules:
        name = "zeroidle_handler"
    # As importlib.util does it, which a worker imports for nothing else.
    loader = SourceFileLoader(name, path)
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader, origin=path)
    module.__spec__.has_location = True
    module.__file__, module.__loader__ = path, loader
    sys.modules[name] = module
    loader.exec_module(module)
    return [d for d in declare.DECLARED if d.target.__module__ == name] or list(declare.DECLARED)
