"""A recording that a plain job sends: by URL, data URL or base64 text."""

from __future__ import annotations

from typing import Any

from .errors import InputError, MissingProgram


def recording(value: Any) -> Any:
    """The recording as a file with a `path` that lives as long as the object. Raises InputError.

    What the plane's own file type checks is checked here too: size, time, addresses inside the network, and that it
    is sound at all.
    """
    try:
        import zeroidle
    except ImportError as exc:
        raise MissingProgram('Audio needs the package "zeroidle" in this environment: pip install zeroidle.') from exc
    _, load = zeroidle.Audio.__zeroidle_kind__()
    try:
        return load(value, "audio")
    except zeroidle.InputError as exc:
        raise InputError(str(exc)) from exc
