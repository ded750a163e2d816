"""ZeroIdle: any Python handler becomes a durable API endpoint that costs nothing while nobody calls.

The names for writing an endpoint. They are those of the worker's own package, so that they also work in a handler's
environment in which ZeroIdle is not installed.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zeroidle_worker import context as context
    from zeroidle_worker.api.declare import endpoint as endpoint
    from zeroidle_worker.api.errors import InputError as InputError
    from zeroidle_worker.api.files import Audio as Audio
    from zeroidle_worker.api.files import File as File
    from zeroidle_worker.api.files import Image as Image
    from zeroidle_worker.api.scalars import Limits as Limits
    from zeroidle_worker.api.weights import Weights as Weights
    from zeroidle_worker.context import cancelled as cancelled
    from zeroidle_worker.context import progress as progress
    from zeroidle_worker.joblog import log as log

__all__ = [
    "Audio", "File", "Image", "InputError", "Limits", "Weights", "cancelled", "context", "endpoint", "log", "progress",
]  # fmt: skip


def __getattr__(name: str) -> object:
    # On demand: a worker that needs `endpoint` alone does not pay for files and downloads.
    from zeroidle_worker.api.names import find

    return find(name, __name__)


class _Package(ModuleType):
    """The import system puts the submodule `zeroidle.endpoint` in the place of the public name `endpoint`; the module
    stays reachable by `from zeroidle.endpoint import ...`, the name stays the decorator."""

    def __setattr__(self, name: str, value: object) -> None:
        if name != "endpoint" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
