"""What is known of one receiver of webhooks: what waits for it, and whether it is slow or down."""

from __future__ import annotations

import random
from collections import deque
from urllib.parse import urlsplit

from msgspec import Struct, field

from zeroidle.delivery.client import Answer
from zeroidle.store.protocol import Delivery

#: So many rows wait in memory for one receiver; the others stay in the store.
QUEUE = 64

#: A receiver that takes longer than this for one webhook is slow: what waits for it in the store is moved to a later
#: time, so that it does not stand before the webhooks of others. The first such pause and the longest, in seconds.
SLOW_S, PAUSE_S = 1.0, (2.0, 60.0)

#: After so many failures in a row a receiver counts as down: one try at a time, and a pause of at most so many
#: seconds after each, in which its other webhooks wait without being tried.
DOWN_AFTER, DOWN_S = 3, 300.0

#: Answers of a receiver that speak of one webhook only, not of the receiver.
_FINE = frozenset(range(200, 500)) - {408, 429}


class Receiver(Struct, eq=False):
    """`active` holds the start of each send; times are in Unix seconds."""

    queue: deque[Delivery] = field(default_factory=deque)
    active: dict[str, float] = field(default_factory=dict)
    down_until: float = 0.0
    _failures: int = 0
    _pause_s: float = PAUSE_S[0]

    def take(self, row: Delivery, now: float) -> bool:
        """Puts a row into the queue. When that is full the row is left out, and given a later time when the receiver
        is slow or down."""
        if self.down_until > now:
            row.next_at = self._back_at(now)
        elif len(self.queue) < QUEUE:
            self.queue.append(row)
            return True
        elif any(now - since > SLOW_S for since in self.active.values()):
            row.next_at = now + self._pause_s * (1 + random.random())
        return False

    def next(self, at_once: int, now: float) -> Delivery | None:
        """The next row to send, if one may be sent now; `at_once` is how many at a time."""
        if not self.queue or len(self.active) >= (1 if self._failures >= DOWN_AFTER else at_once):
            return None
        row = self.queue.popleft()
        self.active[row.id] = now
        return row

    def sent(self, row: Delivery, now: float) -> None:
        """A send has ended, however it went."""
        slow = now - self.active.pop(row.id) > SLOW_S
        self._pause_s = min(PAUSE_S[1], 2 * self._pause_s) if slow else PAUSE_S[0]

    def judge(self, answer: Answer, wait_s: float, now: float) -> list[Delivery]:
        """Notes an answer, after which the webhook waits `wait_s`; when the receiver is down, answers the rows that
        leave the queue untried, with their new times."""
        self._failures = 0 if answer.status in _FINE else self._failures + 1
        if self._failures < DOWN_AFTER:
            return []
        self.down_until = now + min(wait_s, DOWN_S)
        rows = list(self.queue)
        self.queue.clear()
        for row in rows:
            row.next_at = self._back_at(now)
        return rows

    def unused(self, now: float) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return not self.queue and not self.active and self.down_until < now

    def _back_at(self, now: float) -> float:
        # Spread, so that not all of them come at once.
        return self.down_until + random.random() * (self.down_until - now)


def name_of(url: str) -> str:
    """Scheme, host and port of a receiver; nothing that may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "not a URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
