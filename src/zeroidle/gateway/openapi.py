"""GET /openapi.json: the OpenAPI 3.1 document of every client route of the endpoints that live now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from zeroidle import __version__
from zeroidle.endpoint import Endpoint
from zeroidle.gateway.batch_api import MAX_NAME_CHARS
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.openapi_components import PARAMETERS, RESPONSES, SCHEMAS, SECURITY_SCHEMES, Json, ref
from zeroidle.gateway.reply import failure
from zeroidle.gateway.submission import MAX_AT_ONCE

_ABOUT = (
    "Jobs are sent to /v2/ENDPOINT/run (then ask /status) or /v2/ENDPOINT/runsync (waits for the result). The API is "
    "RunPod's, so RunPod's clients work as they are."
)


@dataclass(frozen=True, slots=True)
class _Operation:
    """One route. `answer` is the schema of its 200; `errors` are those beyond what every route may answer; `body` says
    what is sent: a job, requests of a batch, what makes a batch, its name."""

    path: str
    method: str
    summary: str
    answer: str
    parameters: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    body: Literal["", "job", "requests", "batch", "name"] = ""
    name: str = ""


_EVERY = ("400", "401", "403", "404", "413", "415", "429", "431", "503")
_BATCH = ("batch",)
_ONE = ("batch", "request")
_OPERATIONS = (
    _Operation("run", "post", "Take a job and answer at once", "JobState", ("key",), ("422",), "job"),
    _Operation("runsync", "post", "Take a job and wait for its end", "Job", ("key", "wait"), ("422",), "job"),
    _Operation("status/{id}", "get", "The job as it is now", "Job", ("id",)),
    _Operation("status-sync/{id}", "get", "The job, after waiting for its end", "Job", ("id", "wait")),
    _Operation("stream/{id}", "get", "What the job has yielded", "Stream", ("id", "start", "streamWait")),
    _Operation("cancel/{id}", "post", "End a job that waits or runs", "JobState", ("id",)),
    _Operation("retry/{id}", "post", "Run a failed or timed-out job again", "JobState", ("id",), ("409",)),
    _Operation("purge-queue", "post", "Cancel every job that waits", "Purged"),
    _Operation("health", "get", "Jobs and workers, counted", "Health"),
    _Operation("metrics", "get", "Workers, counted and named", "Metrics"),
    _Operation("requests", "get", "Jobs, newest first", "Requests", ("state", "limit", "before")),
    _Operation("batch", "post", "Make a batch, a draft yet", "Batch", (), (), "batch"),
    _Operation("batch", "get", "Batches, newest first", "Batches", ("limit", "offset"), name="batches"),
    _Operation("batch/{batch}", "get", "A batch, its requests counted", "Batch", _BATCH, name="batch-status"),
    _Operation("batch/{batch}", "put", "Name a batch", "Batch", _BATCH, (), "name", "batch-name"),
    _Operation("batch/{batch}/finalize", "post", "Queue its requests", "Batch", _BATCH, ("409",), "", "batch-finalize"),
    _Operation("batch/{batch}/cancel", "post", "Cancel what waits", "Batch", _BATCH, name="batch-cancel"),
    _Operation("batch/{batch}/requests", "post", "Add requests", "Batch", _BATCH, ("409",), "requests", "batch-add"),
    _Operation(
        "batch/{batch}/requests", "get", "Its jobs in their order", "BatchRequests",
        (*_BATCH, "requestState", "limit", "offset"), name="batch-requests",
    ),
    _Operation("batch/{batch}/requests/{request}", "get", "One request", "BatchRequest", _ONE, name="batch-request"),
    _Operation(
        "batch/{batch}/requests/{request}", "put", "Replace a draft's request", "BatchRequest", _ONE, ("409",), "job",
        "batch-replace",
    ),
    _Operation(
        "batch/{batch}/requests/{request}", "delete", "Remove a draft's request", "Batch", _ONE, ("409",),
        name="batch-remove",
    ),
)  # fmt: skip

#: What can be asked of a job that was just submitted.
_FOLLOWING = tuple(o.path.removesuffix("/{id}") for o in _OPERATIONS if o.path.endswith("/{id}") and not o.name)
#: What can be asked of a batch that was just made.
_OF_BATCH = tuple(o.name for o in _OPERATIONS if "{batch}" in o.path and "{request}" not in o.path)


class Openapi:
    """`endpoints` may change while it serves. `uploads` says that forms (multipart) are taken as input too."""

    def __init__(self, endpoints: Mapping[str, Endpoint], *, uploads: bool = False) -> None:
        self._endpoints = endpoints
        self._uploads = uploads

    async def handle(self, request: Request) -> Response:
        """Answers with the document."""
        if request.path != "/openapi.json":
            return failure(404, "There is only /openapi.json here.")
        if request.method not in ("GET", "HEAD"):
            return failure(405, f"/openapi.json takes GET, HEAD, not {request.method}.", {"allow": "GET, HEAD"})
        return Response(200, msgspec.json.encode(document(self._endpoints.values(), uploads=self._uploads)))


def document(endpoints: Iterable[Endpoint], *, uploads: bool = False) -> Json:
    """The OpenAPI document for these endpoints."""
    endpoints = sorted(endpoints, key=lambda e: e.name)
    schemas = dict(SCHEMAS)
    paths: Json = {}
    for endpoint in endpoints:
        shapes = _Shapes(endpoint, schemas, uploads)
        for operation in _OPERATIONS:
            path = f"/v2/{quote(endpoint.name, safe='')}/{operation.path}"
            paths.setdefault(path, {})[operation.method] = _operation(endpoint, operation, shapes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ZeroIdle", "version": __version__, "description": _ABOUT},
        "tags": [{"name": e.name, **({"description": e.doc} if e.doc else {})} for e in endpoints],
        # On loopback, while no key was made, none is needed.
        "security": [{"bearer": []}, {"key": []}, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": PARAMETERS,
            "responses": RESPONSES,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _operation(endpoint: Endpoint, operation: _Operation, shapes: _Shapes) -> Json:
    answer = shapes.job if operation.answer == "Job" else ref("schemas", operation.answer)
    described: Json = {
        "operationId": f"{endpoint.name}.{operation.name or operation.path.partition('/')[0]}",
        "tags": [endpoint.name],
        "summary": operation.summary,
        "parameters": [ref("parameters", name) for name in operation.parameters],
        "responses": {
            "200": {"description": "As asked.", "content": {"application/json": {"schema": answer}}},
            **{status: ref("responses", status) for status in sorted((*_EVERY, *operation.errors))},
        },
    }
    if operation.body:
        described["requestBody"] = {"required": operation.body != "batch", "content": shapes.bodies[operation.body]}
    if operation.body == "job" and not operation.name:
        described["responses"]["200"]["links"] = _links(endpoint, _FOLLOWING, "id")
    elif operation.body == "batch":
        described["responses"]["200"]["links"] = _links(endpoint, _OF_BATCH, "batch")
    return described


def _links(endpoint: Endpoint, names: tuple[str, ...], parameter: str) -> Json:
    """The id of the answer is a parameter of these operations."""
    return {
        name: {"operationId": f"{endpoint.name}.{name}", "parameters": {parameter: "$response.body#/id"}}
        for name in names
    }


class _Shapes:
    """What is special to one endpoint: its input, and the job object with its output.

    Named types of its schemas (`$defs`) move to the document's components, where tools look for them.
    """

    def __init__(self, endpoint: Endpoint, schemas: Json, uploads: bool) -> None:
        self._prefix = _component(endpoint.name)
        self._schemas = schemas
        properties: Json = {
            "input": {} if endpoint.input_schema is None else self._add("input", endpoint.input_schema),
            "webhook": {
                "type": ["string", "null"],
                "format": "uri",
                "maxLength": 2048,
                "description": "An http or https URL that gets the job object when the job has ended.",
            },
            "policy": {"anyOf": [ref("schemas", "Policy"), {"type": "null"}]},
            "s3Config": {"type": ["object", "null"], "description": "Handed to the handler beside the input."},
        }
        submission = {"type": "object", "required": ["input"], "properties": properties}
        self.bodies: dict[str, Json] = {"job": {"application/json": {"schema": submission}}}
        if uploads:
            self.bodies["job"]["multipart/form-data"] = {"schema": properties["input"] or {"type": "object"}}
        self._add_batches(submission, properties["webhook"])
        self.job = ref("schemas", "Job")
        if endpoint.output_schema is not None:
            output = self._add("output", endpoint.output_schema)
            self.job = {
                "allOf": [self.job],
                "if": {"properties": {"status": {"const": "COMPLETED"}}},
                "then": {"properties": {"output": output}},
            }

    def _add_batches(self, submission: Json, webhook: Json) -> None:
        some: Json = {"type": "array", "items": submission, "maxItems": MAX_AT_ONCE}
        name: Json = {"type": ["string", "null"], "maxLength": MAX_NAME_CHARS}
        made = {
            "requests": some,
            "name": name,
            "webhook": {**webhook, "description": "An http or https URL that gets the batch when it has ended."},
        }
        more = {**some, "minItems": 1}
        bodies: dict[str, list[Json]] = {
            "batch": [{"type": "object", "properties": made}, some],
            "requests": [{"type": "object", "required": ["requests"], "properties": {"requests": more}}, more],
            "name": [{"type": "object", "required": ["name"], "properties": {"name": name}}],
        }
        for kind, schemas in bodies.items():
            closed = [{**one, "additionalProperties": False} if one["type"] == "object" else one for one in schemas]
            self.bodies[kind] = {"application/json": {"schema": {"anyOf": closed} if closed[1:] else closed[0]}}

    def _add(self, role: str, schema: Mapping[str, Any]) -> Json:
        moved = {name: f"{self._prefix}.{role}.{_component(name)}" for name in schema.get("$defs", {})}
        for name, target in moved.items():
            self._schemas[target] = _moved(schema["$defs"][name], moved)
        name = f"{self._prefix}.{role}"
        self._schemas[name] = {k: _moved(v, moved) for k, v in schema.items() if k not in ("$defs", "$schema")}
        return ref("schemas", name)


def _moved(value: Any, moved: Mapping[str, str]) -> Any:
    """The schema with its references to `$defs` pointing to where they went."""
    if isinstance(value, Mapping):
        return {
            key: ref("schemas", moved[item.removeprefix("#/$defs/")])["$ref"]
            if key == "$ref" and isinstance(item, str) and item.removeprefix("#/$defs/") in moved
            else _moved(item, moved)
            for key, item in value.items()
        }
    return [_moved(item, moved) for item in value] if isinstance(value, (list, tuple)) else value


def _component(name: str) -> str:
    """A name as components may have it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)
