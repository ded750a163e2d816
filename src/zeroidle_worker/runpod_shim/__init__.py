"""Puts our light `runpod` module before any installed one, and goes over to the real one when that is needed."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, Optional, Sequence

if TYPE_CHECKING:
    from zeroidle_worker.boot import Boot

_HERE = os.path.dirname(os.path.abspath(__file__))


class Finder:
    """Finds `runpod` and what is below it in our folder, before any other finder is asked."""

    def find_spec(
        self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        """The spec of one of our modules; what we lack brings in the real package."""
        if name != "runpod" and not name.startswith("runpod."):
            return None
        spec = PathFinder.find_spec(name, [_HERE] if path is None else path)
        if spec is None:
            need_real(name)
        return spec


def install(boot: Boot) -> None:
    """Makes `import runpod` find the light module in this process."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    # A child that multiprocessing spawns imports the handler's file anew and gets our sys.path, last in which the
    # light modules of this folder stand in for real ones that are not installed.
    if _HERE not in sys.path:
        sys.path.append(_HERE)


def need_real(name: str) -> None:
    """Something of `runpod` is asked for that the light module lacks. In `auto` mode the process starts again with the
    real package, when its interpreter has one. Returns when it cannot: the caller raises what Python raises."""
    from zeroidle_worker import boot

    worker = boot.booted
    if worker is None or worker.settings.sdk != "auto":
        return
    if not real_is_installed():
        from zeroidle_worker.sdk_names import known

        if known(name):
            worker.fail("real-sdk-missing", _SENTENCE % (name, sys.executable, sys.executable))
        return
    start_again(worker, name)


_SENTENCE = (
    "The handler uses %s, which the light runpod module does not have, and the real package is not installed for %s; "
    "run %s -m pip install runpod."
)


def real_is_installed() -> bool:
    """Whether this interpreter has the real package."""
    return PathFinder.find_spec("runpod", [entry for entry in sys.path if entry != _HERE]) is not None


def start_again(worker: Boot, name: str) -> NoReturn:
    """Replaces this process's program by a worker with the real package, on the same connection."""
    from zeroidle_worker import current, outcome, wire

    outcome.log_text("%s is not in the light runpod module: starting again with the real package." % name)
    held = list(current.worker.jobs)
    if held:
        worker.link.push(wire.pack(wire.TAKE, {"n": 0}))
        worker.link.push(wire.pack(wire.RELEASE, {"ids": held}))
    settings = worker.settings
    env = {**os.environ, **settings.taken, **worker.hidden}
    env["ZEROIDLE_SDK"] = "real"
    env["ZEROIDLE_SOCKET_FD"] = str(worker.link.keep_open())
    if settings.parent_fd is not None:
        os.set_inheritable(settings.parent_fd, True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    entry = os.path.join(os.path.dirname(_HERE), "__main__.py")
    os.execve(sys.executable, [sys.executable, entry], env)
