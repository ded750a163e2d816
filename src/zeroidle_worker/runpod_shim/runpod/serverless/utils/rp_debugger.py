"""Named stretches of time within a job."""

from __future__ import annotations

import datetime
import os
import time
from typing import Any, Callable, Dict, List, Optional


def _utc() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat() + "Z"


class Checkpoints:
    """All checkpoints of the process; cleared after each job."""

    _instance: Optional["Checkpoints"] = None
    checkpoints: List[Dict[str, Any]]
    name_lookup: Dict[str, int]

    def __new__(cls) -> "Checkpoints":
        """Always the same object."""
        if Checkpoints._instance is None:
            Checkpoints._instance = object.__new__(cls)
            Checkpoints._instance.clear()
        return Checkpoints._instance

    def add(self, name: str) -> None:
        """Makes a checkpoint. Raises KeyError when the name is taken."""
        if name in self.name_lookup:
            raise KeyError('Checkpoint name "%s" already exists.' % name)
        self.name_lookup[name] = len(self.checkpoints)
        self.checkpoints.append({"name": name})

    def start(self, name: str) -> None:
        """Begins a stretch. Raises KeyError for an unknown name."""
        self._named(name).update(start=time.perf_counter(), start_utc=_utc())

    def stop(self, name: str) -> None:
        """Ends a stretch. Raises KeyError for an unknown name or one that was not begun."""
        found = self._named(name)
        if "start" not in found:
            raise KeyError("Checkpoint has not been started.")
        found.update(end=time.perf_counter(), stop_utc=_utc())

    def _named(self, name: str) -> Dict[str, Any]:
        if name not in self.name_lookup:
            raise KeyError("Checkpoint name '%s' does not exist." % name)
        return self.checkpoints[self.name_lookup[name]]

    def get_checkpoints(self) -> List[Dict[str, Any]]:
        """Those that have ended: name, start_utc, stop_utc, duration_ms."""
        results = []
        for checkpoint in self.checkpoints:
            if "start" in checkpoint and "end" in checkpoint:
                checkpoint["duration_ms"] = (checkpoint.pop("end") - checkpoint.pop("start")) * 1000
                results.append(checkpoint)
        return results

    def clear(self) -> None:
        """Forgets all."""
        self.checkpoints = []
        self.name_lookup = {}


class LineTimer:
    """Times a block: `with LineTimer("load"):`."""

    def __init__(self, name: str) -> None:
        self.checkpoints = Checkpoints()
        self.name = name
        self.checkpoints.add(self.name)

    def __enter__(self) -> None:
        self.checkpoints.start(self.name)

    def __exit__(self, *args: Any) -> None:
        self.checkpoints.stop(self.name)


class FunctionTimer:
    """Decorator that times a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.checkpoints = Checkpoints()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self.function.__name__
        self.checkpoints.add(name)
        try:
            self.checkpoints.start(name)
            return self.function(*args, **kwargs)
        finally:
            if name in self.checkpoints.name_lookup:
                self.checkpoints.stop(name)


def get_debugger_output() -> Dict[str, Any]:
    """The checkpoints and what machine this is; the checkpoints are cleared."""
    import platform

    import runpod

    checkpoints = Checkpoints()
    timestamps = checkpoints.get_checkpoints()
    checkpoints.clear()
    system_info = {
        "os": "%s %s" % (platform.system(), platform.release()),
        "processor": _processor(),
        "python_version": platform.python_version(),
        "runpod": runpod.__version__,
    }
    return {"system_info": system_info, "timestamps": timestamps}


def clear_debugger_output() -> None:
    """Forgets all checkpoints."""
    Checkpoints().clear()


def _processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return "Unable to get processor info."
