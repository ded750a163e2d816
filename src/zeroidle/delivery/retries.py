"""When a webhook that was not taken is sent again, and when it is given up."""

from __future__ import annotations

import email.utils

#: Seconds before the second try, what each further wait is multiplied by, and the longest wait.
FIRST_S, FACTOR, LONGEST_S = 5.0, 2.5, 3600.0

#: Waits are spread by this share to both sides, so that what failed together does not come back together.
JITTER = 0.2

#: A webhook is given up so long after the job's end.
GIVE_UP_S = 24 * 3600.0


def next_try_s(attempts: int, random: float, retry_after_s: float | None = None) -> float:
    """Seconds until the next try after `attempts` failed ones; `random` is from 0 to 1. A receiver that names a
    later time gets its way, up to the longest wait."""
    wait = min(LONGEST_S, FIRST_S * FACTOR ** min(attempts - 1, 50))
    wait *= 1 + JITTER * (2 * random - 1)
    return max(wait, min(retry_after_s or 0.0, LONGEST_S))


def retry_after_s(header: str | None, now: float) -> float | None:
    """The wait that a Retry-After header asks for: seconds, or an HTTP date. None when it asks for nothing."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header.strip()[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def given_up(created_at: float, next_at: float) -> bool:
    """Whether there is no use in another try at `next_at`."""
    return next_at > created_at + GIVE_UP_S
