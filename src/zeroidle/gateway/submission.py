"""From the body of /run or /runsync to a checked submission: JSON as it is, forms by conversion."""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from zeroidle.endpoint import Endpoint
from zeroidle.errors import RequestError, TooLarge
from zeroidle.gateway.body import LARGE_BYTES, remove_file
from zeroidle.gateway.envelope import Submission, read_large, read_many, read_small
from zeroidle.gateway.message import Request
from zeroidle.job import Job, JobIds, Payload, Policy, Spooled, read_payload

#: Looks at the raw JSON of an input and raises RequestError when it does not fit the endpoint's schema. It is called on
#: the loop for a small input and in a thread for a large one, which is a map of its file.
Check = Callable[[Endpoint, "bytes | mmap.mmap"], None]

#: Turns a form into the raw JSON of an input: (endpoint, content type with its boundary, body). Raises RequestError.
#: It is called in a thread.
Upload = Callable[[Endpoint, str, "bytes | Path"], bytes]


def job_of(submission: Submission, endpoint: Endpoint, job_id: str, sync: bool, key: str | None = None) -> Job:
    """The new job that a submission asks for; `key` is its idempotency key."""
    now = time.time()
    return Job(
        id=job_id,
        endpoint=endpoint.name,
        input=submission.input,
        policy=submission.policy,
        created_at=now,
        queued_at=now,
        sync=sync,
        webhook=submission.webhook,
        envelope=submission.envelope,
        idempotency_key=key,
    )


def drafts_of(submissions: list[Submission], endpoint: Endpoint) -> list[Job]:
    """The requests of a batch, which become jobs when it is finalized. May be called in a thread."""
    now, ids = time.time(), JobIds(max(1, len(submissions)))
    return [
        Job(
            id=ids.new_of_batch(),
            endpoint=endpoint.name,
            input=one.input,
            policy=one.policy,
            created_at=now,
            queued_at=now,
            webhook=one.webhook,
            envelope=one.envelope,
        )
        for one in submissions
    ]


class Drafts(NamedTuple):
    """New requests of a batch, with the name and the webhook of the batch itself."""

    jobs: list[Job]
    name: str | None
    webhook: str | None
    named: bool = False


class UnsupportedBody(RequestError):
    """The body has an encoding or a type that is not taken here; send JSON."""

    http_status = 415


#: One call adds at most so many requests to a batch: they are taken together, and meanwhile nothing else is.
MAX_AT_ONCE = 10_000
#: A batch's body up to this size is read on the loop.
_SMALL_BYTES = 16 * 1024


