"""The public names and where they are; and a `zeroidle` module for environments in which ZeroIdle is not installed."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from types import ModuleType
from typing import Any, Optional, Sequence

NAMES = {
    "Audio": "zeroidle_worker.api.files",
    "File": "zeroidle_worker.api.files",
    "Image": "zeroidle_worker.api.files",
    "InputError": "zeroidle_worker.api.errors",
    "Limits": "zeroidle_worker.api.scalars",
    "Weights": "zeroidle_worker.api.weights",
    "cancelled": "zeroidle_worker.context",
    "context": "zeroidle_worker",
    "endpoint": "zeroidle_worker.api.declare",
    "log": "zeroidle_worker.joblog",
    "progress": "zeroidle_worker.context",
}


def find(name: str, module: str = "zeroidle") -> Any:
    """The public object of that name. Raises AttributeError as a module does."""
    where = NAMES.get(name)
    if where is None:
        raise AttributeError("module %r has no attribute %r" % (module, name))
    if name == "context":
        return importlib.import_module("zeroidle_worker.context")
    return getattr(importlib.import_module(where), name)


class _Finder:
    """Answers `import zeroidle` when nothing else does: it stands last. A finder and loader by its methods alone:
    their base classes in importlib.abc cost more to import than the rest of a worker."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """A spec for `zeroidle` only."""
        if fullname != "zeroidle":
            return None
        return importlib.machinery.ModuleSpec(fullname, self)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[ModuleType]:
        """The usual one."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module its lazy names."""
        module.__dict__["__getattr__"] = find
        module.__dict__["__all__"] = sorted(NAMES)


def install() -> None:
    """Makes `from zeroidle import endpoint` work in this process, whatever is installed."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
