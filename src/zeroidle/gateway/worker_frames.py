"""Reads a worker's frames strictly, by kind, and writes the frames that hand out jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zeroidle.gateway.worker_report import job_keys, job_parts
from zeroidle.gateway.worker_session import WorkerSession
from zeroidle.job import Job, Spooled
from zeroidle_worker import wire
from zeroidle_worker.wire import HEAD, ProtocolError

_id = msgspec.json.encode
_HEAD_BYTES, _unpack_head = HEAD.size, HEAD.unpack_from

#: Before a connection has shown whose it is, its frames are short.
HELLO_MAX_BYTES = 64 * 1024

#: No worker is handed more jobs than this at once.
MAX_CREDIT = 4096

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, lt=1e12)]
Id = Annotated[str, Meta(min_length=1, max_length=300)]


class Hello(msgspec.Struct):
    """Who the worker is. It comes again on the same connection when it starts anew with the real SDK."""

    worker_id: Id
    token: Annotated[str, Meta(max_length=1000)]
    pid: Count | None = None
    sdk: Annotated[str, Meta(max_length=100)] | None = None


class PhaseSaid(msgspec.Struct):
    """A stretch of its start."""

    name: Annotated[str, Meta(max_length=100)]
    start: Seconds
    end: Seconds | None = None
    note: Annotated[str, Meta(max_length=1000)] | None = None


class Ready(msgspec.Struct):
    """It takes jobs from now on."""

    concurrency: Annotated[int, Meta(ge=1, le=MAX_CREDIT)]
    cooperative: bool = False


class Failed(msgspec.Struct):
    """It cannot work."""

    reason: Annotated[str, Meta(max_length=100)]
    message: str = ""


class Take(msgspec.Struct):
    """How many jobs it holds at most."""

    n: Annotated[int, Meta(ge=0, le=MAX_CREDIT)]


class Done(msgspec.Struct):
    """A job has ended."""

    id: Id
    attempt: Count
    run_s: Seconds | None = None
    log: tuple[Count, Count] | None = None
    path: str | None = None
    refresh: bool = False


class Stream(msgspec.Struct):
    """A chunk of a job's stream."""

    id: Id
    attempt: Count
    path: str | None = None


class Progress(Stream):
    """A job's progress."""


class Release(msgspec.Struct):
    """Jobs that it had not begun."""

    ids: list[Id]


Head = Hello | PhaseSaid | Ready | Failed | Take | Done | Stream | Release

_decoders: dict[int, Any] = {
    kind: msgspec.json.Decoder(head).decode
    for kind, head in (
        (wire.HELLO, Hello), (wire.PHASE, PhaseSaid), (wire.READY, Ready), (wire.FAILED, Failed), (wire.TAKE, Take),
        (wire.DONE, Done), (wire.STREAM, Stream), (wire.PROGRESS, Progress), (wire.RELEASE, Release),
    )
}  # fmt: skip


class FrameReader:
    """Turns what arrives into (header, body) pairs. `max_bytes` bounds one frame."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._rest = bytearray()
        self._wanted = 0  # how many bytes the rest needs before it can hold a whole frame

    def feed(self, data: bytes) -> Iterator[tuple[Head, bytes]]:
        """Each frame that is complete with `data`. Raises ProtocolError on nonsense."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return
            data = bytes(self._rest)
        at, size = 0, len(data)
        self._wanted = 0
        try:
            while size - at >= _HEAD_BYTES:
                length, kind, head_bytes = _unpack_head(data, at)
                decode = _decoders.get(kind)
                if decode is None or length > self.max_bytes or head_bytes + 5 > length:
                    raise ProtocolError(f"not a frame: length {length}, kind {kind}, header {head_bytes}")
                end = at + 4 + length
                if end > size:
                    self._wanted = 4 + length
                    break
                body_at = at + _HEAD_BYTES + head_bytes
                try:
                    head = decode(data[at + _HEAD_BYTES : body_at])
                except (msgspec.DecodeError, RecursionError) as exc:
                    raise ProtocolError(f"the header of a frame of kind {kind} is not valid: {exc}") from exc
                at = end
                yield head, data[body_at:end]
        finally:
            self._rest = bytearray(data[at:])


def job_frames(session: WorkerSession, jobs: list[Job]) -> bytes:
    """The frames that hand out jobs. A spooled input is named, not copied."""
    timeout_s, spool = session.timeout_s, session.store.spool
    return b"".join([_job_frame(job, timeout_s, spool) for job in jobs])


def _job_frame(job: Job, timeout_s: float | None, spool: Path) -> bytes:
    job_id, own_ms, started_at = _id(job.id), job.policy.execution_timeout_ms, job.started_at
    if own_ms is not None:
        timeout_s = own_ms / 1000
    if timeout_s is not None and started_at is not None:
        head = b'{"id":%b,"attempt":%d,"deadline":%f' % (job_id, job.attempt, started_at + timeout_s)
    else:
        head = b'{"id":%b,"attempt":%d' % (job_id, job.attempt)
    if type(job.input) is bytes and job.envelope is None:
        body = b'{"id":%b,"input":%b}' % (job_id, job.input)
    elif isinstance(job.input, Spooled):
        head += b',"path":' + msgspec.json.encode(str((spool / job.input.path).absolute()))
        body = job_keys(job)
    else:
        (part,) = job_parts(job, spool)
        assert isinstance(part, bytes)
        body = part
    head += b"}"
    return HEAD.pack(5 + len(head) + len(body), wire.JOB, len(head)) + head + body
