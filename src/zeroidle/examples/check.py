"""Sends an example to any RunPod-style endpoint and judges the answer."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from zeroidle.errors import Error
from zeroidle.examples.read import MISSING, Example

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
#: The state is asked for after 20 ms and then ever less often, at least every second.
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.02, 1.0


class Client(Protocol):
    """A client of the API whose paths begin with the endpoint. Raises Error when a request is refused."""

    def get(self, *path: str) -> Any:
        """The decoded answer to a GET."""

    def post(self, *path: str, body: Any = None) -> Any:
        """The decoded answer to a POST."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one example went. `problem` is None when all was as expected. Times are those that the server reports."""

    example: Example
    status: str
    problem: str | None
    total_s: float
    delay_s: float | None = None
    run_s: float | None = None


def check(client: Client, endpoint: str, example: Example, schema: Mapping[str, Any] | None) -> Verdict:
    """Sends the example, waits for its end, and compares. `schema` is the output's JSON Schema, when there is one."""
    began = time.monotonic()
    try:
        job = _follow(client, endpoint, example, began)
    except Error as exc:
        problem = None if example.error is not None and example.error in exc.message else exc.message
        return Verdict(example, "REFUSED", problem, time.monotonic() - began)
    status = str(job.get("status"))
    times = [None if job.get(key) is None else job[key] / 1000 for key in ("delayTime", "executionTime")]
    return Verdict(example, status, judge(example, job, schema), time.monotonic() - began, *times)


def judge(example: Example, job: Mapping[str, Any], schema: Mapping[str, Any] | None) -> str | None:
    """What is wrong with a job's end, as a sentence, or None."""
    status, error = job.get("status"), _text(job.get("error"))
    if example.error is not None:
        if status == "COMPLETED":
            return f"It completed; it should have failed with {example.error!r}."
        return None if example.error in error else f"It failed with {error[:300]!r}; expected {example.error!r}."
    if status != "COMPLETED":
        return f"It ended as {status}{': ' + error[:500] if error else ''}."
    output = job.get("output")
    if schema is not None:
        wrong = _against_schema(output, schema)
        if wrong:
            return wrong
    if example.output is not MISSING:
        return difference(example.output, output)
    return None


def _follow(client: Client, endpoint: str, example: Example, began: float) -> dict[str, Any]:
    job_id = client.post(endpoint, "run", body={"input": example.input})["id"]
    pause_s = _FIRST_PAUSE_S
    while True:
        job: dict[str, Any] = client.get(endpoint, "status", job_id)
        if job.get("status") in FINAL:
            return job
        if time.monotonic() - began > example.timeout_s:
            client.post(endpoint, "cancel", job_id)
            raise Error(f"It did not end within {example.timeout_s:g} s and was cancelled (last: {job.get('status')}).")
        time.sleep(pause_s)
        pause_s = min(_MAX_PAUSE_S, pause_s * 1.5)


def _against_schema(output: Any, schema: Mapping[str, Any]) -> str | None:
    import jsonschema_rs

    for error in jsonschema_rs.Draft202012Validator(dict(schema)).iter_errors(output):
        where = "output" + "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in error.instance_path)
        return f"{where} does not fit the schema: {error.message[:300]}."
    return None


def difference(expected: Any, found: Any, where: str = "output") -> str | None:
    """The first place where `found` lacks what `expected` asks for, as a sentence, or None."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key not in found:
                return f"{where}.{key} is missing."
            wrong = difference(value, found[key], f"{where}.{key}")
            if wrong:
                return wrong
        return None
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{where} has {len(found)} members; expected {len(expected)}."
        wrongs = (difference(e, f, f"{where}[{i}]") for i, (e, f) in enumerate(zip(expected, found, strict=True)))
        return next((wrong for wrong in wrongs if wrong), None)
    if isinstance(expected, float) and isinstance(found, int | float) and not isinstance(found, bool):
        same = math.isclose(expected, found, rel_tol=1e-6, abs_tol=1e-9)
    else:
        same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return None if same else f"{where} is {_text(found)[:200]}; expected {_text(expected)[:200]}."


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
