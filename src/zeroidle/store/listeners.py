"""Who listens to what happens to jobs, and the new jobs that they have not heard of yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from zeroidle.job import Job
from zeroidle.store.protocol import EVENT_KINDS, EventKind, JobEvent

log = logging.getLogger(__name__)

Listener = Callable[[JobEvent], None]


class Listeners:
    """Tells listeners of events in their order. New jobs, which come one by one, are told together."""

    def __init__(self) -> None:
        self._listeners: dict[EventKind, list[Listener]] = {kind: [] for kind in EVENT_KINDS}
        self._news: list[Job] = []  # new jobs of one endpoint that nobody has heard of

    def listen(self, listener: Listener, kinds: Iterable[EventKind]) -> None:
        """Adds a listener. It hears of nothing that was before."""
        self.tell_news()
        for kind in kinds:
            self._listeners[kind].append(listener)

    def told(self, kind: EventKind, jobs: Sequence[Job], worker_id: str | None) -> None:
        """Something happened to jobs of one endpoint, at least one. Of new jobs the listeners hear soon, of all that
        came together at once, and before anything else."""
        news = self._news
        if kind == "queued" and (not news or news[0].endpoint == jobs[0].endpoint):
            if not news:
                asyncio.get_running_loop().call_soon(self.tell_news)
            news += jobs
            return
        if news:
            self.tell_news()
        self._tell(JobEvent(kind, jobs[0].endpoint, jobs, worker_id))

    def tell_news(self) -> None:
        """Tells of the new jobs that nobody has heard of."""
        if self._news:
            news, self._news = self._news, []
            self._tell(JobEvent("queued", news[0].endpoint, news))

    def _tell(self, event: JobEvent) -> None:
        for listener in self._listeners[event.kind]:
            try:
                listener(event)
            except Exception:
                log.exception("store.listener_failed event=%s first=%s", event.kind, event.jobs[0].id)
