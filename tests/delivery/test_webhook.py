"""Webhooks from the real store to a real receiver."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from tests.delivery.receiver import Got, Receiver, fine, gate, statuses
from zeroidle.delivery.receiver import DOWN_AFTER
from zeroidle.delivery.retries import Schedule
from zeroidle.delivery.webhook import WebhookSender
from zeroidle.endpoint import Endpoint
from zeroidle.errors import NotFound
from zeroidle.job import Job, Status, new_job_id
from zeroidle.job_batch import JobBatch, new_batch_id
from zeroidle.store.protocol import Delivery, Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

QUICK = Schedule(first_s=0.05, factor=1.0, longest_s=0.05)


class Post:
    """A store and a sender in `folder`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.store = SqliteStore(folder, {"e": Endpoint("e", folder, folder, "python")})
        self.sender = WebhookSender(self.store, self.store.spool, **({"schedule": QUICK} | settings))

    async def end(self, url: str, outcome: Outcome | None = None) -> Job:
        """A job that ends at once, and has a webhook."""
        job = await self.store.put(Job(new_job_id(), "e", b"{}", webhook=url))
        await self.store.claim("e", "w1", 1, 30, 0)
        await self.store.finish(Lease("e", job.id, "w1"), outcome or Outcome(Status.COMPLETED, b'{"n":1}'))
        return job

    async def row(self, job: Job, state: str) -> Delivery:
        """The job's delivery, as soon as it is in that state."""
        rows: list[Delivery] = []

        async def found() -> bool:
            rows[:] = [r for r in await self.store.list_deliveries(limit=1000) if r.job_id == job.id]
            return any(row.state == state for row in rows)

        await until(found, lambda: f"{state}: {rows}")
        (row,) = rows
        return row


