"""Which device a neural backend runs on."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import MissingProgram


def choose() -> str:
    """ "cuda" when torch sees a GPU, else "cpu"; SPEECH_DEVICE wins."""
    import torch

    return os.environ.get("SPEECH_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def missing(package: str, backend: str, exc: ImportError) -> MissingProgram:
    """The error for a backend whose packages are not installed."""
    return MissingProgram(
        f'The backend "{backend}" needs the package "{package}" in this worker\'s environment ({exc}): '
        f"see speech/requirements-{'espnet' if backend == 'powsm' else 'transformers'}.txt of the recipe."
    )


def label(backend: str, folder: Path) -> str:
    """The name of a model in an answer: never the whole path, which is the operator's business."""
    return f"{backend} {folder.name}"