class Reader:
    """Reads submissions. `check` and `upload` are described at their types; without them they cost nothing."""

    def __init__(self, spool: Path, check: Check | None = None, upload: Upload | None = None) -> None:
        self.spool = spool
        self.check = check
        self.upload = upload

    def read_now(self, endpoint: Endpoint, request: Request, sync: bool) -> Submission | None:
        """The submission in a small body of JSON; None when it is anything else. Raises RequestError."""
        body, headers = request.body, request.headers
        limit_bytes = endpoint.max_body_sync_bytes if sync else endpoint.max_body_bytes
        if not isinstance(body, bytes) or len(body) > limit_bytes or "content-encoding" in headers:
            return None
        if headers.get("content-type", "").startswith("multipart/"):
            return None
        return self._read_small(endpoint, body)

    def _read_small(self, endpoint: Endpoint, body: bytes) -> Submission:
        submission = read_small(body)
        if endpoint.input_schema is not None and self.check is not None:
            assert isinstance(submission.input, bytes)
            _checked(self.check, endpoint, submission.input)
        return submission

    async def read(self, endpoint: Endpoint, request: Request, max_bytes: int) -> Submission:
        """The submission in a request's body. Raises RequestError. A large body's file becomes the input's."""
        body, headers = request.body, request.headers
        size_bytes = len(body) if isinstance(body, bytes) else body.size_bytes
        if size_bytes > max_bytes:
            raise TooLarge(f"The body has {size_bytes} bytes; {request.path} takes at most {max_bytes}.")
        if "content-encoding" in headers and headers["content-encoding"].lower() not in ("", "identity"):
            raise UnsupportedBody(
                f"The body is encoded as {headers['content-encoding'][:50]!r}; send it without Content-Encoding."
            )
        form = headers.get("content-type", "")
        check = self.check if endpoint.input_schema is not None else None
        # Other types are read as JSON whatever they say: curl -d calls everything a form.
        if form.startswith("multipart/"):
            if self.upload is None:
                raise UnsupportedBody('Forms are not taken here; send JSON: {"input": ...}.')
            return await self._in_thread(request, partial(self._convert, self.upload, endpoint, form, body, check))
        if isinstance(body, Spooled):
            return await self._in_thread(request, partial(self._read_large, endpoint, body, check))
        return self._read_small(endpoint, body)

    async def read_many(self, endpoint: Endpoint, request: Request) -> Drafts:
        """The requests of a batch in a request's body, which may be empty. Raises RequestError."""
        body, headers = request.body, request.headers
        size_bytes = len(body) if isinstance(body, bytes) else body.size_bytes
        if size_bytes > endpoint.max_body_bytes:
            raise TooLarge(
                f"The body has {size_bytes} bytes; {request.path} takes at most {endpoint.max_body_bytes}: send the "
                "requests in several calls."
            )
        if headers.get("content-encoding", "").lower() not in ("", "identity"):
            raise UnsupportedBody(
                f"The body is encoded as {headers['content-encoding'][:50]!r}; send it without Content-Encoding."
            )
        if isinstance(body, bytes) and len(body) < _SMALL_BYTES:
            return self._read_many(endpoint, body)
        try:
            return await asyncio.to_thread(self._read_many, endpoint, body)
        finally:
            self._remove(body)
            request.body = b""

    def _read_many(self, endpoint: Endpoint, body: Payload) -> Drafts:
        data = read_payload(body, self.spool)
        if not data.strip():
            return Drafts([], None, None)
        submissions = read_many(data)
        if len(submissions.requests) > MAX_AT_ONCE:
            raise RequestError(
                f"There are {len(submissions.requests)} requests in the body; one call takes {MAX_AT_ONCE}: send them "
                "in several calls."
            )
        if endpoint.input_schema is not None and self.check is not None:
            for n, one in enumerate(submissions.requests):
                assert isinstance(one.input, bytes)
                try:
                    _checked(self.check, endpoint, one.input)
                except RequestError as exc:
                    raise RequestError(f"requests[{n}]: {exc.message}") from exc
        jobs = drafts_of(submissions.requests, endpoint)
        return Drafts(jobs, submissions.name, submissions.webhook, submissions.named)

    async def _in_thread(self, request: Request, work: Callable[[], Submission]) -> Submission:
        """Works on a large body. Its file is ours from here on: the thread goes on when the client has gone away."""
        body, request.body = request.body, b""
        task = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            submission = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda _: self._forget(body, task))
            raise
        except Exception:
            self._remove(body)
            raise
        if not isinstance(submission.input, Spooled):
            self._remove(body)
        return submission

    def _forget(self, body: Payload, task: asyncio.Task[Submission]) -> None:
        self._remove(body)
        if not task.cancelled() and task.exception() is None:
            self._remove(task.result().input)

    def _remove(self, payload: Payload) -> None:
        if isinstance(payload, Spooled):
            remove_file(self.spool, payload.path)

    def _read_large(self, endpoint: Endpoint, body: Spooled, check: Check | None) -> Submission:
        submission = read_large(self.spool, body)
        if check is not None:
            with (
                (self.spool / body.path).open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            ):
                _checked(check, endpoint, data)
        return submission

    def _convert(self, upload: Upload, endpoint: Endpoint, form: str, body: Payload, check: Check | None) -> Submission:
        data = upload(endpoint, form, body if isinstance(body, bytes) else self.spool / body.path)
        if check is not None:
            _checked(check, endpoint, data)
        if len(data) < LARGE_BYTES:
            return Submission(data, Policy(), None, None)
        path = self.spool / (body.path if isinstance(body, Spooled) else f"body-{os.urandom(16).hex()}")
        draft = path.with_name(path.name + ".input")
        draft.write_bytes(data)
        draft.replace(path)
        return Submission(Spooled(path.name, len(data)), Policy(), None, None)


def _checked(check: Check, endpoint: Endpoint, data: bytes | mmap.mmap) -> None:
    """A check decodes what until now was only skipped over, and so it may find what is not JSON after all."""
    try:
        check(endpoint, data)
    except msgspec.DecodeError as exc:
        raise RequestError(f"The input is not valid JSON: {exc}.") from exc
    except RecursionError as exc:
        raise RequestError("The input is nested too deeply.") from exc
