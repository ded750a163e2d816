"""RunPod's batches: /batch and what is below it. A batch is made as a draft, gets requests, is finalized and runs.

RunPod publishes no schema of it. Routes, states and the names of the counts are from its documentation ("Batch jobs");
what that leaves open (the lists, the shape of one request) is our own and stands in our OpenAPI document.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from zeroidle.endpoint import Endpoint
from zeroidle.errors import NotFound, RateLimited, RequestError
from zeroidle.gateway import answers
from zeroidle.gateway.message import Request, Response, Spliced
from zeroidle.gateway.reply import failure
from zeroidle.gateway.submission import Reader, drafts_of
from zeroidle.job import Job, Status
from zeroidle.job_batch import BatchStatus, JobBatch, batch_body, new_batch_id
from zeroidle.store.batch_protocol import BatchStore

MAX_NAME_CHARS = 255
MAX_PAGE = 1000
DEFAULT_PAGE = 100
#: The state of a request whose batch is not finalized; no job has it.
DRAFT = BatchStatus.DRAFT.value
MAX_OFFSET = 2**31

#: RunPod's (runpod/docs, "Batch jobs"), for endpoints with rate_limits = "runpod": requests of one batch, batches that
#: are not over. Its third, 50,000 requests of all, is what these two allow.
RUNPOD_LIMITS = (5000, 10)


#: A piece of a body: bytes, a file, or both in a row.
_Piece = bytes | Path | Spliced


class _Call(Struct):
    """One request: the batch's id and that of one of its requests, "" without."""

    request: Request
    endpoint: Endpoint
    batch_id: str
    request_id: str


_Run = Callable[[_Call], Awaitable[Response]]