async def until(condition: Callable[[], Any], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + 30
    while True:
        value = condition()
        if await value if asyncio.iscoroutine(value) else value:
            return
        assert time.monotonic() < deadline, f"not within 30 s: {what()}"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def post(folder: Path, **settings: Any) -> AsyncIterator[Post]:
    one = Post(folder, **settings)
    await one.store.open()
    await one.sender.start()
    try:
        yield one
    finally:
        await one.sender.close()
        await one.store.close()


@contextlib.asynccontextmanager
async def receiver(answer: Callable[[Got], Any] = fine) -> AsyncIterator[Receiver]:
    one = Receiver(answer)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def verify(folder: Path, got: Got) -> None:
    Webhook((folder / "webhook.secret").read_text().strip()).verify(got.body, got.headers)


def test_the_receiver_gets_what_status_says_signed(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver() as there, post(tmp_path) as here:
            job = await here.end(there.url("/hook?token=x%2Fy"), Outcome(Status.COMPLETED, '{"text":"grüße"}'.encode()))
            row = await here.row(job, "delivered")
            (got,) = there.got
            verify(tmp_path, got)
            body = json.loads(got.body)
            assert got.path == "/hook?token=x%2Fy"
            assert got.headers["content-type"] == "application/json" and got.headers["webhook-id"] == row.id
            assert (body["id"], body["status"], body["output"], body["workerId"]) == (
                job.id, "COMPLETED", {"text": "grüße"}, "w1",
            )  # fmt: skip
            assert {"delayTime", "executionTime"} <= set(body)
            assert (row.attempts, row.last_status, row.last_error) == (1, 200, None)
            assert row.delivered_at
            assert stat.S_IMODE((tmp_path / "webhook.secret").stat().st_mode) == 0o600
            assert here.sender.secret() == (tmp_path / "webhook.secret").read_text().strip()

            async def noted() -> bool:
                found = await here.store.get("e", job.id)
                return found is not None and any(p.name == "webhook" and p.end for p in found.phases)

            await until(noted, lambda: "the phase is in the timeline")

    asyncio.run(main())


def test_a_failed_and_a_cancelled_job_are_told_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver() as there, post(tmp_path) as here:
            failed = await here.end(there.url(), Outcome(Status.FAILED, error="no such voice"))
            waiting = await here.store.put(Job(new_job_id(), "e", b"{}", webhook=there.url()))
            await here.store.cancel("e", waiting.id)
            for job in (failed, waiting):
                await here.row(job, "delivered")
            said = {body["id"]: body for body in (json.loads(got.body) for got in there.got)}
            assert (said[failed.id]["status"], said[failed.id]["error"]) == ("FAILED", "no such voice")
            assert said[waiting.id]["status"] == "CANCELLED"

    asyncio.run(main())


def test_the_end_of_a_batch_is_told_signed(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver() as there, post(tmp_path) as here:
            done, draft = (JobBatch(new_batch_id(), "e", webhook=there.url()) for _ in range(2))
            jobs = [Job(new_job_id(), "e", b"{}") for _ in range(2)]
            await here.store.create_batch(done, jobs)
            await here.store.create_batch(draft, [Job(new_job_id(), "e", b"{}")])
            await here.store.finalize_batch("e", done.id)
            await here.store.claim("e", "w1", 2, 30, 0)
            for job in jobs:
                await here.store.finish(Lease("e", job.id, "w1"), Outcome(Status.COMPLETED, b"1"))
            await here.store.cancel_batch("e", draft.id)
            await until(lambda: len(there.got) == 2, lambda: f"two come: {there.got}")
            said = {}
            for got in there.got:
                verify(tmp_path, got)
                body = json.loads(got.body)
                said[body["id"]] = body
            assert (said[done.id]["status"], said[done.id]["requestCompleted"]) == ("FINALIZED", 2)
            assert (said[draft.id]["status"], said[draft.id]["requestCancelled"]) == ("CANCELLED", 1)
            assert all("endedAt" in body for body in said.values())

    asyncio.run(main())


def test_a_result_of_megabytes_is_sent_from_its_file_and_signed(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver() as there, post(tmp_path) as here:
            large = b'"' + b"x" * 3_000_000 + b'"'
            job = await here.end(there.url(), Outcome(Status.COMPLETED, large))
            await here.row(job, "delivered")
            (got,) = there.got
            verify(tmp_path, got)
            assert json.loads(got.body)["output"] == json.loads(large)

    asyncio.run(main())


def test_it_is_tried_again_with_the_same_id_until_it_is_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(statuses(500, 503, 429, 404, 204)) as there, post(tmp_path) as here:
            row = await here.row(await here.end(there.url()), "delivered")
            assert (row.attempts, row.last_status) == (5, 204)
            assert {got.headers["webhook-id"] for got in there.got} == {row.id}
            for got in there.got:
                verify(tmp_path, got)

    asyncio.run(main())


def test_waits_follow_the_schedule_and_the_receiver_s_wish(tmp_path: Path) -> None:
    async def busy(got: Got) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "1800"})

    async def main() -> None:
        async with receiver(busy) as there, post(tmp_path, schedule=Schedule()) as here:
            job = await here.end(there.url())
            await until(lambda: there.got, lambda: "it was tried")

            async def failed() -> bool:
                (row,) = await here.store.list_deliveries("pending")
                return row.job_id == job.id and row.attempts == 1 and row.next_at - time.time() > 1700

            await until(failed, lambda: "the next try is when the receiver wants it")

    asyncio.run(main())


def test_it_is_given_up_at_last_and_can_be_sent_again_by_hand(tmp_path: Path) -> None:
    async def main() -> None:
        schedule = Schedule(first_s=0.05, factor=1.0, give_up_s=0.2)
        async with receiver(statuses(500)) as there, post(tmp_path, schedule=schedule) as here:
            job = await here.end(there.url())
            row = await here.row(job, "dead")
            assert row.attempts >= 2 and row.last_error == "HTTP 500"
            there.answer = fine
            assert (await here.sender.redeliver(row.id)).state == "pending"
            again = await here.row(job, "delivered")
            assert (again.id, again.attempts) == (row.id, 1)
            # One that was delivered as well.
            count = len(there.got)
            await here.sender.redeliver(row.id)
            await until(lambda: len(there.got) == count + 1, lambda: "it came once more")
            with pytest.raises(NotFound, match="msg_none"):
                await here.sender.redeliver("msg_none")

    asyncio.run(main())


def test_a_receiver_that_is_gone_for_good_is_not_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiver(statuses(410)) as there, post(tmp_path) as here:
            row = await here.row(await here.end(there.url()), "dead")
            assert (row.attempts, row.last_status, len(there.got)) == (1, 410, 1)

    asyncio.run(main())


def test_no_redirect_is_followed(tmp_path: Path) -> None:
    async def elsewhere(got: Got) -> web.Response:
        return web.Response(status=307, headers={"Location": "/other"})

    async def main() -> None:
        async with receiver(elsewhere) as there, post(tmp_path, schedule=Schedule(give_up_s=0)) as here:
            row = await here.row(await here.end(there.url()), "dead")
            assert [got.path for got in there.got] == ["/hook"]
            assert row.last_error and "redirects are not followed" in row.last_error

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:1/", "onnect"),
        ("http://no-such-host.invalid/", "no-such-host.invalid"),
        ("http://[::1/", "not valid"),
        ("http://name:pass word@127.0.0.1:1/", ""),
    ],
)
def test_a_receiver_that_cannot_be_reached_is_named(tmp_path: Path, url: str, says: str) -> None:
    async def main() -> None:
        async with post(tmp_path, schedule=Schedule(give_up_s=0)) as here:
            row = await here.row(await here.end(url), "dead")
            assert row.last_status is None and row.last_error and says in row.last_error
            assert "pass word" not in row.last_error

    asyncio.run(main())


