"""Goes through the motions of a start in a child that was forked ahead.

A forked process shares its pages until it writes to them, and counting references is writing: the first run through
the interpreter's own machinery copies some hundred pages. That is half of a forked start; done before somebody waits
for it, it is no part of the start.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from importlib.machinery import PathFinder

#: Something of everything that the text of a handler makes: a class, a function, a comprehension.
_TEXT = "class A:\n  def f(self, n=1):\n    return [i for i in range(n)]\nA().f()\n"


def warm_up() -> None:
    """Touches what a start touches and changes nothing."""
    environ = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    _find("runpod", [os.path.join(os.path.dirname(os.path.abspath(__file__)), "runpod_shim")])
    with contextlib.suppress(ImportError):
        importlib.import_module("_zeroidle_is_not_here")  # asks every finder
    exec(compile(_TEXT, "<warm>", "exec", dont_inherit=True), {"__name__": "warm"})  # noqa: S102
    json.loads(json.dumps({"a": [1, 2.5, "x", None]}))


def _find(name: str, path: "list[str]") -> None:
    """Reads the code of a package and runs nothing."""
    spec = PathFinder.find_spec(name, path)
    if spec is not None and spec.loader is not None:
        spec.loader.get_code(name)  # type: ignore[attr-defined]  # a loader of source files
        for folder in spec.submodule_search_locations or ():
            inner = PathFinder.find_spec(name + ".serverless", [folder])
            if inner is not None and inner.loader is not None:
                inner.loader.get_code(name + ".serverless")  # type: ignore[attr-defined]
