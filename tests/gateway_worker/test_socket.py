"""The worker socket: credit, leases, late and double results, lost connections, files."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest
import uvloop

from tests.gateway_worker.peer import Peer, Plane, plane, until
from zeroidle.errors import StoreError
from zeroidle.gateway.worker_connection import WorkerConnection
from zeroidle.gateway.worker_socket import WorkerSocket
from zeroidle.job import Job, Spooled, Status, new_job_id
from zeroidle.store.protocol import Lease
from zeroidle.worker import Registry, WorkerState
from zeroidle_worker import wire


def test_only_this_user_may_connect_and_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "worker.sock").write_text("left by an earlier plane")

    async def main() -> None:
        async with plane(tmp_path) as p:
            mode = p.socket.path.stat().st_mode
            assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        assert not p.socket.path.exists()

    uvloop.run(main())


def test_a_path_that_is_too_long_for_a_socket_is_a_sentence(tmp_path: Path) -> None:
    async def main() -> None:
        socket = WorkerSocket(tmp_path / ("x" * 120), None, Registry(), {})  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="shorter path"):
            await socket.start()

    uvloop.run(main())


def test_ready_jobs_are_handed_over_together_up_to_the_credit_and_taken_in_together(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            ids = [await p.submit(b'{"n":%d}' % n) for n in range(50)]
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            first = await peer.take()
            assert json.loads(first.body) == {"id": ids[0], "input": {"n": 0}}
            peer.send(wire.TAKE, {"n": 20})
            rest = [await peer.take() for _ in range(19)]
            assert [f.header["id"] for f in [first, *rest]] == ids[:20] and len(worker.jobs) == 20
            for frame in [first, *rest]:
                peer.done(frame, frame.header["id"])
            values = [await p.value(i) for i in ids[:20]]
            assert values == ids[:20]
            peer.send(wire.TAKE, {"n": 0})
            later = [await peer.take() for _ in range(20)]  # handed out for the old credit
            assert [f.header["id"] for f in later] == ids[20:40]
            for frame in later:
                peer.done(frame)
            await until(lambda: not worker.jobs, "all are done")
            assert worker.jobs_done == 40 and p.store.counts("e").queued == 10

    uvloop.run(main())


def test_a_job_is_named_with_its_deadline_and_a_large_input_is_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, timeout_s=90.0) as p:
            peer = await p.peer(p.worker(), concurrency=2)
            text = "x" * wire.LARGE
            job_id = await p.submit(json.dumps({"text": text}).encode())
            frame = await peer.take()
            job = await p.job(job_id)
            assert job.started_at is not None
            assert abs(frame.header["deadline"] - job.started_at - 90) < 0.001
            path = Path(frame.header["path"])
            assert json.loads(path.read_bytes()) == {"text": text}  # noqa: ASYNC240
            assert json.loads(frame.body) == {"id": job_id}
            assert path.parent == p.store.spool

    uvloop.run(main())


def test_a_large_result_is_taken_over_from_its_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            job_id = await p.submit()
            frame = await peer.take()
            path = p.store.spool / f"{worker.id}-1-1.json"
            path.write_text(json.dumps({"output": "y" * wire.LARGE}))
            peer.send(wire.DONE, {"id": job_id, "attempt": frame.header["attempt"], "path": str(path)})
            assert await p.value(job_id) == "y" * wire.LARGE
            assert not path.exists() and isinstance((await p.job(job_id)).output, Spooled)
            files = [f for f in p.store.spool.iterdir() if f.is_file()]
            assert len(files) == 1  # the output alone

    uvloop.run(main())


def test_a_second_result_of_the_same_job_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            job_id = await p.submit()
            frame = await peer.take()
            peer.done(frame, "first")
            peer.done(frame, "second")  # in the same piece
            assert await p.value(job_id) == "first"
            peer.done(frame, "third")
            await _goes_on(p, peer)
            assert await p.value(job_id) == "first" and p.store.counts("e").completed == 2
            assert worker.jobs_done == 2

    uvloop.run(main())


def test_a_result_of_a_lease_that_ran_out_is_not_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            slow, fast = p.worker("slow"), p.worker("fast")
            one = await p.peer(slow, concurrency=1)
            job_id = await p.submit()
            old = await one.take()
            # The lease runs out, as it would after a pause of the machine.
            await p.store.release([Lease("e", job_id, "slow", old.header["attempt"])], True, "the lease ran out")
            two = await p.peer(fast, concurrency=1)
            new = await two.take()
            assert new.header["attempt"] == old.header["attempt"] + 1
            one.done(old, "late")
            one.send(wire.STREAM, {"id": job_id, "attempt": old.header["attempt"]}, b'"late"')
            one.send(wire.PROGRESS, {"id": job_id, "attempt": old.header["attempt"]}, b'"late"')
            await until(lambda: not slow.jobs, "the late result is taken in")
            assert (await p.job(job_id)).status is Status.IN_PROGRESS and list(fast.jobs) == [job_id]
            two.done(new, "right")
            assert await p.value(job_id) == "right"
            job = await p.job(job_id)
            assert job.chunks == 0 and job.progress is None

    uvloop.run(main())


def test_a_result_of_another_workers_job_is_not_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            holder, thief = p.worker("holder"), p.worker("thief")
            one = await p.peer(holder, concurrency=1)
            job_id = await p.submit()
            frame = await one.take()
            two = await p.peer(thief, concurrency=1)
            two.done(frame, "forged")
            two.send(wire.RELEASE, {"ids": [job_id]})
            await _goes_on(p, two)
            assert list(holder.jobs) == [job_id]
            one.done(frame, "true")
            assert await p.value(job_id) == "true"

    uvloop.run(main())


def test_a_worker_is_told_to_stop_a_job_that_is_not_its_own_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, lease_s=0.3) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            job_id = await p.submit()
            frame = await peer.take()
            await p.store.cancel("e", job_id)
            stop = await peer.take(wire.CANCEL)
            assert stop.header == {"id": job_id, "attempt": frame.header["attempt"]}
            peer.done(frame, "too late")
            await until(lambda: not worker.jobs, "it is free")
            assert (await p.job(job_id)).status is Status.CANCELLED

    uvloop.run(main())


def test_a_lease_lives_as_long_as_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, lease_s=0.3) as p:
            peer = await p.peer(p.worker(), concurrency=1)
            job_id = await p.submit()
            frame = await peer.take()
            job = await p.job(job_id)
            first = job.lease_until
            await until(lambda: job.lease_until > first + 0.5, "the lease is renewed")
            peer.done(frame, 1)
            assert await p.value(job_id) == 1

    uvloop.run(main())


def test_a_connection_that_breaks_mid_job_loses_only_what_was_begun(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            peer.send(wire.TAKE, {"n": 3})
            ids = [await p.submit() for _ in range(3)]
            for _ in ids:
                await peer.take()
            peer.close()
            await until(lambda: not worker.jobs, "its jobs are given back")
            jobs = [await p.job(i) for i in ids]
            assert [j.status for j in jobs] == [Status.IN_QUEUE] * 3 and [j.losses for j in jobs] == [1, 0, 0]
            assert worker.state is WorkerState.DRAINING and worker.control is None and not worker.connected
            good = await p.peer(p.worker("w2"), concurrency=3)
            frames = [await good.take() for _ in ids]
            assert [f.header["id"] for f in frames] == ids  # in their order

    uvloop.run(main())


def test_results_that_were_sent_before_the_end_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=4)
            ids = [await p.submit() for _ in range(4)]
            frames = [await peer.take() for _ in ids]
            for frame in frames:
                peer.done(frame, "sent")
            await peer.writer.drain()
            peer.close()
            assert [await p.value(i) for i in ids] == ["sent"] * 4
            await until(lambda: not worker.connected, "the connection is over")
            assert not worker.jobs

    uvloop.run(main())


def test_after_the_retries_the_job_ends_with_the_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, retries=1) as p:
            job_id = await p.submit()
            for n in range(2):
                worker = p.worker(f"w{n}")
                peer = await p.peer(worker, concurrency=1)
                await peer.take()
                peer.close()
                await until(lambda w=worker: not w.jobs, "its job is given back")  # type: ignore[misc]
            job = await p.ended(job_id)
            assert job.status is Status.FAILED and "connection to the plane was lost" in str(job.error)

    uvloop.run(main())


def test_a_worker_that_gives_jobs_back_uses_up_no_retry(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            peer = await p.peer(p.worker(), concurrency=2)
            ids = [await p.submit() for _ in range(2)]
            frames = [await peer.take() for _ in ids]
            peer.send(wire.TAKE, {"n": 1})
            peer.send(wire.RELEASE, {"ids": [ids[1], "no-such-job"]})
            other = await p.peer(p.worker("w2"), concurrency=1)
            again = await other.take()
            assert again.header["id"] == ids[1] and (await p.job(ids[1])).losses == 0
            peer.done(frames[0], 0)
            other.done(again, 1)
            assert [await p.value(i) for i in ids] == [0, 1]

    uvloop.run(main())


def test_draining_hands_out_nothing_more_and_lets_the_running_job_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=2)
            job_id = await p.submit()
            frame = await peer.take()
            assert worker.control is not None
            worker.control.drain()
            await peer.take(wire.DRAIN)
            left = await p.submit()
            peer.done(frame, "the last")
            assert await p.value(job_id) == "the last"
            assert worker.state is WorkerState.DRAINING and (await p.job(left)).status is Status.IN_QUEUE

    uvloop.run(main())


def test_refresh_retires_the_worker(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            told: list[str] = []
            p.registry.listen(lambda kind, worker: told.append(kind))
            job_id = await p.submit()
            peer.done(await peer.take(), "last", refresh=True)
            assert await p.value(job_id) == "last"
            await until(lambda: "draining" in told, "it is retired")
            left = await p.submit()
            assert worker.state is WorkerState.DRAINING and (await p.job(left)).status is Status.IN_QUEUE

    uvloop.run(main())


def test_a_start_is_told_in_phases_and_a_failed_one_with_its_traceback(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker)
            peer.send(wire.PHASE, {"name": "boot", "start": 1.5, "end": 2.5})
            peer.send(wire.PHASE, {"name": "weights", "start": 2.5, "end": 3.0, "note": "3 GB"})
            peer.send(wire.FAILED, {"reason": "missing-module", "message": "no torch"}, "Träceback".encode())
            await until(lambda: worker.error, "it says why")
            assert [(x.name, x.start, x.end, x.note) for x in worker.phases] == [
                ("boot", 1.5, 2.5, None), ("weights", 2.5, 3.0, "3 GB"),
            ]  # fmt: skip
            assert (worker.error_kind, worker.error) == ("missing-module", "no torch\nTräceback")
            assert worker.pid and worker.sdk == "shim" and worker.carrier == "socket"

    uvloop.run(main())


def test_a_worker_that_starts_anew_with_the_real_sdk_takes_nothing_over_the_socket(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker)
            await until(lambda: worker.control, "it is known")
            peer.hello(worker, sdk="real")
            await until(lambda: worker.control is None, "it is known anew")
            assert worker.connected and worker.sdk == "real" and worker.state is WorkerState.STARTING
            peer.close()
            await until(lambda: not worker.connected, "its end is noticed")
            assert worker.state is WorkerState.STARTING  # its process's end is the fleet's to tell

    uvloop.run(main())


def test_a_worker_that_connects_again_keeps_its_jobs(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            one = await p.peer(worker, concurrency=1)
            job_id = await p.submit()
            frame = await one.take()
            two = await p.peer(worker)
            await until(lambda: worker.control is not None and len(p.socket.connections) == 2, "it has two")
            one.close()
            await until(lambda: len(p.socket.connections) == 1, "the first is over")
            assert list(worker.jobs) == [job_id]
            two.done(frame, "kept")
            assert await p.value(job_id) == "kept"

    uvloop.run(main())


def test_closing_takes_in_what_has_arrived(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            peer = await p.peer(p.worker(), concurrency=8)
            ids = [await p.submit() for _ in range(8)]
            for _ in ids:
                peer.done(await peer.take(), "in time")
            await peer.writer.drain()
            await asyncio.sleep(0.05)  # into the plane's buffer: what counts is what has arrived there
            await p.socket.close()
            assert [await p.value(i) for i in ids] == ["in time"] * 8

    uvloop.run(main())


async def _goes_on(p: Plane, peer: Peer) -> None:
    """Everything sent before has been handled once a later job has ended."""
    job_id = await p.submit()
    peer.done(await peer.take(), 1)
    await p.ended(job_id)


def test_a_connection_that_is_closing_gets_no_job_and_a_waiting_worker_does(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, retries=0) as p:
            first, second = p.worker("w1"), p.worker("w2")
            peer, _ = await p.peer(first, concurrency=1), await p.peer(second, concurrency=1)
            await until(lambda: bool(first.ready_at and second.ready_at), "both are ready")
            # The newest offer is served first, in this turn of the loop; the end of its connection is told in the next.
            job = Job(new_job_id(), "e", b"1")
            p.store.put_soon(job, lambda error: None)
            assert isinstance(second.control, WorkerConnection)
            second.control.transport.abort()
            frame = await peer.take()
            assert frame.header == {"id": job.id, "attempt": 1, "deadline": frame.header["deadline"]}
            assert job.losses == 0 and not second.jobs

    uvloop.run(main())


def test_a_worker_that_drains_gets_no_job_whoever_told_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            first, second = p.worker("w1"), p.worker("w2")
            peer, _ = await p.peer(first, concurrency=1), await p.peer(second, concurrency=1)
            await until(lambda: bool(first.ready_at and second.ready_at), "both are ready")
            second.state = WorkerState.DRAINING
            job_id = await p.submit()
            assert (await peer.take()).header["id"] == job_id and not second.jobs

    uvloop.run(main())