class BatchApi:
    """Everything under /v2/{endpoint}/batch."""

    def __init__(self, store: BatchStore, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self._routes: Mapping[str, Mapping[str, _Run]] = {
            "batch": {"POST": self._create, "GET": self._list},
            "batch/{batch}": {"GET": self._get, "PUT": self._rename},
            "batch/{batch}/finalize": {"POST": self._finalize},
            "batch/{batch}/cancel": {"POST": self._cancel},
            "batch/{batch}/requests": {"POST": self._append, "GET": self._requests},
            "batch/{batch}/requests/{request}": {"GET": self._one, "PUT": self._replace, "DELETE": self._remove},
        }

    async def answer(self, request: Request, endpoint: Endpoint, rest: str) -> Response:
        """Answers one request; `rest` is the path after /batch/. Raises RequestError and StoreError."""
        pieces = rest.split("/") if rest else []
        names = ["{batch}" if n == 0 else "{request}" if n == 2 else piece for n, piece in enumerate(pieces)]
        route = "/".join(["batch", *names])
        methods = self._routes.get(route)
        if methods is None or not all(pieces):
            there = ", ".join(f"/{name}" for name in self._routes)
            raise NotFound(f"There is no operation {f'batch/{rest}'[:100]!r}; there is: {there}.")
        run = methods.get("GET" if request.method == "HEAD" else request.method)
        if run is None:
            allow = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            return failure(405, f"/{route} takes {allow}, not {request.method}.", {"allow": allow})
        batch_id, request_id = (pieces[n] if len(pieces) > n else "" for n in (0, 2))
        return await run(_Call(request, endpoint, batch_id, request_id))

    # The batch

    async def _create(self, call: _Call) -> Response:
        found = await self._reader.read_many(call.endpoint, call.request)
        _check_name(found.name)
        await self._check_limits(call.endpoint, None, len(found.jobs))
        batch = JobBatch(new_batch_id(), call.endpoint.name, found.name, found.webhook, created_at=time.time())
        return _batch(await self._store.create_batch(batch, found.jobs))

    async def _list(self, call: _Call) -> Response:
        limit, offset = _page(call.request)
        found = await self._store.list_batches(call.endpoint.name, limit, offset)
        return Response(200, msgspec.json.encode({"batches": [batch_body(*one) for one in found]}))

    async def _get(self, call: _Call) -> Response:
        return _batch(*await self._known(call))

    async def _rename(self, call: _Call) -> Response:
        found = await self._reader.read_many(call.endpoint, call.request)
        if found.jobs or found.webhook is not None or not found.named:
            raise RequestError('Only the name of a batch can be changed; send {"name": "..."}.')
        _check_name(found.name)
        await self._store.rename_batch(call.endpoint.name, call.batch_id, found.name)
        return _batch(*await self._known(call))

    async def _finalize(self, call: _Call) -> Response:
        await self._store.finalize_batch(call.endpoint.name, call.batch_id)
        return _batch(*await self._known(call))

    async def _cancel(self, call: _Call) -> Response:
        await self._store.cancel_batch(call.endpoint.name, call.batch_id)
        return _batch(*await self._known(call))

    # Its requests

    async def _append(self, call: _Call) -> Response:
        found = await self._reader.read_many(call.endpoint, call.request)
        if not found.jobs:
            raise RequestError('There are no requests in the body; send {"requests": [{"input": ...}, ...]}.')
        if found.name is not None or found.webhook is not None:
            raise RequestError("name and webhook of a batch are given when it is made (POST /batch).")
        batch, _ = await self._known(call)
        await self._check_limits(call.endpoint, batch, len(found.jobs))
        return _batch(await self._store.add_to_batch(call.endpoint.name, call.batch_id, found.jobs))

    async def _requests(self, call: _Call) -> Response:
        limit, offset = _page(call.request)
        wanted = call.request.param("status")
        if wanted is not None and wanted != DRAFT and wanted not in Status.__members__:
            raise RequestError(f"status is {wanted[:100]!r}; it must be one of {', '.join((*Status, DRAFT))}.")
        batch, _ = await self._known(call)
        is_draft = batch.status is BatchStatus.DRAFT
        if wanted is not None and (wanted == DRAFT) != is_draft:
            return Response(200, b'{"requests":[],"total":%d}' % batch.total)
        status = None if wanted is None or is_draft else Status(wanted)
        found = await self._store.list_of_batch(call.endpoint.name, call.batch_id, status, limit, offset)
        if found is None:
            raise _unknown(call)
        jobs, following = found
        pieces: list[_Piece] = [b'{"requests":[']
        for n, job in enumerate(jobs):
            pieces += (b"," if n else b"", self._body(job, batch))
        more = b"" if following is None else b',"next":%d' % following
        return Response(200, _joined([*pieces, b'],"total":%d%b}' % (batch.total, more)]))

    async def _one(self, call: _Call) -> Response:
        batch, job = await self._find(call)
        given = job.input if isinstance(job.input, bytes) else self._reader.spool / job.input.path
        return Response(200, _joined([b'{"input":', given, b',"request":', self._body(job, batch), b"}"]))

    async def _replace(self, call: _Call) -> Response:
        submission = await self._reader.read(call.endpoint, call.request, call.endpoint.max_body_bytes)
        (job,) = drafts_of([submission], call.endpoint)
        job.id = call.request_id
        await self._store.replace_in_batch(call.endpoint.name, call.batch_id, job)
        return await self._one(call)

    async def _remove(self, call: _Call) -> Response:
        return _batch(await self._store.remove_from_batch(call.endpoint.name, call.batch_id, call.request_id))

    # How

    async def _known(self, call: _Call) -> tuple[JobBatch, int]:
        found = await self._store.get_batch(call.endpoint.name, call.batch_id)
        if found is None:
            raise _unknown(call)
        return found

    async def _find(self, call: _Call) -> tuple[JobBatch, Job]:
        batch, _ = await self._known(call)
        job = await self._store.one_of_batch(call.endpoint.name, call.batch_id, call.request_id)
        if job is None:
            raise NotFound(f"There is no request {call.request_id[:100]!r} in the batch {batch.id}.")
        return batch, job

    def _body(self, job: Job, batch: JobBatch) -> bytes | Spliced:
        if batch.status is BatchStatus.DRAFT:
            return b'{"id":%b,"status":"DRAFT"}' % msgspec.json.encode(job.id)
        return answers.job_body(job, self._reader.spool)

    async def _check_limits(self, endpoint: Endpoint, batch: JobBatch | None, more: int) -> None:
        if endpoint.rate_limits != "runpod":
            return
        of_one, at_once = RUNPOD_LIMITS
        total = more + (0 if batch is None else batch.total)
        if total > of_one:
            raise RequestError(f"A batch takes {of_one} requests, not {total}; make several batches.")
        if batch is None:
            known = await self._store.list_batches(endpoint.name, MAX_OFFSET, 0)
            if sum(not one.over for one, _ in known) >= at_once:
                raise RateLimited(f"The endpoint {endpoint.name} takes {at_once} batches at once; wait for one to end.")


def _batch(batch: JobBatch, in_progress: int = 0) -> Response:
    return Response(200, msgspec.json.encode(batch_body(batch, in_progress)))


def _unknown(call: _Call) -> NotFound:
    return NotFound(f"There is no batch {call.batch_id[:100]!r} here; it may have expired.")


def _joined(pieces: Iterable[_Piece]) -> bytes | Spliced:
    """One body of all; what is in a file stays there."""
    text: list[bytes] = []
    parts: list[bytes | Path] = []
    for piece in pieces:
        for part in piece.parts if isinstance(piece, Spliced) else (piece,):
            if isinstance(part, bytes):
                text.append(part)
            else:
                parts += (b"".join(text), part)
                text = []
    last = b"".join(text)
    return Spliced((*parts, last)) if parts else last


def _check_name(name: str | None) -> None:
    if name is not None and len(name) > MAX_NAME_CHARS:
        raise RequestError(f"The name has {len(name)} characters; a batch's has at most {MAX_NAME_CHARS}.")


def _page(request: Request) -> tuple[int, int]:
    limit = request.integer("limit", (1, MAX_PAGE))
    return DEFAULT_PAGE if limit is None else limit, request.integer("offset", (0, MAX_OFFSET)) or 0
