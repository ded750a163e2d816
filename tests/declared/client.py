"""Speaks to a plane over HTTP as any client does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from tests.cli.up import until

TIMEOUT_S = 60.0


class Answer(NamedTuple):
    """The status and the decoded body."""

    status: int
    body: Any


class Client:
    """Calls one endpoint of a plane."""

    def __init__(self, url: str, endpoint: str) -> None:
        self.base = f"{url}/v2/{endpoint}"

    def post(self, path: str, body: bytes | dict[str, Any] = b"", content_type: str = "application/json") -> Answer:
        """POST; an object is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._send(urllib.request.Request(f"{self.base}/{path}", data, {"content-type": content_type}))

    def get(self, path: str) -> Answer:
        """GET."""
        return self._send(urllib.request.Request(f"{self.base}/{path}"))

    def _send(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))

    def run(self, policy: dict[str, Any] | None = None, **given: Any) -> str:
        """Submits by /run; answers the job's id."""
        answer = self.post("run", {"input": given, "policy": policy or {}})
        assert answer.status == 200, answer
        job_id: str = answer.body["id"]
        return job_id

    def runsync(self, **given: Any) -> dict[str, Any]:
        """The job after its end, by /runsync."""
        answer = self.post("runsync?wait=60000", {"input": given})
        assert answer.status == 200, answer
        job: dict[str, Any] = answer.body
        return job

    def output(self, **given: Any) -> Any:
        """The output of a job that must succeed."""
        job = self.runsync(**given)
        assert job["status"] == "COMPLETED", job
        return job["output"]

    def status(self, job_id: str) -> dict[str, Any]:
        """A job as /status shows it."""
        answer = self.get(f"status/{job_id}")
        assert answer.status == 200, answer
        job: dict[str, Any] = answer.body
        return job

    def until(self, job_id: str, *states: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Waits until the job is in one of these states."""

        def there() -> dict[str, Any] | None:
            job = self.status(job_id)
            return job if job["status"] in states else None

        job: dict[str, Any] = until(there, f"{job_id} is {' or '.join(states)}", timeout_s)
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        """Waits for the end of a job."""
        return self.until(job_id, "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")

    def stream(self, job_id: str) -> list[Any]:
        """All pieces, read until the job has ended."""
        pieces: list[Any] = []
        while True:
            answer = self.get(f"stream/{job_id}")
            assert answer.status == 200, answer
            pieces += [piece["output"] for piece in answer.body["stream"]]
            if answer.body["status"] not in ("IN_QUEUE", "IN_PROGRESS") and not answer.body["stream"]:
                return pieces
