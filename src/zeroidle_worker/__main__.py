"""The program that a plane starts: `PYTHON .../zeroidle_worker/__main__.py`.

It loads its own package by file, so that nothing of the plane's environment is on the path of the handler.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType


def main() -> None:
    """Makes `zeroidle_worker` importable, takes its folder off the path, and boots."""
    folder = os.path.dirname(os.path.abspath(__file__))
    # Python put our folder first: `import run` in a handler must not find our run.py.
    sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != folder]
    if "zeroidle_worker" not in sys.modules:
        _load_package(folder)
    if "ZEROIDLE_ZYGOTE_FD" in os.environ:
        from zeroidle_worker import zygote

        zygote.main()
    import zeroidle_worker.boot

    zeroidle_worker.boot.main()


def _load_package(folder: str) -> None:
    # By hand, because importlib.util would be imported for two calls and costs a tenth of the start.
    path = os.path.join(folder, "__init__.py")
    loader = SourceFileLoader("zeroidle_worker", path)
    module = ModuleType("zeroidle_worker")
    module.__file__, module.__path__, module.__loader__ = path, [folder], loader
    module.__spec__ = ModuleSpec("zeroidle_worker", loader, origin=path, is_package=True)
    module.__spec__.submodule_search_locations = [folder]
    sys.modules["zeroidle_worker"] = module
    loader.exec_module(module)


if __name__ == "__main__":
    main()
