"""The OpenAPI document: valid by an independent validator, and true to the endpoints that live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate

from tests.gateway.plane import endpoint, running
from zeroidle.gateway.openapi import document

TYPED = endpoint(
    "speak",
    doc="Text to speech.",
    input_schema={
        "type": "object",
        "properties": {"text": {"type": "string"}, "voice": {"$ref": "#/$defs/Voice"}},
        "required": ["text"],
        "$defs": {
            "Voice": {"properties": {"base": {"$ref": "#/$defs/Voice[int]"}, "$ref": {"type": "string"}}},
            "Voice[int]": {"type": "integer"},
        },
    },
    output_schema={"type": "array", "items": {"$ref": "#/$defs/Part"}, "$defs": {"Part": {"type": "number"}}},
)


def references(value: Any) -> list[str]:
    """Every $ref in a document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for item in value.values() for r in references(item)]
    return [r for item in value for r in references(item)] if isinstance(value, list) else []


def test_the_document_is_valid_and_its_references_lead_somewhere() -> None:
    found = document([TYPED, endpoint("plain")], uploads=True)
    validate(json.loads(json.dumps(found)))
    for reference in references(found):
        target: Any = found
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_every_client_route_of_every_endpoint_is_there(tmp_path: Path) -> None:
    with running(tmp_path) as plane:
        found = plane.call("GET", "/openapi.json").json
        single = {o for o in plane.api._routes if o != "batch"}
        operations = {f"/v2/{e}/{o}" for e in plane.endpoints for o in single}
        batches = {
            (f"/v2/{e}/{o}", method)
            for e in plane.endpoints
            for o, methods in plane.api._batches._routes.items()
            for method in methods
        }
        described = {(path, method.upper()) for path, methods in found["paths"].items() for method in methods}
        assert {(path, method) for path, method in described if "/batch" in path} == batches
        assert {path.removesuffix("/{id}") for path in found["paths"] if "/batch" not in path} == operations
        plane.endpoints["late"] = endpoint("late")
        assert "/v2/late/run" in plane.call("GET", "/openapi.json").json["paths"]
        assert plane.call("POST", "/openapi.json").status == 405
        assert plane.call("GET", "/openapi.json/x").status == 404


def test_types_of_an_endpoint_are_described() -> None:
    found = document([TYPED])
    schemas = found["components"]["schemas"]
    body = found["paths"]["/v2/speak/run"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json"}
    assert body["application/json"]["schema"]["properties"]["input"] == {"$ref": "#/components/schemas/speak.input"}
    assert schemas["speak.input"]["required"] == ["text"]
    assert "$defs" not in schemas["speak.input"]
    voice = schemas["speak.input.Voice"]["properties"]
    assert voice["base"] == {"$ref": "#/components/schemas/speak.input.Voice_int_"}
    assert voice["$ref"] == {"type": "string"}  # a property of that name is no reference
    job = found["paths"]["/v2/speak/status/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert job["then"]["properties"]["output"] == {"$ref": "#/components/schemas/speak.output"}
    assert found["tags"] == [{"name": "speak", "description": "Text to speech."}]
