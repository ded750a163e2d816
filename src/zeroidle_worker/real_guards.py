"""What is put right while modules of the real `runpod` package are imported; the package itself stays as it is."""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import os
import sys
from types import ModuleType
from typing import Any, Callable, ContextManager, Dict, Iterator, Optional, Sequence

#: Called with the module after it was executed.
Edit = Callable[[ModuleType], None]

#: Surrounds the execution of a module.
Around = Callable[[], ContextManager[None]]


class Guards:
    """Import hooks for the few modules that need one. `on_start` is called when the handler's file calls
    `runpod.serverless.start`; `scratch` is a folder of this worker alone."""

    def __init__(self, scratch: str, on_start: Callable[[], None]) -> None:
        self._on_start = on_start
        self._arounds: Dict[str, Around] = {
            # 1.7.12 to 1.10.0 keep the running jobs in a file of the folder that is current at this import. One
            # that an earlier worker left, or that two workers share, makes a worker believe that it is busy.
            "runpod.serverless.modules.worker_state": functools.partial(_inside, scratch),
            # py-cpuinfo sleeps for a second to measure the clock; the package wants the processor's name for a log.
            "runpod.serverless.utils.rp_debugger": _light_cpuinfo,
        }
        self._edits: Dict[str, Edit] = {
            "runpod.serverless": self._note_start,
            "runpod.http_client": _worker_key_only,
        }

    def install(self) -> None:
        """Puts the hooks before the usual way of importing."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """The usual spec, with a loader around its own where one of ours is due."""
        around, edit = self._arounds.get(name), self._edits.get(name)
        if around is None and edit is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, around or contextlib.nullcontext, edit)  # type: ignore[assignment]
        return spec

    def _note_start(self, module: ModuleType) -> None:
        start = getattr(module, "start", None)
        if start is None:
            return

        @functools.wraps(start)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self._on_start()
            return start(*args, **kwargs)

        module.start = noted  # type: ignore[attr-defined]


def _worker_key_only(module: ModuleType) -> None:
    """A key in ~/.runpod/config.toml would go to the plane in place of the worker's own."""
    if hasattr(module, "get_credentials"):
        module.get_credentials = lambda *args, **kwargs: None  # type: ignore[attr-defined]


class _Loader:
    """A loader that does something around and after the execution of its module."""

    def __init__(self, loader: Any, around: Around, edit: Optional[Edit]) -> None:
        self._loader = loader
        self._around = around
        self._edit = edit

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[ModuleType]:
        module: Optional[ModuleType] = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        with self._around():
            self._loader.exec_module(module)
        if self._edit is not None:
            self._edit(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # get_source, get_data, ...: tracebacks and resources ask for them


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    os.makedirs(folder, exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _light_cpuinfo() -> Iterator[None]:
    if "cpuinfo" in sys.modules:  # the handler wanted it first
        yield
        return
    light = ModuleType("cpuinfo")
    light.get_cpu_info = _cpu_info  # type: ignore[attr-defined]
    sys.modules["cpuinfo"] = light
    try:
        yield
    finally:
        if sys.modules.get("cpuinfo") is light:  # a handler that imports it gets the true one
            del sys.modules["cpuinfo"]


def _cpu_info() -> Dict[str, str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return {"brand_raw": names[0]} if names else {}
