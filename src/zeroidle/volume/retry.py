"""When and how long to wait before trying again."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 530})


class TransferError(Exception):
    """One attempt failed. `retryable` says whether another may succeed, `wait_s` is what the server asked for,
    `signed` that a redirect's target refused, which a fresh redirect may cure."""

    def __init__(self, reason: str, retryable: bool = True, wait_s: float | None = None, signed: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.wait_s = wait_s
        self.signed = signed


class NoRanges(TransferError):
    """The server cannot send a part of a file."""


class Changed(TransferError):
    """The file on the server is no longer the one that was begun."""


@dataclass(slots=True)
class Backoff:
    """Exponential with full jitter; progress starts it afresh. Times in seconds."""

    first_s: float = 0.5
    longest_s: float = 30.0
    most: int = 8
    failures: int = 0

    def progress(self) -> None:
        """Bytes have arrived."""
        self.failures = 0

    def next_s(self, error: TransferError) -> float | None:
        """How long to wait after a failure; None when it is time to give up."""
        self.failures += 1
        if not error.retryable or self.failures >= self.most:
            return None
        ceiling = min(self.longest_s, self.first_s * 2 ** (self.failures - 1))
        jitter = random.uniform(ceiling / 4, ceiling)
        return max(jitter, error.wait_s) if error.wait_s is not None else jitter


def retry_after_s(value: str | None) -> float | None:
    """The seconds of a Retry-After header, which is a number or a date; at most ten minutes."""
    if not value:
        return None
    text = value.strip()
    if text.isdigit():
        return min(600.0, float(text))
    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None
    return min(600.0, max(0.0, when - time.time()))
