"""What a peer on the worker socket may send: nonsense ends its connection, and nothing else."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway_worker.peer import Plane, plane, until
from zeroidle.gateway.worker_frames import HELLO_MAX_BYTES
from zeroidle.job import Status
from zeroidle.worker import WorkerState
from zeroidle_worker import wire

NONSENSE = {
    "noise": b"\xff" * 64,
    "http": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "too long": struct.pack(">IBI", wire.MAX_FRAME + 1, wire.DONE, 2) + b"{}",
    "header longer than the frame": struct.pack(">IBI", 7, wire.DONE, 900) + b"{}",
    "unknown kind": struct.pack(">IBI", 7, 99, 2) + b"{}",
    "kind zero": struct.pack(">IBI", 7, 0, 2) + b"{}",
    "a kind that only a plane sends": wire.pack(wire.JOB, {"id": "x", "attempt": 1}),
    "header is no JSON": struct.pack(">IBI", 8, wire.DONE, 3) + b"{,}",
    "header is no object": struct.pack(">IBI", 7, wire.DONE, 2) + b"[]",
    "header is no UTF-8": struct.pack(">IBI", 8, wire.DONE, 3) + b'"\xff"',
    "header is nested without end": wire.pack(wire.DONE, None)[:0]
    + struct.pack(">IBI", 5 + 60000, wire.DONE, 60000) + b"[" * 60000,
    "no id": wire.pack(wire.DONE, {"attempt": 1}),
    "id is empty": wire.pack(wire.DONE, {"id": "", "attempt": 1}),
    "attempt is text": wire.pack(wire.DONE, {"id": "x", "attempt": "1"}),
    "attempt is huge": wire.pack(wire.DONE, {"id": "x", "attempt": 10**30}),
    "attempt is below zero": wire.pack(wire.DONE, {"id": "x", "attempt": -1}),
    "run_s is NaN": struct.pack(">IBI", 5 + 36, wire.DONE, 36) + b'{"id":"x","attempt":1,"run_s":  NaN}',
    "log is no range": wire.pack(wire.DONE, {"id": "x", "attempt": 1, "log": [1]}),
    "credit is below zero": wire.pack(wire.TAKE, {"n": -5}),
    "credit is huge": wire.pack(wire.TAKE, {"n": 10**12}),
    "credit is missing": wire.pack(wire.TAKE),
    "concurrency is zero": wire.pack(wire.READY, {"concurrency": 0}),
    "ids is null": wire.pack(wire.RELEASE, {"ids": None}),
    "ids holds a number": wire.pack(wire.RELEASE, {"ids": [1]}),
    "phase without time": wire.pack(wire.PHASE, {"name": "import"}),
    "phase with a time that is text": wire.pack(wire.PHASE, {"name": "import", "start": "now"}),
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_ends_the_connection_and_its_job_is_run_again(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            first = p.worker("w1")
            bad = await p.peer(first, concurrency=1)
            job_id = await p.submit()
            await bad.take()
            bad.raw(NONSENSE[name])
            assert await bad.cut()
            await until(lambda: not first.jobs, "its job is given back")
            job = await p.job(job_id)
            assert (job.status, job.losses) == (Status.IN_QUEUE, 1) and first.state is WorkerState.DRAINING
            good = await p.peer(p.worker("w2"), concurrency=1)
            good.done(await good.take(), "from the other")
            assert await p.value(job_id) == "from the other"

    uvloop.run(main())


@pytest.mark.parametrize(
    "changes",
    [{"token": "wrong"}, {"token": ""}, {"worker_id": "nobody"}, {"worker_id": ""}, {"token": None}, {"pid": "x"}],
)
def test_a_peer_without_the_token_learns_nothing_and_changes_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            job_id = await p.submit()
            peer = await p.peer()
            peer.hello(worker, **changes)
            peer.send(wire.READY, {"concurrency": 4})
            peer.send(wire.DONE, {"id": job_id, "attempt": 1}, b'{"output":"forged"}')
            assert await peer.cut()
            assert worker.state is WorkerState.STARTING and not worker.connected and worker.control is None
            assert (await p.job(job_id)).status is Status.IN_QUEUE

    uvloop.run(main())


def test_the_token_of_one_worker_does_not_open_another(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            one, two = p.worker("w1"), p.worker("w2")
            peer = await p.peer()
            peer.hello(one, token=two.token)
            assert await peer.cut()
            # Nor may a connection change whose it is.
            peer = await p.peer(one, concurrency=1)
            peer.hello(two)
            assert await peer.cut()
            assert two.state is WorkerState.STARTING

    uvloop.run(main())


def test_the_first_frame_is_hello(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            peer = await p.peer()
            peer.send(wire.READY, {"concurrency": 1})
            assert await peer.cut()

    uvloop.run(main())


def test_one_that_says_nothing_is_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, hello_s=0.3) as p:
            silent, half = await p.peer(), await p.peer()
            half.raw(wire.pack(wire.HELLO, {"worker_id": "w1", "token": "t"})[:-3])
            assert await silent.cut() and await half.cut()

    uvloop.run(main())


def test_a_stranger_cannot_make_the_plane_hold_much(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            peer = await p.peer()
            peer.raw(struct.pack(">IBI", HELLO_MAX_BYTES + 1, wire.HELLO, 2) + b"{}")
            assert await peer.cut(10)  # long before the time for HELLO is over

    uvloop.run(main())


def test_half_a_frame_and_then_the_end_counts_for_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            job_id = await p.submit()
            job = await peer.take()
            head = {"id": job_id, "attempt": job.header["attempt"]}
            peer.raw(wire.pack(wire.DONE, head, b'{"output":"half"}')[:-2])
            await peer.writer.drain()
            peer.close()
            await until(lambda: not worker.jobs, "its job is given back")
            assert (await p.job(job_id)).status is Status.IN_QUEUE

    uvloop.run(main())


def test_frames_may_arrive_a_byte_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            worker = p.worker()
            peer = await p.peer()
            ready = wire.pack(wire.READY, {"concurrency": 1})
            hello = wire.pack(wire.HELLO, {"worker_id": worker.id, "token": worker.token})
            for byte in hello + ready:
                peer.raw(bytes([byte]))
                await asyncio.sleep(0)
            job_id = await p.submit()
            job = await peer.take()
            head = {"id": job_id, "attempt": job.header["attempt"]}
            for byte in wire.pack(wire.DONE, head, b'{"output":"slow"}'):
                peer.raw(bytes([byte]))
                await peer.writer.drain()
            assert await p.value(job_id) == "slow"

    uvloop.run(main())


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../../outside.json", "w1-secret.json", "w2-1-1.json", "w1-link.json"]
)
def test_a_file_that_is_not_the_workers_own_is_neither_read_nor_removed(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with plane(tmp_path / "data") as p:
            outside = tmp_path / "outside.json"
            outside.write_text('{"output":"stolen"}')
            other = p.store.spool / "w2-1-1.json"
            other.write_text('{"output":"of another worker"}')
            (p.store.spool / "w1-link.json").symlink_to(outside)
            (p.folder / "w1-secret.json").write_text('{"output":"beside the spool"}')
            path = {"w1-secret.json": str(p.folder / name), "/etc/hostname": name}.get(name, str(p.store.spool / name))
            worker = p.worker()
            peer = await p.peer(worker, concurrency=1)
            job_id = await p.submit()
            job = await peer.take()
            peer.send(wire.DONE, {"id": job_id, "attempt": job.header["attempt"], "path": path})
            assert await peer.cut()
            assert outside.exists() and other.exists()
            assert (p.folder / "w1-secret.json").exists()
            await until(lambda: not worker.jobs, "its job is given back")
            assert (await p.job(job_id)).status is Status.IN_QUEUE

    (tmp_path / "data").mkdir()
    uvloop.run(main())


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"output":}', b"\xff\xfe", b'"text"', b"7"])
def test_a_result_that_is_no_object_fails_its_job_with_a_sentence(tmp_path: Path, body: bytes) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            peer = await p.peer(p.worker(), concurrency=1)
            job_id = await p.submit()
            job = await peer.take()
            peer.send(wire.DONE, {"id": job_id, "attempt": job.header["attempt"]}, body)
            ended = await p.ended(job_id)
            assert ended.status is Status.FAILED and "not a JSON object" in str(ended.error)
            again = await p.submit()  # the connection goes on
            peer.done(await peer.take(), 2)
            assert await p.value(again) == 2

    uvloop.run(main())


def test_a_chunk_or_progress_that_is_no_json_is_left_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            peer = await p.peer(p.worker(), concurrency=1)
            job_id = await p.submit()
            job = await peer.take()
            head = {"id": job_id, "attempt": job.header["attempt"]}
            for body in (b"{", b"", b"\xff", b'{"n":NaN}', b'"good"'):
                peer.send(wire.STREAM, head, body)
            peer.send(wire.PROGRESS, head, b"half")
            peer.done(job, "end")
            assert await p.value(job_id) == "end"
            read = await p.store.read_stream("e", job_id, 0)
            assert read is not None and [json.loads(chunk) for chunk in read[1]] == [{"n": None}, "good"]
            assert (await p.job(job_id)).progress is None

    uvloop.run(main())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.one_of(
    st.binary(max_size=80),
    st.tuples(st.integers(0, 15), st.dictionaries(
        st.sampled_from(["id", "attempt", "n", "ids", "path", "run_s", "concurrency", "name", "start", "reason"]),
        st.one_of(st.none(), st.integers(), st.text(max_size=5), st.booleans(), st.lists(st.integers(), max_size=3)),
    ), st.binary(max_size=20)).map(lambda t: wire.pack(t[0], t[1], t[2])),
), max_size=6))  # fmt: skip
def test_whatever_a_known_worker_sends_the_plane_goes_on(tmp_path_factory: Any, pieces: list[bytes]) -> None:
    async def main(p: Plane) -> None:
        peer = await p.peer(p.worker("w1"), concurrency=2)
        job_id = await p.submit()
        await peer.take()
        for piece in pieces:
            peer.raw(piece)
        peer.writer.write_eof()
        await until(lambda: not p.registry.get("w1").connected, "its connection is over")  # type: ignore[union-attr]
        good = await p.peer(p.worker("w2"), concurrency=1)
        job = await p.job(job_id)
        if not job.final:
            good.done(await good.take(), "well")
        assert (await p.ended(job_id)).final
        next_id = await p.submit()
        good.done(await good.take(), "on")
        assert await p.value(next_id) == "on"

    async def run() -> None:
        async with plane(tmp_path_factory.mktemp("plane")) as p:
            await main(p)

    uvloop.run(run())
