"""What a peer of the HTTP server may take of it."""

from __future__ import annotations

from msgspec import Struct


class HttpLimits(Struct, frozen=True):
    """How much and how long a peer may take.

    A body has no total time, but it must keep moving: at most `body_s` between two pieces, and, `body_s` set aside,
    `body_bytes_per_s` on average, so that nobody holds a connection with a byte now and then.
    """

    head_bytes: int = 64 * 1024
    url_bytes: int = 16 * 1024
    header_count: int = 100
    head_s: float = 10.0
    body_s: float = 30.0
    body_bytes_per_s: float = 1024.0
    idle_s: float = 75.0
    write_s: float = 60.0
    linger_s: float = 5.0
    linger_bytes: int = 64 * 1024 * 1024
