"""The reference page of the HTTP API, made from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zeroidle.endpoint import Endpoint

Json = dict[str, Any]

_INTRO = """\
Every endpoint has these routes under `/v2/ENDPOINT`. They are RunPod's, so RunPod's clients work as they are; a plane
serves the same as OpenAPI 3.1 at `/openapi.json`, with the inputs of its own endpoints, and a page to try them at
`/docs`.

Bodies and answers are JSON. An API key goes into `Authorization: Bearer KEY` (the bare key is taken too); on loopback
none is needed while none was made. An error is `{"error": "a sentence"}` with a status of 400 or above; those that any
route may answer are listed once below.
"""

#: Statuses that every route may answer with stand here, not at each route.
_EVERYWHERE = ("400", "401", "403", "404", "413", "415", "429", "431", "503")


def api_page(made: str) -> str:
    """docs/api.md; `made` is the line that says how it was made."""
    from zeroidle.gateway.openapi import document

    found = document([Endpoint("ENDPOINT", Path(), Path(), "")])
    parts: Json = found["components"]
    lines = ["# HTTP API", "", made, "", *_INTRO.splitlines()]
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            lines += ["", f"## {method.upper()} {path}", "", *_operation(operation, parts)]
    lines += ["", "# Shapes"]
    for name, schema in parts["schemas"].items():
        lines += ["", f"## {name}", "", *_fields(schema)]
    lines += ["", "# Errors", ""]
    lines += [f"- {status}: {parts['responses'][status]['description']}" for status in _EVERYWHERE]
    return "\n".join(lines) + "\n"


def _operation(operation: Json, parts: Json) -> Iterator[str]:
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    yield f"{operation['summary']}. Answers {_type(answer)}."
    parameters = [parts["parameters"][one["$ref"].rpartition("/")[2]] for one in operation["parameters"]]
    if parameters:
        yield ""
    for one in parameters:
        where = {"path": "in the path", "query": "in the query", "header": "a header"}[one["in"]]
        about = f" {one['description']}" if "description" in one else ""
        yield f"- `{one['name']}` ({where}): {_type(one['schema'])}.{about}"
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        need = "" if operation["requestBody"]["required"] else ", which may be left out"
        for n, form in enumerate(schema.get("anyOf", [schema])):
            yield ""
            if form["type"] == "array":
                yield f"{'Or a' if n else 'A'} body that is {_type(form)}."
                continue
            yield f"Body, an object{need}:"
            yield ""
            yield from _fields(form)
    more = [f"{status} {parts['responses'][status]['description']}" for status in operation["responses"]
            if status not in (*_EVERYWHERE, "200")]  # fmt: skip
    if more:
        yield ""
        yield f"Beside the errors that all have: {' '.join(more)}"


def _fields(schema: Json) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        about = f" {field['description']}" if "description" in field else ""
        optional = "" if name in required else ", optional"
        yield f"- `{name}`: {_type(field)}{optional}.{about}"


def _type(schema: Json) -> str:
    """A type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{one}`" for one in schema["enum"])
    kinds = schema.get("type", "any value")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = " or ".join(kind for kind in kinds if kind != "null")
    if "array" in kinds:
        few = f"{schema['minItems']} to " if "minItems" in schema else "at most "
        many = f" ({few}{schema['maxItems']:,})" if "maxItems" in schema else ""
        item = schema["items"]
        # A submission is described at /run; repeating it would hide what is special here.
        named = "objects as the body of `run`" if "input" in item.get("properties", {}) else _type(item)
        return f"an array{many} of {named}"
    bounds = [f"{word} {schema[key]:,}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    if "maxLength" in schema:
        bounds.append(f"at most {schema['maxLength']:,} characters")
    default = f", default {schema['default']:,}" if "default" in schema else ""
    return words + (f" {' '.join(bounds)}" if bounds else "") + default
