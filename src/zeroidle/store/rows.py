"""Translates jobs, deliveries and workers to rows of the tables and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from zeroidle.job import USUAL, Job, Payload, Phase, Policy, Spooled, Status
from zeroidle.store.protocol import Outcome

#: What SQLite takes and gives.
Value = str | bytes | int | float | None
Row = tuple[Value, ...]

#: A payload up to this size is kept in its job's row, which is rewritten at every change of the job.
INLINE_BYTES = 2048

_MAX_INTEGER = 2**63 - 1
_encode = msgspec.json.encode
_decode_phases = msgspec.json.Decoder(list[Phase]).decode
#: A request of a batch that is not finalized is kept as a job with the state DRAFT, which no job has in memory.
_STATUS = {status.value: status for status in Status} | {"DRAFT": Status.IN_QUEUE}


def text(value: str) -> str:
    """`value` as it can be stored: halves of surrogate pairs, which no UTF-8 has, become question marks."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def clean(value: str | None) -> str | None:
    """`text` of a value that may be missing."""
    return None if value is None else text(value)


def waiting_row(job: Job, bodies: list[Row]) -> Row | None:
    """The row of a new job in the order of insert_waiting; None when there is more to write of it."""
    if (
        job.status is not Status.IN_QUEUE
        or job.attempt
        or job.sync
        or job.webhook is not None
        or job.idempotency_key is not None
        or job.envelope is not None
        or not _plain(job.policy)
    ):
        return None
    return (
        job.seq,
        job.id,
        job.endpoint,
        job.created_at,
        job.queued_at,
        job.expires_at,
        phases_text(job.phases),
        _put_payload(job.input, 2 * job.seq, bodies),
    )


def draft_row(job: Job, ttl_s: float, bodies: list[Row]) -> Row:
    """The row of a request of a batch in the order of insert_draft."""
    return (
        job.seq,
        job.id,
        job.endpoint,
        job.created_at,
        ttl_s,
        job.batch,
        _options(job) or "",
        job.envelope or "",
        _put_payload(job.input, 2 * job.seq, bodies),
    )


def ended_row(job: Job, forget_at: float | None, bodies: list[Row]) -> Row | None:
    """The row of a known job's end in the order of update_ended; None when there is more to write of it."""
    if forget_at is None or job.started_at is None or job.output is None or job.error is not None:
        return None
    start, end = job.log_range or (-1, -1)
    return (
        job.seq,
        job.status._value_,
        job.started_at,
        job.finished_at,
        forget_at,
        job.attempt,
        job.losses,
        job.worker_id,
        _put_payload(job.output, 2 * job.seq + 1, bodies),
        job.chunks,
        job.chunks_read,
        start,
        end,
        phases_text(job.phases),
    )


def new_ended_row(job: Job, forget_at: float | None, bodies: list[Row]) -> Row | None:
    """The row of a new job that has ended in the order of insert_ended; None when there is more to write of it."""
    if (
        forget_at is None
        or not job.sync
        or job.started_at is None
        or job.output is None
        or job.error is not None
        or job.expires_at is None
        or job.webhook is not None
        or job.idempotency_key is not None
        or job.envelope is not None
        or not _plain(job.policy)
    ):
        return None
    start, end = job.log_range or (-1, -1)
    output, input_ = _put_payload(job.output, 2 * job.seq + 1, bodies), _put_payload(job.input, 2 * job.seq, bodies)
    return (
        job.seq, job.id, job.endpoint, job.status._value_, job.created_at, job.queued_at, job.started_at,
        job.finished_at, job.expires_at, forget_at, job.attempt, job.losses, job.worker_id, output,
        phases_text(job.phases), input_, job.chunks, job.chunks_read, start, end,
    )  # fmt: skip


def job_row(job: Job, forget_at: float | None, bodies: list[Row], new: bool) -> Row:
    """The row of a job in the order of upsert_job; payloads that do not fit in it go to `bodies`."""
    final = job.finished_at is not None
    start, end = job.log_range or (None, None)
    return (
        job.seq,
        job.id,
        job.endpoint,
        job.status._value_,
        job.created_at,
        job.queued_at,
        job.started_at,
        job.finished_at,
        job.expires_at,
        forget_at,
        job.lease_until,
        job.attempt,
        job.losses,
        job.worker_id,
        _put_payload(job.output, 2 * job.seq + 1, bodies) if final else None,
        clean(job.error),
        job.progress,
        job.chunks,
        job.chunks_read,
        start,
        end,
        phases_text(job.phases),
        job.idempotency_key,
        _options(job) if new else None,
        job.envelope if new else None,
        _put_payload(job.input, 2 * job.seq, bodies) if new else None,
    )


def _put_payload(payload: Payload | None, key: int, bodies: list[Row]) -> Value:
    if type(payload) is bytes:
        if len(payload) <= INLINE_BYTES:
            return payload
        bodies.append((key, payload))
        return len(payload)
    return f"{payload.size_bytes}:{payload.path}" if isinstance(payload, Spooled) else None


