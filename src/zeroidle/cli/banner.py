"""What `zeroidle up` prints when the plane answers: one ready curl line for each endpoint."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeroidle import __version__
from zeroidle.cli.output import style
from zeroidle.endpoint import Endpoint
from zeroidle.serve import Plane

_MAX_EXAMPLE_BYTES = 2000


def banner(plane: Plane, needs_key: bool) -> str:
    """The text for a person. `needs_key`: calls without an API key are refused."""
    lines = [style(f"ZeroIdle {__version__} answers at {plane.url}", "1") + f"  (data in {_short(plane.data)})"]
    if plane.new_key:
        lines.append(f"API key, shown this once: {plane.new_key}")
    for endpoint in plane.endpoints.values():
        workers = f"{endpoint.min_workers} to {endpoint.max_workers} workers"
        lines += [
            "",
            f"{style(endpoint.name, '1')}  {_short(endpoint.handler)}, {workers}",
            f"  {curl(plane, endpoint, needs_key)}",
        ]
    lines += ["", style("Ctrl-C stops it. Elsewhere: zeroidle ps | run NAME key=value | logs -f NAME | why NAME", "2")]
    return "\n".join(lines)


def banner_json(plane: Plane, needs_key: bool) -> str:
    """The same on one line, for a program."""
    endpoints = [
        {"name": e.name, "url": f"{plane.url}/v2/{e.name}", "curl": curl(plane, e, needs_key)}
        for e in plane.endpoints.values()
    ]
    content = {"url": plane.url, "pid": os.getpid(), "data": str(plane.data), "endpoints": endpoints}
    return json.dumps(content | ({"key": plane.new_key} if plane.new_key else {}))


def curl(plane: Plane, endpoint: Endpoint, needs_key: bool) -> str:
    """A command that can be pasted into a shell and sends a job that makes sense."""
    key = f' -H "Authorization: Bearer {plane.new_key or "$ZEROIDLE_API_KEY"}"' if needs_key else ""
    body = json.dumps({"input": example_input(endpoint)}, ensure_ascii=False)
    return f"curl -s{key} {plane.url}/v2/{endpoint.name}/runsync -d {shlex.quote(body)}"


def example_input(endpoint: Endpoint) -> Any:
    """An input for a first try: from test_input.json beside the handler, or from the schema."""
    path = endpoint.handler.parent / "test_input.json"
    try:
        if path.stat().st_size <= _MAX_EXAMPLE_BYTES:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict) and "input" in content:
                return content["input"]
    except (OSError, ValueError):
        pass
    return example(endpoint.input_schema or {}, endpoint.input_schema or {})


def example(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """A small value that a JSON Schema takes, with the required members only."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return example(root.get("$defs", {}).get(reference.rpartition("/")[2], {}), root)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "x-file" in schema:
        return "https://example.com/file"
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(schema[key][0], root)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        members = schema.get("properties", {})
        return {name: example(members.get(name, {}), root) for name in schema.get("required", ())}
    if kind == "array":
        return [example(schema.get("items", {}), root)] * max(1, int(schema.get("minItems", 1)))
    if kind in ("number", "integer"):
        return schema.get("minimum", schema.get("maximum", 1))
    if kind == "string":
        return "hello"[: schema.get("maxLength", 5)].ljust(int(schema.get("minLength", 0)), ".")
    return {"boolean": True, "null": None}.get(str(kind), {})


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
