"""Refuses an Idempotency-Key that comes again with another job (draft-ietf-httpapi-idempotency-key-header, 2.7)."""

from __future__ import annotations

import asyncio
import mmap
import re
from contextlib import ExitStack
from pathlib import Path

from zeroidle.errors import RequestError
from zeroidle.job import Job, Payload, Spooled

_BLOCK_BYTES = 1 << 20
_SPACE = re.compile(rb"[ \t\r\n]*")


class KeyReused(RequestError):
    """This Idempotency-Key came before with another job."""

    http_status = 422


async def check_same(spool: Path, earlier: Job, job: Job) -> None:
    """Raises KeyReused unless `job` asks for what the `earlier` one with its key asked for.

    Inputs are compared as they were sent, byte by byte: who tries again sends the same text. s3Config is not compared,
    because it holds credentials, which may be new ones by then.
    """
    what = "policy" if job.policy != earlier.policy else "webhook" if job.webhook != earlier.webhook else ""
    if not what and not await _same(spool, earlier.input, job.input):
        what = "input"
    if what:
        raise KeyReused(
            f"The Idempotency-Key {job.idempotency_key!r} came before with another {what}, as the job {earlier.id}; "
            "use a new key for a new job."
        )


async def _same(spool: Path, one: Payload, other: Payload) -> bool:
    if isinstance(one, bytes) and isinstance(other, bytes):
        return one == other
    try:
        return await asyncio.to_thread(_same_text, spool, one, other)
    except FileNotFoundError:  # the earlier job's time ended meanwhile: nobody can tell any more
        return True


def _same_text(spool: Path, one: Payload, other: Payload) -> bool:
    """Whether two payloads are the same but for white space at their beginning, which a large one may have got here."""
    with ExitStack() as stack:
        first, second = (_mapped(spool, payload, stack) for payload in (one, other))
        a, b = (match.end() if (match := _SPACE.match(data)) else 0 for data in (first, second))
        if len(first) - a != len(second) - b:
            return False
        ats = range(0, len(first) - a, _BLOCK_BYTES)
        return all(first[a + at : a + at + _BLOCK_BYTES] == second[b + at : b + at + _BLOCK_BYTES] for at in ats)


def _mapped(spool: Path, payload: Payload, stack: ExitStack) -> bytes | mmap.mmap:
    if not isinstance(payload, Spooled):
        return payload
    file = stack.enter_context((spool / payload.path).open("rb"))
    return stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
