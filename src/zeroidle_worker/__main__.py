"""The program that a plane starts: `PYTHON .../zeroidle_worker/__main__.py`.

It loads its own package by file, so that nothing of the plane's environment is on the path of the handler.
"""

from __future__ import annotations

import importlib.util
import os
import sys


def main() -> None:
    """Makes `zeroidle_worker` importable, takes its folder off the path, and boots."""
    folder = os.path.dirname(os.path.abspath(__file__))
    # Python put our folder first: `import run` in a handler must not find our run.py.
    sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != folder]
    if "zeroidle_worker" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "zeroidle_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )
        if spec is None or spec.loader is None:
            raise SystemExit("The folder %s does not hold the worker; install zeroidle again." % folder)
        module = importlib.util.module_from_spec(spec)
        sys.modules["zeroidle_worker"] = module
        spec.loader.exec_module(module)
    if "ZEROIDLE_ZYGOTE_FD" in os.environ:
        from zeroidle_worker import zygote

        zygote.main()
    import zeroidle_worker.boot

    zeroidle_worker.boot.main()


if __name__ == "__main__":
    main()
