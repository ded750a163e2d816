"""How a volume goes about its work: numbers that a user or a test may set."""

from __future__ import annotations

import os
from dataclasses import dataclass

from zeroidle.errors import ConfigError
from zeroidle.volume.retry import Backoff

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """`streams` connections at once; `bandwidth` caps all of them together, in bytes per second; `stall_s` is how
    long a connection may bring nothing. A downloader that other hosts cannot see beating for `ttl_s` is taken for
    dead; it beats every `beat_s`. `reserve_bytes` of the disk stay free. Segments are what one request asks for."""

    streams: int = 8
    bandwidth: float | None = None
    stall_s: float = 20.0
    ttl_s: float = 20.0
    beat_s: float = 2.0
    poll_s: float = 0.25
    retries: int = 8
    retry_first_s: float = 0.5
    retry_longest_s: float = 30.0
    reserve_bytes: int = 64 * MIB
    segment_bytes: int = 16 * MIB
    segment_most_bytes: int = 256 * MIB
    buffer_bytes: int = MIB

    def backoff(self) -> Backoff:
        """A fresh series of waits."""
        return Backoff(self.retry_first_s, self.retry_longest_s, self.retries)


_NUMBERS: dict[str, tuple[str, type]] = {
    "ZEROIDLE_VOLUME_STREAMS": ("streams", int),
    "ZEROIDLE_VOLUME_STALL_S": ("stall_s", float),
    "ZEROIDLE_VOLUME_TTL_S": ("ttl_s", float),
    "ZEROIDLE_VOLUME_BEAT_S": ("beat_s", float),
    "ZEROIDLE_VOLUME_RETRIES": ("retries", int),
    "ZEROIDLE_VOLUME_RETRY_FIRST_S": ("retry_first_s", float),
    "ZEROIDLE_VOLUME_RETRY_LONGEST_S": ("retry_longest_s", float),
    "ZEROIDLE_VOLUME_RESERVE_BYTES": ("reserve_bytes", int),
}

#: The variables that `options_from` reads, for the reference page.
VARIABLES = tuple(_NUMBERS)


def options_from(environ: dict[str, str] | None = None, **given: object) -> Options:
    """The defaults, overridden by ZEROIDLE_VOLUME_* variables, overridden by what is given and not None. Raises
    ConfigError for a variable that is no number."""
    env = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for name, (field, kind) in _NUMBERS.items():
        if env.get(name):
            try:
                values[field] = kind(env[name])
            except ValueError:
                raise ConfigError(f"{name} is {env[name]!r}; it must be a number.") from None
    values.update({key: value for key, value in given.items() if value is not None})
    return Options(**values)  # type: ignore[arg-type]  # checked field by field above
