"""Delivers webhooks: durable rows, signed, tried again for hours, at most a few at a time for each receiver."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from zeroidle.delivery.client import ANSWER_S, Answer, Client
from zeroidle.delivery.receiver import QUEUE, SLOW_S, Receiver, name_of
from zeroidle.delivery.retries import DAY, Schedule, retry_after_s
from zeroidle.delivery.signature import Signer, blocks, load_secret
from zeroidle.errors import ConfigError, NotFound, StoreError
from zeroidle.job import Phase, Spooled
from zeroidle.store.protocol import Delivery, Store

log = logging.getLogger(__name__)

#: Rows that are read at once, and rows that are kept in memory.
PAGE, KNOWN = 64, 256

#: Pause before something that the store or the disk refused is tried again, and what `close` waits for.
AGAIN_S, CLOSE_S = 5.0, 5.0


class WebhookSender:
    """Sleeps until a job with a webhook ends or the next try is due.

    `secret` (whsec_...) signs; None means the one in `webhook.secret` in the data folder, which is made on first use.
    A receiver may take `answer_s` seconds (large bodies get more), and gets at most `per_host` webhooks at a time.
    """

    def __init__(
        self,
        store: Store,
        spool: Path,
        secret: str | None = None,
        *,
        schedule: Schedule = DAY,
        answer_s: float = ANSWER_S,
        per_host: int = 8,
        at_once: int = 64,
    ) -> None:
        self._store = store
        self._spool = spool
        self._secret = secret
        self._schedule = schedule
        self._per_host = per_host
        self._at_once = at_once
        self._signer: Signer | None = None
        self._client = Client(answer_s)
        self._receivers: dict[str, Receiver] = {}
        self._known: set[str] = set()
        self._active = 0
        self._filling = False
        self._poked = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Takes up what an earlier plane left, and listens."""
        self._store.listen_deliveries(self._poke)
        self._poke()

    async def close(self) -> None:
        """Lets what is under way end, for a few seconds. The rest stays in the store for the next start."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CLOSE_S)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._client.close()

    async def redeliver(self, delivery_id: str) -> Delivery:
        """Sends a webhook again, whatever became of it; answers its row as it now is. Raises NotFound."""
        found = await self._store.get_delivery(delivery_id)
        if found is None:
            raise NotFound(f"There is no webhook delivery {delivery_id}; `zeroidle webhooks list` shows those kept.")
        if delivery_id not in self._known:
            found = dataclasses.replace(found, state="pending", attempts=0, next_at=time.time(), delivered_at=None)
            await self._store.save_delivery(found)
            self._receiver(found.url).down_until = 0.0
            self._poke()
        return found

    def secret(self) -> str:
        """The secret that receivers verify with (the newest, when there are several). Raises ConfigError."""
        return (self._secrets().split() or [""])[0]

    # -- what is due

    def _poke(self) -> None:
        self._poked = True
        if not self._filling and not self._closed:
            self._filling = True
            self._spawn(self._fill())

    async def _fill(self) -> None:
        """Reads what is due until there is no more, or no more room."""
        try:
            while self._poked and not self._closed and len(self._known) < KNOWN:
                self._poked = False
                if await self._read_page():
                    self._poked = True
        except StoreError as exc:
            log.error("webhooks.not_read error=%s", exc)
            self._wake_at(time.time() + AGAIN_S)
        finally:
            self._filling = False

    async def _read_page(self) -> bool:
        """Takes one page of rows in; answers whether there may be more that are due."""
        before = set(self._known)  # what ends while the page is read may still be pending in it
        rows = await self._store.list_deliveries("pending", limit=len(before) + PAGE)
        now = time.time()
        fresh = [row for row in rows if row.id not in before and row.id not in self._known]
        due = [row for row in fresh if row.next_at <= now]
        left = [row for row in due if not self._take(row, now)]
        later = [row for row in left if row.next_at > now]
        await asyncio.gather(*(self._keep(row) for row in later))
        self._pump()
        times = [row.next_at for row in fresh if row.next_at > now]
        if len(left) > len(later):  # their receiver has enough for now: it ends a send soon, or it is slow
            times.append(now + SLOW_S)
        self._wake_at(min(times, default=None))
        return len(due) > 0 and len(due) == len(fresh) and len(left) == len(later)

    def _take(self, row: Delivery, now: float) -> bool:
        taken = self._receiver(row.url).take(row, now)
        if taken:
            self._known.add(row.id)
        return taken

    def _receiver(self, url: str) -> Receiver:
        return self._receivers.setdefault(name_of(url), Receiver())

    def _wake_at(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(max(0.01, at - time.time()), self._poke)

    # -- sending

    def _pump(self) -> None:
        """Starts as many sends as are allowed, one for each receiver in turn."""
        started, now = not self._closed, time.time()
        while started and self._active < self._at_once:
            started = False
            for receiver in self._receivers.values():
                if self._active < self._at_once and (row := receiver.next(self._per_host, now)) is not None:
                    self._active += 1
                    self._spawn(self._send(receiver, row))
                    started = True

    async def _send(self, receiver: Receiver, row: Delivery) -> None:
        answer = None
        try:
            try:
                answer = await self._post(row)
            finally:
                receiver.sent(row, time.time())
                self._active -= 1
            if answer is not None:
                self._judge(receiver, row, answer)
            self._pump()  # the next one does not wait for the disk
            await self._keep(row)
        finally:
            self._known.discard(row.id)
        if len(receiver.queue) < QUEUE // 2:
            self._poke()
        if receiver.unused(time.time()) and self._receivers.get(name := name_of(row.url)) is receiver:
            del self._receivers[name]
        if row.state != "pending":
            await self._note(row, answer)

    async def _post(self, row: Delivery) -> Answer | None:
        """Sends it; None when it could not even be tried."""
        try:
            signer = self._signer or await self._make_signer()
            body = self._spool / row.body.path if isinstance(row.body, Spooled) else row.body
            size_bytes = row.body.size_bytes if isinstance(row.body, Spooled) else len(row.body)
            sign, now = signer.headers, int(time.time())
            if isinstance(body, bytes):
                headers = sign(row.id, now, (body,))
            else:
                headers = await asyncio.to_thread(sign, row.id, now, blocks(body))
            return await self._client.post(row.url, headers, body, size_bytes)
        except FileNotFoundError:
            return Answer(None, "the result is not kept any more", final=True)
        except (ConfigError, OSError) as exc:
            log.error("webhook.not_tried id=%s error=%s", row.id, exc)
            row.last_error, row.next_at = str(exc), time.time() + AGAIN_S
            return None
        except Exception as exc:  # one webhook that breaks the client must not stand in the way of the others
            log.exception("webhook.broken id=%s", row.id)
            return Answer(None, f"{type(exc).__name__}: {exc}")

    async def _make_signer(self) -> Signer:
        self._signer = Signer(await asyncio.to_thread(self._secrets))
        return self._signer

    def _secrets(self) -> str:
        return self._secret if self._secret is not None else load_secret(self._spool.parent / "webhook.secret")

    def _judge(self, receiver: Receiver, row: Delivery, answer: Answer) -> None:
        """Writes into the row what came of a try."""
        now = time.time()
        row.attempts += 1
        row.last_status = answer.status
        row.last_error = None if answer.taken else str(answer)
        wait_s = self._schedule.next_try_s(row.attempts, random.random(), retry_after_s(answer.retry_after, now))
        for other in receiver.judge(answer, wait_s, now):
            self._spawn(self._put_back(other))
        if answer.taken:
            row.state, row.delivered_at, row.next_at = "delivered", now, now
            log.info("webhook.delivered id=%s job=%s attempts=%d", row.id, row.job_id, row.attempts)
            return
        row.next_at = now + wait_s
        if answer.final or self._schedule.given_up(row.created_at, row.next_at):
            row.state, row.next_at = "dead", now
        log.warning(
            "webhook.failed id=%s job=%s host=%s attempts=%d state=%s error=%r",
            row.id, row.job_id, name_of(row.url), row.attempts, row.state, row.last_error,
        )  # fmt: skip

    async def _put_back(self, row: Delivery) -> None:
        await self._keep(row)
        self._known.discard(row.id)
        self._poke()

    async def _keep(self, row: Delivery) -> None:
        """Saves a row, however long that takes: what was delivered must not be sent once more for a full disk."""
        while True:
            try:
                return await self._store.save_delivery(row)
            except StoreError as exc:
                log.error("webhook.not_kept id=%s error=%s", row.id, exc)
                await asyncio.sleep(AGAIN_S)

    async def _note(self, row: Delivery, answer: Answer | None) -> None:
        job = await self._store.get(row.endpoint, row.job_id)
        if job is not None:
            tries = "1 try" if row.attempts == 1 else f"{row.attempts} tries"
            phase = Phase("webhook", row.created_at, time.time(), job.attempt, f"{row.state}, {tries}, {answer}")
            await self._store.note(job, [phase])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("webhook.task_failed", exc_info=exc)
