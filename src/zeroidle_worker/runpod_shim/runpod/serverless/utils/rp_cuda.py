"""Whether there is a GPU, without torch."""

from __future__ import annotations


def is_available() -> bool:
    """Whether `nvidia-smi` runs and finds its driver."""
    import subprocess

    try:
        output = subprocess.check_output(["nvidia-smi"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return False
    return b"NVIDIA-SMI" in output
