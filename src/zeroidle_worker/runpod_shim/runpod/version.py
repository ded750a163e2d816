"""The version of RunPod's SDK whose behaviour the light module has."""

from __future__ import annotations

from zeroidle_worker.outcome import RUNPOD_VERSION as __version__


def get_version() -> str:
    """That version."""
    return __version__


__all__ = ["__version__", "get_version"]
