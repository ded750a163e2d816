"""A cap on bandwidth that all streams share."""

from __future__ import annotations

import threading
import time


class RateLimit:
    """A token bucket. `bytes_per_s` None means no cap; the bucket holds a quarter of a second."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, size_bytes: int, cancel: threading.Event) -> None:
        """Waits until so many bytes may pass. Returns early when `cancel` is set."""
        if not self.bytes_per_s:
            return
        with self._lock:
            now = time.monotonic()
            begin = max(self._free_at, now - 0.25)
            self._free_at = begin + size_bytes / self.bytes_per_s
            wait_s = self._free_at - now
        if wait_s > 0:
            cancel.wait(wait_s)

    def piece(self, buffer_bytes: int) -> int:
        """How much to read at once so that the flow stays even: at most a tenth of a second's worth."""
        if not self.bytes_per_s:
            return buffer_bytes
        return max(4096, min(buffer_bytes, int(self.bytes_per_s / 10)))
