"""The parts of the OpenAPI document that are the same for every endpoint: shapes, parameters and error answers."""

from __future__ import annotations

from typing import Any

from zeroidle.gateway.batch_api import DRAFT, MAX_OFFSET
from zeroidle.gateway.runpod_api import (
    DEFAULT_STREAM_WAIT_MS,
    DEFAULT_WAIT_MS,
    MAX_KEY_CHARS,
    MAX_LISTED,
    STREAM_WAIT_MS,
    WAIT_MS,
)
from zeroidle.job import EXECUTION_TIMEOUT_MS, TTL_MS, Status
from zeroidle.job_batch import BatchStatus

Json = dict[str, Any]

_STATES = [str(status) for status in Status]
_COUNT: Json = {"type": "integer", "minimum": 0}
_MILLISECONDS: Json = {"type": "integer", "minimum": 0, "description": "Milliseconds."}


def ref(kind: str, name: str) -> Json:
    """A reference into the components."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(required: list[str], properties: Json) -> Json:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _range(bounds: tuple[int, int], about: str) -> Json:
    low, high = bounds
    return {"type": ["integer", "null"], "minimum": low, "maximum": high, "description": about}


_WORKERS = _object(
    names := ["idle", "initializing", "ready", "running", "throttled", "unhealthy"], dict.fromkeys(names, _COUNT)
)
_JOBS = _object(counted := ["completed", "failed", "inProgress", "inQueue", "retried"], dict.fromkeys(counted, _COUNT))

#: A job of a batch: what /status answers, and before it is finalized DRAFT.
_BATCH_JOB: Json = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string"},
        "status": {"enum": [*_STATES, DRAFT]},
        "delayTime": _MILLISECONDS,
        "executionTime": _MILLISECONDS,
        "output": {},
        "error": {"type": "string"},
        "workerId": {"type": "string"},
    },
    "additionalProperties": False,
}

SCHEMAS: Json = {
    "Batch": _object(
        [
            "id",
            "status",
            "requestTotal",
            "requestInProgress",
            "requestCompleted",
            "requestFailed",
            "requestCancelled",
            "createdAt",
        ],
        {
            "id": {"type": "string"},
            "name": {"type": "string"},
            "status": {"enum": [str(status) for status in BatchStatus]},
            "requestTotal": _COUNT,
            "requestInProgress": _COUNT,
            "requestCompleted": _COUNT,
            "requestFailed": {**_COUNT, "description": "FAILED or TIMED_OUT."},
            "requestCancelled": _COUNT,
            "createdAt": {**_COUNT, "description": "Unix time in milliseconds, as all times of a batch."},
            "finalizedAt": _COUNT,
            "endedAt": {**_COUNT, "description": "When the last of its jobs ended; not there before."},
        },
    ),
    "Batches": _object(["batches"], {"batches": {"type": "array", "items": ref("schemas", "Batch")}}),
    "BatchRequests": _object(
        ["requests", "total"],
        {
            "requests": {"type": "array", "items": _BATCH_JOB},
            "total": {**_COUNT, "description": "How many the batch has."},
            "next": {**_COUNT, "description": "Give it as `offset` to see the following ones."},
        },
    ),
    "BatchRequest": _object(["input", "request"], {"input": {}, "request": _BATCH_JOB}),
    "Error": _object(["error"], {"error": {"type": "string", "description": "What happened and what to do."}}),
    "JobState": _object(["id", "status"], {"id": {"type": "string"}, "status": {"enum": _STATES}}),
    "Job": _object(
        ["id", "status"],
        {
            "id": {"type": "string"},
            "status": {"enum": _STATES},
            "delayTime": {**_MILLISECONDS, "description": "Milliseconds from submission to pick-up."},
            "executionTime": {**_MILLISECONDS, "description": "Milliseconds from pick-up to the end."},
            "output": {"description": "The result; while the job runs, its last progress update."},
            "error": {"type": "string"},
            "workerId": {"type": "string"},
        },
    ),
    "Policy": _object(
        [],
        {
            "executionTimeout": _range(EXECUTION_TIMEOUT_MS, "Milliseconds that the job may run."),
            "ttl": _range(TTL_MS, "Milliseconds after which the job and its result are gone."),
            "lowPriority": {"type": ["boolean", "null"], "description": "Waits for a worker and never starts one."},
        },
    ),
    "Stream": _object(
        ["status", "stream"],
        {
            "status": {"enum": _STATES},
            "stream": {"type": "array", "items": _object(["output"], {"output": {}})},
        },
    ),
    "Health": _object(["jobs", "workers"], {"jobs": _JOBS, "workers": _WORKERS}),
    "Metrics": _object(
        ["readyWorkers", "workers"],
        {"readyWorkers": {"type": "array", "items": {"type": "string"}}, "workers": _WORKERS},
    ),
    "Purged": _object(["removed", "status"], {"removed": _COUNT, "status": {"const": "completed"}}),
    "Requests": _object(
        ["requests"],
        {
            "requests": {
                "type": "array",
                "items": _object(
                    ["id", "status", "createdAt"],
                    {
                        "id": {"type": "string"},
                        "status": {"enum": _STATES},
                        "createdAt": {"type": "string", "format": "date-time"},
                        "delayTime": _MILLISECONDS,
                        "executionTime": _MILLISECONDS,
                    },
                ),
            },
            "next": {"type": "integer", "description": "Give it as `before` to see older ones."},
        },
    ),
}


def _query(name: str, schema: Json, about: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": about}


def _wait(bounds: tuple[int, int], default: int) -> Json:
    schema = {"type": "integer", "minimum": bounds[0], "maximum": bounds[1], "default": default}
    return _query("wait", schema, "Milliseconds to wait at most.")


PARAMETERS: Json = {
    "batch": {
        "name": "batch",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "A batch's id.",
    },
    "request": {
        "name": "request",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "The id of one of the batch's requests, which is its job's.",
    },
    "offset": _query(
        "offset", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}, "How many to pass over."
    ),
    "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
    "key": {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
        "description": "With a key that was used before, the earlier job is answered and no new one is made; with "
        "another input, policy or webhook than before, 422.",
    },
    "wait": _wait(WAIT_MS, DEFAULT_WAIT_MS),
    "streamWait": _wait(STREAM_WAIT_MS, DEFAULT_STREAM_WAIT_MS),
    "start": _query(
        "start",
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "The first chunk to answer, counted from 0; without it, those that were not read yet.",
    ),
    "state": _query("status", {"enum": _STATES}, "Only jobs in this state."),
    "requestState": _query("status", {"enum": [*_STATES, DRAFT]}, "Only those in this state."),
    "limit": _query(
        "limit", {"type": "integer", "minimum": 1, "maximum": MAX_LISTED, "default": 100}, "How many at most."
    ),
    "before": _query(
        "before", {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, "The `next` of an earlier answer."
    ),
}

#: A browser page that calls while no key was made gets 403.
_ERRORS = {
    "400": "The request is not as it should be.",
    "401": "The API key is missing or not known.",
    "403": "A web page may not call this plane while it has no API key.",
    "404": "There is no such endpoint or job; it may have expired.",
    "405": "The path takes other methods.",
    "409": "The job is not in a state in which that can be done.",
    "413": "The body is larger than this path takes.",
    "415": "The body has an encoding or a type that this path does not take.",
    "422": "The Idempotency-Key came before with another job.",
    "429": "Too many requests.",
    "431": "The headers are too large.",
    "503": "The job store takes nothing now; send it again later.",
}
_RETRY_AFTER: Json = {"retry-after": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def _error(status: str, about: str) -> Json:
    answer: Json = {"description": about, "content": {"application/json": {"schema": ref("schemas", "Error")}}}
    if status in ("429", "503"):
        answer["headers"] = _RETRY_AFTER
    return answer


RESPONSES: Json = {status: _error(status, about) for status, about in _ERRORS.items()}

SECURITY_SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "The bare key, as RunPod takes."},
}
