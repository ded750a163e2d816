"""Reads what a callable takes and gives from its signature, type hints and docstring."""

from __future__ import annotations

import collections.abc
import re
import typing
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from zeroidle_worker.api.errors import InputError
from zeroidle_worker.api.parameters import MISSING, Parameter, parameters_of
from zeroidle_worker.api.scalars import Kind, Schema, shown
from zeroidle_worker.api.schema import Types, object_loader, object_schema

_STREAMS = (
    collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator, collections.abc.AsyncIterator,
    collections.abc.AsyncIterable, collections.abc.AsyncGenerator,
)  # fmt: skip


class Signature(NamedTuple):
    """What an endpoint takes and gives.

    `input` and `output` are JSON Schemas (`output` None: unknown; for a stream it is the schema of a chunk).
    `load` turns the job's input into keyword arguments; it is None for a plain `handler(job)`.
    """

    input: Schema
    output: Optional[Schema]
    load: Optional[Callable[[Any], Dict[str, Any]]]
    doc: str


def read(target: Callable[..., Any], doc: str = "", batch: bool = False) -> Signature:
    """The signature of a function or bound method. Raises UnsupportedType for a hint without a JSON form.

    `doc` is its docstring, for the descriptions in the schema. With `batch` the function takes lists (one member per
    request) and gives a list: the schema is that of a member.
    """
    text = _clean(doc)
    parameters = parameters_of(target)
    hints = _hints(target)
    if _takes_job(parameters, hints):
        return Signature({"type": "object"}, None, None, text)
    types = Types()
    kinds: Dict[str, Kind] = {}
    defaults: Dict[str, Any] = {}
    open_ended = False
    notes = _argument_notes(text)
    for parameter in parameters:
        if parameter.kind == "keywords":
            open_ended = True
            continue
        if parameter.kind != "named":
            raise TypeError("The parameter %s of %s cannot be given by name." % (parameter.name, _name(target)))
        kind = types.of(_member(hints.get(parameter.name, Any)) if batch else hints.get(parameter.name, Any))
        if parameter.name in notes and "description" not in kind.schema:
            kind = Kind({**kind.schema, "description": notes[parameter.name]}, kind.load)
        kinds[parameter.name] = kind
        if parameter.default is not MISSING:
            defaults[parameter.name] = parameter.default
    schema = object_schema(kinds, set(defaults), defaults)
    load = object_loader(dict, kinds, set(defaults))
    if open_ended:
        schema["additionalProperties"] = True
        load = _keep_others(load, set(kinds))
    if types.defs:
        schema["$defs"] = types.defs
    output = _output(hints.get("return", Any), batch)
    return Signature(schema, output, lambda value: _checked(load, value), text)


def _hints(target: Any) -> Dict[str, Any]:
    """Type hints of what is called: for a partial those of its function, for an object those of its `__call__`."""
    while hasattr(target, "func") and hasattr(target, "keywords"):
        target = target.func
    if not hasattr(target, "__annotations__") or not hasattr(target, "__name__"):
        target = type(target).__call__
    return typing.get_type_hints(target, include_extras=True)


def _name(target: Any) -> str:
    return str(getattr(target, "__qualname__", None) or target)


def _clean(doc: str) -> str:
    if not doc:
        return ""
    import inspect  # not in a worker: it asks for no description

    return inspect.cleandoc(doc)


def _takes_job(parameters: List[Parameter], hints: Dict[str, Any]) -> bool:
    """RunPod's form: one parameter named job or event, without a hint or with a dict's."""
    if len(parameters) != 1 or parameters[0].name not in ("job", "event"):
        return False
    hint = hints.get(parameters[0].name, dict)
    return hint is Any or hint is dict or typing.get_origin(hint) is dict


def _member(hint: Any) -> Any:
    """list[T] -> T, for a function that takes batches."""
    args = typing.get_args(hint)
    return args[0] if args else Any


def _output(hint: Any, batch: bool) -> Optional[Schema]:
    if typing.get_origin(hint) in _STREAMS or batch:
        hint = _member(hint)
    if hint is Any:
        return None
    types = Types(output=True)
    schema = dict(types.of(hint).schema)
    if types.defs:
        schema["$defs"] = types.defs
    return schema


def _checked(load: Callable[[Any, str], Any], value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("", "the input is %s; it must be an object." % shown(value))
    loaded: Dict[str, Any] = load(value, "")
    return loaded


def _keep_others(load: Callable[[Any, str], Any], known: "set[str]") -> Callable[[Any, str], Any]:
    def both(value: Any, path: str) -> Any:
        loaded = load({k: v for k, v in value.items() if k in known}, path)
        return {**{k: v for k, v in value.items() if k not in known}, **loaded}

    return both


def _argument_notes(doc: str) -> Dict[str, str]:
    """`name: what it is` lines of a docstring's Args section."""
    match = re.search(r"^(?:Args|Arguments|Parameters):\n((?:[ \t]+.*\n?|\n)*)", doc, re.MULTILINE)
    if not match:
        return {}
    found = re.findall(r"^[ \t]+(\w+)(?: \([^)]*\))?:[ \t]*(.+(?:\n[ \t]{6,}.+)*)", match.group(1), re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
