"""Every client route under schemathesis: no 5xx, and every answer is as our OpenAPI document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from tests.gateway.plane import GatewayPlane, endpoint, running
from zeroidle.gateway.validate import InputCheck

PHASES = (Phase.explicit, Phase.generate)
QUIET = list(HealthCheck)

TYPES = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 1},
        "speed": {"type": "number", "minimum": 0.5, "maximum": 2},
        "voice": {"$ref": "#/$defs/Voice"},
    },
    "required": ["text"],
    "additionalProperties": False,
    "$defs": {"Voice": {"enum": ["low", "high"]}},
}


def load(plane: GatewayPlane) -> Any:
    """The document of a plane."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{plane.port}/openapi.json")
    # A route also answers to methods that the document leaves out (POST /status as older clients do).
    schema.config.checks.update(excluded_check_names=["unsupported_method"])
    # A key that an earlier call has used for another job: that no document can rule out.
    accepted = schema.config.checks.positive_data_acceptance
    accepted.expected_statuses = [*accepted.expected_statuses, "422"]
    # More requests than a batch takes at once may be more bytes than any body may have.
    refused = schema.config.checks.negative_data_rejection
    refused.expected_statuses = [*refused.expected_statuses, "413"]
    return schema


@pytest.fixture(scope="module")
def untyped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(tmp_path_factory.mktemp("plane"), endpoints={"echo": endpoint("echo")}) as plane:
        yield load(plane)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    endpoints = {"echo": endpoint("echo", input_schema=TYPES)}
    with running(tmp_path_factory.mktemp("plane"), endpoints=endpoints, check=InputCheck()) as plane:
        yield load(plane)


OPERATIONS = {
    "run": "POST",
    "runsync": "POST",
    "status/{id}": "GET",
    "status-sync/{id}": "GET",
    "stream/{id}": "GET",
    "cancel/{id}": "POST",
    "retry/{id}": "POST",
    "purge-queue": "POST",
    "health": "GET",
    "metrics": "GET",
    "requests": "GET",
}
OF_BATCHES = (
    ("batch", "POST"),
    ("batch", "GET"),
    ("batch/{batch}", "GET"),
    ("batch/{batch}", "PUT"),
    ("batch/{batch}/finalize", "POST"),
    ("batch/{batch}/cancel", "POST"),
    ("batch/{batch}/requests", "POST"),
    ("batch/{batch}/requests", "GET"),
    ("batch/{batch}/requests/{request}", "GET"),
    ("batch/{batch}/requests/{request}", "PUT"),
    ("batch/{batch}/requests/{request}", "DELETE"),
)


def fuzz(schema: Any, operation: str, mode: GenerationMode, examples: int, method: str = "") -> None:
    """Calls one route with what the document allows, or with what it does not."""

    @settings(max_examples=examples, deadline=None, phases=PHASES, suppress_health_check=QUIET, database=None)
    @given(case=schema[f"/v2/echo/{operation}"][method or OPERATIONS[operation]].as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        case.call_and_validate()

    call()


def test_the_document_has_these_routes(untyped: Any) -> None:
    assert set(untyped) == {f"/v2/echo/{operation}" for operation in (*OPERATIONS, *(path for path, _ in OF_BATCHES))}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_the_document_allows_is_taken(untyped: Any, operation: str) -> None:
    fuzz(untyped, operation, GenerationMode.POSITIVE, 40)


@pytest.mark.parametrize(("operation", "method"), OF_BATCHES)
def test_what_the_document_allows_is_taken_of_batches(untyped: Any, operation: str, method: str) -> None:
    fuzz(untyped, operation, GenerationMode.POSITIVE, 25, method)


@pytest.mark.parametrize(("operation", "method"), OF_BATCHES[::3])
def test_what_the_document_forbids_is_refused_of_batches(untyped: Any, operation: str, method: str) -> None:
    fuzz(untyped, operation, GenerationMode.NEGATIVE, 25, method)


@pytest.mark.parametrize("operation", ["run", "runsync", "status-sync/{id}", "stream/{id}", "requests"])
def test_what_the_document_forbids_is_refused(untyped: Any, operation: str) -> None:
    fuzz(untyped, operation, GenerationMode.NEGATIVE, 40)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)
@pytest.mark.parametrize("operation", ["run", "runsync"])
def test_typed_submissions_keep_to_the_document(typed: Any, operation: str, mode: GenerationMode) -> None:
    fuzz(typed, operation, mode, 50)


def test_jobs_keep_to_the_document_through_their_life(untyped: Any) -> None:
    machine = untyped.as_state_machine()
    machine.run(
        settings=settings(
            max_examples=15,
            stateful_step_count=6,
            deadline=None,
            phases=PHASES,
            suppress_health_check=QUIET,
            database=None,
        )
    )
