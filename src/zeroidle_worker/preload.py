"""Notes what a handler's import brought in, so that a fork server can import the same before it is needed."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from types import ModuleType
from typing import Any, Dict, List, Optional

VERSION = 1


def record(path: str, reason: Optional[str] = None) -> None:
    """Writes the list of imported library modules to `path`, whole or not at all.

    `reason` says why a fork server makes no sense here; then there is no list. A disk that cannot be written costs a
    quick start later and nothing now.
    """
    content: Dict[str, Any] = {"version": VERSION, "modules": None if reason else library_modules(), "reason": reason}
    part = "%s.%d" % (path, os.getpid())
    try:
        with open(part, "w") as file:
            json.dump(content, file)
        os.replace(part, path)
    except OSError:
        pass


def library_modules() -> List[str]:
    """Names of what was imported from the standard library, from installed packages and of the worker itself, in the
    order of import. The user's own modules are left out: they may change, and running them is not ours to repeat."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots = tuple(os.path.realpath(place) + os.sep for place in places if place)
    own = os.path.dirname(os.path.abspath(__file__)) + os.sep
    return [name for name, module in list(sys.modules.items()) if _is_library(name, module, roots, own)]


def _is_library(name: str, module: Optional[ModuleType], roots: Any, own: str) -> bool:
    spec = getattr(module, "__spec__", None)
    if spec is None or spec.name != name or name == "__main__":
        return False  # an alias or something made at run time cannot be imported by this name
    if name.partition(".")[0] == "zeroidle_worker":
        return True
    origin = spec.origin or ""
    if not origin or origin in ("built-in", "frozen"):
        return origin != "" or bool(spec.submodule_search_locations)
    if origin.startswith(own):  # our light `runpod` is put in place anew in each worker
        return False
    return os.path.realpath(origin).startswith(roots)
