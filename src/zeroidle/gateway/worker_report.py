"""What a worker's report says: progress, a result or an error, read from raw JSON without building the payload."""

from __future__ import annotations

import json
import mmap
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from zeroidle.job import Job, Payload, Spooled, Status
from zeroidle.store.protocol import Outcome
from zeroidle_worker.wire import LARGE

#: A body that arrived: small ones as bytes, large ones as a file.
Body = bytes | Path


class Report(msgspec.Struct, frozen=True, gc=False):
    """A parsed job-done body. `stop` asks that the worker be ended after this job (refresh_worker)."""

    output: Payload | None = None
    error: str | None = None
    progress: bool = False
    stop: bool = False

    def outcome(self, run_s: float | None = None, log_range: tuple[int, int] | None = None) -> Outcome:
        """The end of an attempt; FAILED when there is an error, the output kept beside it."""
        return Outcome(
            Status.COMPLETED if self.error is None else Status.FAILED, self.output, self.error, run_s, log_range
        )


class _Envelope(msgspec.Struct):
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    status: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    stopPod: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_envelope = msgspec.json.Decoder(_Envelope).decode


def parse_report(body: bytes) -> Report:
    """Reads a small body. NaN and infinities become null; what is not JSON becomes an error for the caller."""
    try:
        envelope = _envelope(body)
        if envelope.error is msgspec.UNSET and envelope.status is msgspec.UNSET and envelope.stopPod is msgspec.UNSET:
            return Report(_keep(envelope.output, None))  # nearly always
        return _report(envelope, None)
    except msgspec.DecodeError:
        return _lenient(body, None)


def parse_report_file(path: Path, spool: Path) -> Report:
    """Reads a large body from a file (call it off the event loop); a large output goes to a file of the spool.

    When there is no room for it the report says so: a worker would only run into the same wall again.
    """
    try:
        return _parse_file(path, spool)
    except OSError as exc:
        return Report(
            error=f"The result could not be kept in the plane's spool folder: {exc.strerror or exc}; free some space "
            "or return less."
        )


def _parse_file(path: Path, spool: Path) -> Report:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return _lenient(b"", None)
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _report(_envelope(data), spool)
    except msgspec.DecodeError:
        return _lenient(data[:], spool)


def parse_chunk(body: bytes) -> bytes | None:
    """The raw chunk of a job-stream body (`{"output": chunk}`); None when there is none in it."""
    report = parse_report(body)
    return report.output if isinstance(report.output, bytes) else None


def clean_json(value: bytes) -> bytes | None:
    """`value` when it is JSON, with NaN and infinities made null; None when it is not JSON."""
    try:
        msgspec.json.decode(value, type=msgspec.Raw)
        return value
    except msgspec.DecodeError:
        try:
            return _dump(json.loads(value, parse_constant=lambda _: None))
        except ValueError:
            return None


def job_parts(job: Job, spool: Path) -> tuple[bytes | Path, ...]:
    """The job as the JSON object that a worker gets (id, input, the keys of the envelope); a large input stays the
    file that it is."""
    inner = _inner(job)
    head, tail = b'{"id":%s,"input":' % msgspec.json.encode(job.id), b",%s}" % inner if inner else b"}"
    if isinstance(job.input, Spooled):
        return (head, spool / job.input.path, tail)
    return (head + job.input + tail,)


def job_keys(job: Job) -> bytes:
    """The job as a JSON object without its input."""
    inner = _inner(job)
    return b'{"id":%s%s}' % (_dump(job.id), b"," + inner if inner else b"")


def _inner(job: Job) -> bytes:
    return job.envelope.strip()[1:-1].strip() if job.envelope else b""


def _report(envelope: _Envelope, spool: Path | None) -> Report:
    return Report(
        output=_keep(envelope.output, spool),
        error=_error_text(envelope.error),
        progress=_plain(envelope.status) == "IN_PROGRESS",
        stop=bool(_plain(envelope.stopPod)),
    )


def _lenient(body: bytes, spool: Path | None) -> Report:
    """The slow way, for what a strict reader refuses: Python's `NaN`, or something that is no object at all."""
    try:
        value = json.loads(body, parse_constant=lambda _: None)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        return Report(error=f"The worker's report is not a JSON object ({len(body)} bytes); the result is lost.")
    return _report(_Envelope(**_known(value)), spool)


def _known(value: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    return {key: msgspec.Raw(_dump(value[key])) for key in _Envelope.__struct_fields__ if key in value}


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _keep(raw: msgspec.Raw | msgspec.UnsetType, spool: Path | None) -> Payload | None:
    if isinstance(raw, msgspec.UnsetType):
        return None
    if spool is None:
        return bytes(raw)
    view = memoryview(raw)
    if len(view) < LARGE:
        return bytes(view)
    name = f"out-{secrets.token_hex(12)}.json"
    path = spool / name
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", buffering=0) as out:
            written = 0
            while written < len(view):
                written += out.write(view[written:])
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return Spooled(name, len(view))


def _plain(raw: msgspec.Raw | msgspec.UnsetType) -> object:
    return None if isinstance(raw, msgspec.UnsetType) else json.loads(bytes(raw))


def _error_text(raw: msgspec.Raw | msgspec.UnsetType) -> str | None:
    """The SDK sends text, but a handler may have returned any value under `error`; a falsy one is no error."""
    value = _plain(raw)
    if not value:
        return None
    return value if isinstance(value, str) else _dump(value).decode()
