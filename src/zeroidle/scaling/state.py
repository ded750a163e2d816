"""What the scaling loop knows of an endpoint, for `why` and `ps`."""

from __future__ import annotations

from msgspec import Struct


class ScalingState(Struct, frozen=True):
    """A snapshot. `backoff_until` is a Unix time, set only while starts are held back; `failures` counts starts
    that failed in a row, `crashes` workers that were ready and then ended unasked; `permanent` says that the last
    start failed for a reason that stays until somebody changes something. `last_error` is the traceback or the
    last log lines of `last_worker`, `last_exit` says how it ended. `boot_s` is the expected start time in seconds.
    """

    endpoint: str
    wanted: int = 0
    starting: int = 0
    ready: int = 0
    draining: int = 0
    failures: int = 0
    crashes: int = 0
    permanent: bool = False
    backoff_until: float | None = None
    last_worker: str | None = None
    last_exit: str | None = None
    last_error: str | None = None
    last_error_kind: str | None = None
    boot_s: float = 1.0
