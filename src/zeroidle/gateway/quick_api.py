"""The three requests that are nearly all of a busy plane's, answered without a task: small /run, /runsync, /status.

It keeps the rules of `runpod_api`, which answers everything; what is not plain here is left to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from zeroidle.endpoint import Endpoint
from zeroidle.errors import StoreError
from zeroidle.gateway import answers
from zeroidle.gateway.message import Later, Request, Response
from zeroidle.gateway.refusal import refusal
from zeroidle.gateway.submission import Reader, job_of
from zeroidle.job import Job, JobIds
from zeroidle.store.protocol import ClientStore


class QuickApi:
    """Answers what it can; None for the rest. `wait_s` is how long /runsync waits."""

    def __init__(
        self, store: ClientStore, endpoints: Mapping[str, Endpoint], reader: Reader, ids: JobIds, wait_s: float
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._reader = reader
        self._ids = ids
        self._wait_s = wait_s
        self._late: set[asyncio.Task[None]] = set()

    def answer(self, request: Request) -> Response | Later | None:
        """Answers one request, or leaves it to the ordinary way. Raises RequestError and StoreError like that."""
        parts = request.path.split("/")
        n = len(parts)
        if n < 4 or request.query:
            return None
        endpoint = self._endpoints.get(parts[2])
        if endpoint is None or endpoint.rate_limits != "none":
            return None
        operation = parts[3]
        if n == 4:
            if request.method == "POST":
                if operation == "runsync":
                    return self._runsync(endpoint, request)
                if operation == "run":
                    return self._run(endpoint, request)
        elif n == 5 and operation == "status" and request.method in ("GET", "HEAD", "POST"):
            job = self._store.look(endpoint.name, parts[4])
            return None if job is None else self._body(job)
        return None

    def _run(self, endpoint: Endpoint, request: Request) -> Later | None:
        job = self._read(endpoint, request, sync=False)
        if job is None:
            return None
        later, made = Later(), job

        def done(error: StoreError | None) -> None:
            later.give(Response(200, answers.queued(made)) if error is None else refusal(error, request))

        self._store.put_soon(job, done)
        return later

    def _runsync(self, endpoint: Endpoint, request: Request) -> Later | None:
        job = self._read(endpoint, request, sync=True)
        if job is None:
            return None
        later, made = Later(), job

        def tell(found: Job | None) -> None:
            if found is not None:
                try:
                    response = self._body(found)
                except Exception as exc:
                    response = refusal(exc, request)
                later.give(response)
                return
            task = asyncio.get_running_loop().create_task(self._told(made, request, later))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

        self._store.put_and_tell(job, self._wait_s, tell)
        return later

    async def _told(self, job: Job, request: Request, later: Later) -> None:
        try:
            response = self._body(await self._store.put_told(job))
        except Exception as exc:
            response = refusal(exc, request)
        later.give(response)

    def _body(self, job: Job) -> Response:
        return Response(200, answers.job_body(job, self._reader.spool))

    def _read(self, endpoint: Endpoint, request: Request, sync: bool) -> Job | None:
        if "idempotency-key" in request.headers:
            return None
        submission = self._reader.read_now(endpoint, request, sync)
        if submission is None:
            return None
        return job_of(submission, endpoint, self._ids.new(sync), sync)
