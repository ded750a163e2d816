"""When a webhook that was not taken is sent again, and when it is given up."""

from __future__ import annotations

from msgspec import Struct


class Schedule(Struct, frozen=True):
    """Waits, in seconds: before the second try, the longest, and how long after a job's end its webhook is given up.
    Each wait is `factor` times the one before, and spread by the share `jitter` to both sides, so that what failed
    together does not come back together."""

    first_s: float = 5.0
    factor: float = 2.5
    longest_s: float = 3600.0
    give_up_s: float = 24 * 3600.0
    jitter: float = 0.2

    def next_try_s(self, attempts: int, random: float, retry_after_s: float | None = None) -> float:
        """Seconds until the next try after `attempts` failed ones; `random` is from 0 to 1. A receiver that names a
        later time gets its way, up to the longest wait."""
        wait = min(self.longest_s, self.first_s * self.factor ** min(attempts - 1, 50))
        wait *= 1 + self.jitter * (2 * random - 1)
        return max(wait, min(retry_after_s or 0.0, self.longest_s))

    def given_up(self, created_at: float, next_at: float) -> bool:
        """Whether a try at `next_at` is too late."""
        return next_at > created_at + self.give_up_s


#: For a day: after 5 s, 13 s, 31 s ... and then every hour.
DAY = Schedule()


def retry_after_s(header: str | None, now: float) -> float | None:
    """The wait that a Retry-After header asks for: seconds, or an HTTP date. None when it asks for nothing."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header.strip()[:9])
    import email.utils  # seldom needed, and a megabyte

    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