def payload_of(value: Value, data: Value) -> Payload | None:
    """The payload of a column, with its row of `body` if there is one."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        size, _, path = value.partition(":")
        return Spooled(path, int(size))
    return data if isinstance(data, bytes) else None


def _plain(policy: Policy) -> bool:
    return policy is USUAL or policy == USUAL


def _options(job: Job) -> str | None:
    options: dict[str, object] = {}
    if not _plain(job.policy):
        policy = job.policy
        options["policy"] = (policy.execution_timeout_ms, policy.ttl_ms, policy.low_priority)
    if job.sync:
        options["sync"] = True
    if job.webhook is not None:
        options["webhook"] = text(job.webhook)
    if job.retain_s is not None:
        options["retain_s"] = job.retain_s
    return _encode(options).decode() if options else None


def phases_text(phases: Iterable[Phase]) -> str:
    """A list of phases as JSON: arrays of name, start, end, attempt, note."""
    if type(phases) is not list:
        phases = list(phases)
    try:
        return _encode(phases).decode()  # a Phase is an array
    except UnicodeEncodeError:
        rows = [(p.name, p.start, p.end, p.attempt, p.note) for p in phases]
        return json.dumps([(text(name), start, end, n, clean(note)) for name, start, end, n, note in rows])


def phases_of(value: str | None) -> list[Phase]:
    """The list of phases of a column."""
    return _decode_phases(value) if value else []


def sound(phases: Sequence[Phase]) -> list[Phase]:
    """Those whose times are numbers; what a worker reports may be anything."""
    return [p for p in phases if math.isfinite(p.start) and (p.end is None or math.isfinite(p.end))]


def sound_outcome(outcome: Outcome) -> Outcome:
    """The outcome with its text and its byte range as they can be stored."""
    log_range, error = outcome.log_range, outcome.error
    fits = log_range is None or 0 <= log_range[0] <= log_range[1] <= _MAX_INTEGER
    if fits and (error is None or error.isascii()):
        return outcome
    return replace(outcome, error=clean(error), log_range=log_range if fits else None)


def job_of(row: Sequence[Any], with_input: bool = True) -> tuple[Job, float | None]:
    """The job of a row (the columns of `job`, then input_data and output_data), and when it is to be forgotten."""
    (
        seq, id_, endpoint, status, created_at, queued_at, started_at, finished_at, expires_at, forget_at, lease_until,
        attempt, losses, worker_id, idempotency_key, options, envelope, input_, output, error, progress, chunks,
        chunks_read, log_start, log_end, phases, batch, input_data, output_data,
    ) = row  # fmt: skip
    settings = json.loads(options) if options else {}
    policy = settings.get("policy")
    job = Job(
        id=id_,
        endpoint=endpoint,
        input=(payload_of(input_, input_data) if with_input else None) or b"null",
        status=_STATUS[status],
        policy=Policy(*policy) if policy else USUAL,
        created_at=created_at,
        sync=bool(settings.get("sync")),
        webhook=settings.get("webhook"),
        envelope=envelope,
        retain_s=settings.get("retain_s"),
        idempotency_key=idempotency_key,
        attempt=attempt,
        losses=losses,
        worker_id=worker_id,
        lease_until=lease_until,
        queued_at=queued_at,
        started_at=started_at,
        finished_at=finished_at,
        expires_at=expires_at,
        progress=progress,
        output=payload_of(output, output_data),
        error=error,
        chunks=chunks,
        chunks_read=chunks_read,
        log_range=(log_start, log_end) if log_start is not None and log_end is not None else None,
        phases=phases_of(phases),
        seq=seq,
        batch=batch,
    )
    return job, forget_at


def told_of(row: Sequence[Any]) -> Job:
    """The job of a row of select_of_batch: what /status says of it, and no more."""
    seq, id_, status, queued_at, started_at, finished_at, worker_id, error, output, data = row
    return Job(
        id=id_, endpoint="", input=b"null", status=_STATUS[status], queued_at=queued_at, started_at=started_at,
        finished_at=finished_at, worker_id=worker_id, error=error, output=payload_of(output, data), seq=seq,
    )  # fmt: skip


def waiting_of(row: Sequence[Any], batch: str) -> Job:
    """The job of a row of select_waiting_of_batch."""
    seq, id_, endpoint, created_at, queued_at, expires_at, options, envelope, input_, data = row
    job = Job(
        id=id_, endpoint=endpoint, input=payload_of(input_, data) or b"null", created_at=created_at,
        queued_at=queued_at, expires_at=expires_at, envelope=envelope, phases=[Phase("queued", queued_at)], seq=seq,
        batch=batch,
    )  # fmt: skip
    if options is not None:
        settings = json.loads(options)
        policy = settings.get("policy")
        job.policy, job.webhook = Policy(*policy) if policy else USUAL, settings.get("webhook")
    return job
