"""RunPod's worker protocol over HTTP: job-take, job-done, job-stream, job-stop and ping for the real SDK."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from zeroidle.endpoint import Endpoint
from zeroidle.errors import StoreError
from zeroidle.gateway.body import MAX_RESULT_BYTES
from zeroidle.gateway.message import Request, Response, Spliced
from zeroidle.gateway.worker_peer import HttpPeer
from zeroidle.gateway.worker_report import Body, job_parts, parse_chunk
from zeroidle.gateway.worker_session import PlaneStore, WorkerSession
from zeroidle.job import Job, Spooled
from zeroidle.worker import Registry, Worker, WorkerEventKind, WorkerState

log = logging.getLogger("zeroidle.worker")

#: How long a poll is held: the SDK's own limit is 90 s, and every empty answer makes it ask again at once.
HOLD_S = 75.0

#: An unknown worker would ask again without a pause.
STRANGER_DELAY_S = 5.0

#: A worker that is to end is answered soon: its SDK ends only between two polls.
DRAIN_HOLD_S = 0.5

#: How often a held poll looks whether its worker is still there.
LOOK_S = 1.0

#: What an unknown worker may send at most.
MAX_STRANGER_BYTES = 32 * 1024**2

_OK = b"{}"


class _Call(Struct):
    """One request, taken apart."""

    request: Request
    verb: str
    worker: Worker
    peer: HttpPeer
    job_id: str
    query: dict[str, str]


class WorkerApi:
    """Mounted at /worker/{endpoint}/{verb}/{worker_id}[/{job_id}]. Never answers 4xx to a worker's result."""

    def __init__(self, store: PlaneStore, registry: Registry, endpoints: Mapping[str, Endpoint]) -> None:
        self._store = store
        self._registry = registry
        self._endpoints = endpoints
        self._peers: dict[str, HttpPeer] = {}
        self._closing = asyncio.Event()
        self._verbs: dict[str, Callable[[_Call], Awaitable[Response]]] = {
            "job-take": self._take,
            "job-take-batch": self._take,
            "job-stop": self._stop,
            "job-done": self._done,
            "job-stream": self._stream,
            "ping": self._ping,
        }
        registry.listen(self._on_worker)

    async def handle(self, request: Request) -> Response:
        """Answers one request of a worker."""
        segments, query = _split(request)
        verb = segments[2] if len(segments) > 2 else ""
        if verb not in self._verbs or len(segments) < 4:
            return _sentence(404, f"There is no worker call at {request.path}.")
        worker = self._registry.get(segments[3])
        if worker is None or worker.endpoint != segments[1]:
            return await self._stranger(request, verb, segments)
        if not _authentic(worker, request, query):
            return _sentence(401, "The worker's token is missing or wrong.")
        job_id = segments[4] if len(segments) > 4 else ""
        if verb in ("job-done", "job-stream") and not job_id:
            return _sentence(404, f"{verb} needs a job id in its path.")
        peer = self._peer(worker)
        peer.session.seen()
        return await self._verbs[verb](_Call(request, verb, worker, peer, job_id, query))

    def admit(self, request: Request) -> int:
        """The longest body that a worker may send: for the server, before the body goes to disk. Without a living
        worker's token it is a little: a late result is read and dropped, not kept."""
        segments, query = _split(request)
        worker = self._registry.get(segments[3]) if len(segments) > 3 else None
        known = worker is not None and worker.endpoint == segments[1] and _authentic(worker, request, query)
        return MAX_RESULT_BYTES if known else MAX_STRANGER_BYTES

    def close(self) -> None:
        """Ends every held poll."""
        self._closing.set()

    def open_polls(self, worker_id: str) -> int:
        """How many takes of a worker are held now."""
        peer = self._peers.get(worker_id)
        return peer.open_takes if peer else 0

    # -- who calls

    def _peer(self, worker: Worker) -> HttpPeer:
        peer = self._peers.get(worker.id)
        if peer is None or peer.worker is not worker:
            session = WorkerSession(self._store, self._registry, self._endpoints, worker)
            peer = self._peers[worker.id] = HttpPeer(session)
        return peer

    def _on_worker(self, kind: WorkerEventKind, worker: Worker) -> None:
        peer = self._peers.pop(worker.id, None) if kind == "gone" else self._peers.get(worker.id)
        if peer is not None and kind in ("gone", "draining"):
            peer.changed.set()

    async def _stranger(self, request: Request, verb: str, segments: list[str]) -> Response:
        """A worker that is gone, or never was. Its late result is taken and dropped, as a fenced one is."""
        log.info("worker.unknown id=%s verb=%s", segments[3], verb)
        if verb in ("job-done", "job-stream"):
            _remove(self._taken(request))
            return Response(body=_OK)
        if verb != "ping" and not self._closing.is_set():
            await _first(self._closing.wait(), timeout_s=STRANGER_DELAY_S)
        return _sentence(401, f"There is no worker {segments[3]} at endpoint {segments[1]}; it was stopped.")

    # -- jobs out

    async def _take(self, call: _Call) -> Response:
        peer, worker = call.peer, call.worker
        peer.hello(call.request.headers.get("user-agent"))
        await peer.settle(peer.evidence.took(call.query.get("job_in_progress"), list(worker.jobs.values())))
        asked = _number(call.query.get("batch_size"), 1)
        # batch_size is what is free beside the jobs that it has.
        peer.session.ready(max(worker.concurrency, asked), cooperative=peer.stoppable)
        jobs = await self._claim(call, asked)
        if not jobs:
            return Response(204)
        log.debug("jobs.taken worker=%s n=%d", worker.id, len(jobs))
        as_list = call.verb == "job-take-batch" or len(jobs) > 1
        return Response(body=_answer([job_parts(job, self._store.spool) for job in jobs], as_list))

    async def _claim(self, call: _Call, asked: int) -> list[Job]:
        """Waits for jobs as long as the poll may be held and its worker is there."""
        peer, worker, deadline = call.peer, call.worker, time.monotonic() + HOLD_S
        worker.last_poll_at = time.time()
        peer.open_takes += 1
        try:
            room = asked if worker.cap is None else worker.cap - len(worker.jobs)
            if worker.state is not WorkerState.READY or room <= 0:
                await self._idle(call)
                return []
            size = peer.evidence.list_size(asked, worker.mean_run_s, self._share(worker))
            if worker.cap is not None:
                size = min(size, room)
            return await self._wait(call, size, deadline)
        except StoreError as exc:
            log.error("jobs.take_failed worker=%s error=%s", worker.id, exc)
            await _first(self._closing.wait(), timeout_s=LOOK_S)
            return []
        finally:
            peer.open_takes -= 1
            worker.last_poll_at = time.time()

    async def _wait(self, call: _Call, size: int, deadline: float) -> list[Job]:
        claim = asyncio.ensure_future(call.peer.session.claim(size, HOLD_S))
        delivered = False
        try:
            while not claim.done() and self._goes_on(call) and (left := deadline - time.monotonic()) > 0:
                await call.peer.nudge(claim, self._closing, min(LOOK_S, left))
            if not claim.done():
                claim.cancel()
                await asyncio.wait((claim,))
            jobs = [] if claim.cancelled() else claim.result()
            delivered = not jobs or self._goes_on(call)
            return jobs if delivered else []
        finally:
            if not delivered:
                claim.cancel()
                call.peer.take_back(claim)

    def _goes_on(self, call: _Call) -> bool:
        return call.request.alive() and not self._closing.is_set() and call.worker.state is WorkerState.READY

    async def _idle(self, call: _Call) -> None:
        """Holds a poll that will get nothing for a moment: an answer at once would be asked again at once."""
        deadline = time.monotonic() + DRAIN_HOLD_S
        while call.request.alive() and call.worker.state is not WorkerState.GONE:
            if self._closing.is_set() or (left := deadline - time.monotonic()) <= 0:
                return
            await call.peer.nudge(None, self._closing, left)

    def _share(self, worker: Worker) -> int:
        counts = self._store.counts(worker.endpoint)
        ready = sum(w.state is WorkerState.READY for w in self._registry.of(worker.endpoint))
        return -(-(counts.queued + counts.queued_low) // max(1, ready))

    # -- reports in

    async def _done(self, call: _Call) -> Response:
        # A lost connection cancels this handler, but what has arrived counts.
        return await asyncio.shield(asyncio.ensure_future(self._record(call, self._taken(call.request))))

    async def _record(self, call: _Call, body: Body) -> Response:
        peer, held, now = call.peer, call.worker.jobs.get(call.job_id), time.time()
        run_s = peer.evidence.run_s(held, now) if held else None
        try:
            report = await peer.session.report(call.job_id, body, run_s)
        except Exception as exc:
            peer.evidence.failed_reports.add(call.job_id)
            if not isinstance(exc, StoreError):
                raise
            log.error("report.not_kept job=%s error=%s", call.job_id, exc)
            return _sentence(503, exc.message)
        finally:
            _remove(body)
        if held and report.progress:
            peer.evidence.began(held, now)
        elif held:
            peer.evidence.ended(held, now)
        return Response(body=_OK)

    async def _stream(self, call: _Call) -> Response:
        body = self._taken(call.request)
        try:
            chunk = parse_chunk(body if isinstance(body, bytes) else await asyncio.to_thread(body.read_bytes))
        finally:
            _remove(body)
        held = call.worker.jobs.get(call.job_id)
        if held:
            call.peer.evidence.began(held, time.time())
        if chunk is not None:
            await call.peer.session.chunk(call.job_id, held.attempt if held else None, chunk)
        return Response(body=_OK)

    def _taken(self, request: Request) -> Body:
        """The body, from now on ours to remove."""
        body, request.body = request.body, b""
        return self._store.spool / body.path if isinstance(body, Spooled) else body

    # -- signs of life

    async def _ping(self, call: _Call) -> Response:
        query, peer = call.query, call.peer
        peer.hello(query.get("runpod_version"))
        if query.get("status") == "unhealthy":
            peer.session.failed(
                "unhealthy", f"The SDK's check {query.get('check', '?')} failed: {query.get('reason', '?')}"
            )
            return Response(body=_OK)
        await peer.pinged({i for i in query.get("job_id", "").split(",") if i}, time.time())
        return Response(body=_OK)

    async def _stop(self, call: _Call) -> Response:
        peer, deadline = call.peer, time.monotonic() + HOLD_S
        peer.polls_stop(time.time())
        while not peer.stops and self._goes_on(call) and (left := deadline - time.monotonic()) > 0:
            await peer.nudge(None, self._closing, min(LOOK_S, left))
            if peer.must_prove(time.time()):
                return Response(204)
        if not peer.stops and not self._goes_on(call):
            await self._idle(call)
        if not peer.stops or not call.request.alive():
            return Response(204)
        return Response(body=msgspec.json.encode({"jobsToStop": peer.told()}))


def _split(request: Request) -> tuple[list[str], dict[str, str]]:
    """The path's segments and the query. A template without `?` leaves `&key=value` on the last segment."""
    path, _, tail = request.path.partition("&")
    query = dict(parse_qsl(tail, keep_blank_values=True))
    query.update(parse_qsl(request.query, keep_blank_values=True))
    return path.strip("/").split("/"), query


def _authentic(worker: Worker, request: Request, query: Mapping[str, str]) -> bool:
    """Whether the worker's token came in Authorization (raw or Bearer) or in the query."""
    header = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    token = worker.token.encode()
    sent = hmac.compare_digest(header.encode(), token)
    return hmac.compare_digest(query.get("token", "").encode(), token) or sent


def _answer(jobs: list[tuple[bytes | Path, ...]], as_list: bool) -> bytes | Spliced:
    parts: list[bytes | Path] = [b"["] if as_list else []
    for index, job in enumerate(jobs):
        parts += ([b","] if index else []) + list(job)
    if as_list:
        parts.append(b"]")
    small = [part for part in parts if isinstance(part, bytes)]
    return b"".join(small) if len(small) == len(parts) else Spliced(tuple(parts))


def _sentence(status: int, text: str) -> Response:
    return Response(status, msgspec.json.encode({"error": text}))


def _number(text: str | None, default: int) -> int:
    return max(1, min(int(text), 1000)) if text and text.isdecimal() else default


def _remove(body: Body) -> None:
    if isinstance(body, Path):
        body.unlink(missing_ok=True)


async def _first(*events: Awaitable[object], timeout_s: float) -> None:
    """Waits for the first of several awaitables, at most `timeout_s`; the others are cancelled."""
    tasks = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
