"""How long to wait before the next start when starts fail or workers crash."""

from __future__ import annotations

from msgspec import Struct

#: Seconds before the second try and the longest wait: for a start that failed for a reason that may pass, for one
#: whose reason stays until somebody changes something, and for a worker that was ready and then ended unasked.
TRANSIENT_S = (1.0, 60.0)
PERMANENT_S = (5.0, 60.0)
CRASH_S = (0.5, 30.0)

#: So many crashes in a row wait for nothing: one poison job, tried again, must not hold up the others.
FREE_CRASHES = 2


class Backoff(Struct):
    """Doubling waits, on the caller's clock: starts are allowed from `until` on."""

    failures: int = 0
    crashes: int = 0
    permanent: bool = False
    _after_failure: float = 0.0
    _after_crash: float = 0.0

    @property
    def until(self) -> float:
        """When the next start is allowed."""
        return max(self._after_failure, self._after_crash)

    @property
    def probing(self) -> bool:
        """Whether only one worker may be tried at a time."""
        return self.failures > 0 or self.crashes > FREE_CRASHES

    def start_failed(self, now: float, permanent: bool) -> None:
        """A worker ended before it was ready."""
        self.failures += 1
        self.permanent = permanent
        self._after_failure = now + _delay(self.failures, PERMANENT_S if permanent else TRANSIENT_S)

    def crashed(self, now: float) -> None:
        """A worker that was ready ended without being asked."""
        self.crashes += 1
        if self.crashes > FREE_CRASHES:
            self._after_crash = now + _delay(self.crashes - FREE_CRASHES, CRASH_S)

    def ready(self) -> None:
        """A start went well."""
        self.failures, self.permanent, self._after_failure = 0, False, 0.0

    def worked(self) -> None:
        """A worker ended a job, so the handler works."""
        self.crashes, self._after_crash = 0, 0.0

    def reset(self) -> None:
        """The endpoint was changed."""
        self.ready()
        self.worked()


def _delay(count: int, limits: tuple[float, float]) -> float:
    base, cap = limits
    return min(cap, base * 2.0 ** min(count - 1, 30))