def test_a_receiver_that_does_not_answer_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        opened, answer = gate()
        async with receiver(answer) as there, post(tmp_path, schedule=Schedule(give_up_s=0), answer_s=0.2) as here:
            row = await here.row(await here.end(there.url()), "dead")
            assert row.last_error and row.last_error.startswith("no answer within 0.2 s")
            opened.set()

    asyncio.run(main())


def test_a_receiver_that_closes_its_connections_gets_everything_once(tmp_path: Path) -> None:
    """A connection that was kept may be closed just when the next webhook is written to it."""

    async def main() -> None:
        bodies: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(next(x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")).split(b":")[1])
            bodies.append(await reader.readexactly(size))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")  # says that it stays open, and closes
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, post(tmp_path, schedule=Schedule()) as here:
            for _ in range(30):
                row = await here.row(await here.end(url), "delivered")
                assert row.attempts == 1
            assert len(bodies) == 30

    asyncio.run(main())


def test_what_was_not_delivered_is_taken_up_by_the_next_plane(tmp_path: Path) -> None:
    async def main() -> None:
        there = Receiver(fine)
        await there.start()
        await there.stop()  # the port is known, and nobody listens
        async with post(tmp_path) as here:
            jobs = [await here.end(there.url()) for _ in range(20)]
        await there.start()
        async with post(tmp_path) as later:
            for job in jobs:
                await later.row(job, "delivered")
        assert sorted(json.loads(got.body)["id"] for got in there.got) == sorted(job.id for job in jobs)
        await there.stop()

    asyncio.run(main())


def test_a_slow_receiver_gets_a_few_at_a_time_and_holds_up_nobody_else(tmp_path: Path) -> None:
    async def main() -> None:
        opened, answer = gate()
        async with receiver(answer) as slow, receiver() as quick, post(tmp_path, per_host=3) as here:
            stuck = await asyncio.gather(*[here.end(slow.url()) for _ in range(300)])
            await until(lambda: slow.active == 3, lambda: "the slow one is busy")
            for job in await asyncio.gather(*[here.end(quick.url()) for _ in range(20)]):
                await here.row(job, "delivered")
            assert slow.active == slow.most == 3
            opened.set()
            await until(lambda: len(slow.got) == 300, lambda: f"the rest follows: {len(slow.got)}")
            assert slow.most == 3
            assert len({got.headers["webhook-id"] for got in slow.got}) == len(stuck)

    asyncio.run(main())


def test_a_receiver_that_is_down_is_asked_seldom_and_gets_all_when_it_is_back(tmp_path: Path) -> None:
    async def main() -> None:
        there = Receiver(statuses(500))
        await there.start()
        schedule = Schedule(first_s=0.6, factor=1.0, longest_s=0.6)
        async with post(tmp_path, schedule=schedule, per_host=2) as here:
            jobs = await asyncio.gather(*[here.end(there.url()) for _ in range(50)])
            await until(lambda: len(there.got) > DOWN_AFTER, lambda: "it was tried after it was found to be down")
            tried = {got.headers["webhook-id"] for got in there.got}
            assert len(tried) < 15, "the rest waits untried"
            there.answer = fine
            for job in jobs:
                await here.row(job, "delivered")
        await there.stop()

    asyncio.run(main())


def test_a_plane_that_sends_no_webhook_carries_no_http_client() -> None:
    code = "import sys, zeroidle.delivery.webhook; print(sorted({'aiohttp', 'email', 'yarl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
