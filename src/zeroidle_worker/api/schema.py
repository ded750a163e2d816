"""Type hints to JSON Schema (draft 2020-12) and to a function that turns JSON values into Python values."""

from __future__ import annotations

import collections.abc
import enum
import math
import types
import typing
from typing import Any, Dict, List, Tuple, Union

from zeroidle_worker.api.errors import InputError
from zeroidle_worker.api.scalars import (
    CHECKS,
    KEYWORDS,
    Kind,
    Load,
    Schema,
    UnsupportedType,
    at,
    choice,
    null,
    shown,
    simple,
)  # fmt: skip

_UNION = {Union, getattr(types, "UnionType", Union)}

_LISTS: Dict[Any, Any] = {
    list: list, set: set, frozenset: frozenset, collections.abc.Sequence: list, collections.abc.Iterable: list,
    collections.abc.Set: set,
}  # fmt: skip


class Types:
    """Turns type hints into kinds; named types (dataclasses, TypedDicts, models) are collected in `defs`.

    With `output` the schemas say what a handler gives, not what it takes.
    """

    def __init__(self, output: bool = False) -> None:
        self.output = output
        self.defs: Dict[str, Schema] = {}
        self._named: Dict[Any, Kind] = {}

    def of(self, hint: Any) -> Kind:
        """The kind of a type hint. Raises UnsupportedType with a sentence."""
        if hint is Any or hint is object:
            return Kind({}, lambda value, path: value)
        if hint is None or hint is type(None):
            return Kind({"type": "null"}, null)
        known = simple(hint)
        if known is not None:
            return known
        origin = typing.get_origin(hint)
        if origin is not None:
            return self._generic(hint, origin, typing.get_args(hint))
        if isinstance(hint, type):
            return self._class(hint)
        if hasattr(hint, "__supertype__"):
            return self.of(hint.__supertype__)
        raise UnsupportedType("The type hint %s has no JSON form; use a plain type, a dataclass or Any." % shown(hint))

    def _generic(self, hint: Any, origin: Any, args: Tuple[Any, ...]) -> Kind:
        if origin is typing.Annotated:
            return self._annotated(args[0], args[1:])
        if origin is typing.Literal:
            return choice(list(args), list(args))
        if origin in _UNION:
            return self._union(args)
        if origin in _LISTS:
            return self._list(_LISTS[origin], args)
        if origin is tuple:
            return self._tuple(args)
        if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
            return self._dict(args)
        if isinstance(origin, type) and hasattr(origin, "__zeroidle_kind__"):
            return self._class(origin)
        raise UnsupportedType("The type hint %s has no JSON form; use a plain type, a dataclass or Any." % shown(hint))

    def _class(self, cls: Any) -> Kind:
        if hasattr(cls, "__zeroidle_kind__"):
            schema, load = cls.__zeroidle_kind__()
            if self.output:
                schema = cls.__zeroidle_output__()
            return Kind(schema, load)
        if cls in _LISTS:
            return self._list(_LISTS[cls], ())
        if cls is tuple:
            return self._list(tuple, ())
        if cls in (dict, collections.abc.Mapping):
            return self._dict(())
        if issubclass(cls, enum.Enum):
            return choice([member.value for member in cls], list(cls))
        if cls not in self._named:
            self._named[cls] = self._name(cls)
        return self._named[cls]

    def _name(self, cls: Any) -> Kind:
        name = cls.__name__
        while name in self.defs:
            name += "_"
        kind = Kind({"$ref": "#/$defs/" + name}, lambda value, path: load(value, path))
        self._named[cls] = kind  # a type may contain itself
        self.defs[name] = {}
        if hasattr(cls, "model_json_schema") and hasattr(cls, "model_validate"):
            self.defs[name], load = self._model(cls, name)
        elif hasattr(cls, "__dataclass_fields__"):
            self.defs[name], load = self._record(cls, *_dataclass_fields(cls))
        elif typing.cast(Any, getattr(typing, "is_typeddict", _is_typeddict))(cls):
            hints = typing.get_type_hints(cls, include_extras=True)
            # With postponed annotations __required_keys__ does not know of NotRequired[]: the hint decides.
            optional = {k for k, h in hints.items() if _may_be_absent(h, k in cls.__required_keys__)}
            hints = {k: _unwrap(h) for k, h in hints.items()}
            self.defs[name], load = self._record(dict, hints, optional, {})
        elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
            hints = typing.get_type_hints(cls, include_extras=True)
            hints = {f: hints.get(f, Any) for f in cls._fields}
            self.defs[name], load = self._record(cls, hints, set(cls._field_defaults), dict(cls._field_defaults))
        else:
            del self.defs[name], self._named[cls]
            raise UnsupportedType(
                "The type %s has no JSON form; use a plain type, a dataclass, a pydantic model or Any." % name
            )
        return kind

    def _model(self, cls: Any, name: str) -> Tuple[Schema, Load]:
        """A pydantic model: pydantic makes the schema and validates."""
        mode = "serialization" if self.output else "validation"
        schema = cls.model_json_schema(ref_template="#/$defs/" + name + ".{model}", mode=mode)
        for key, value in schema.pop("$defs", {}).items():
            self.defs[name + "." + key] = value

        def load(value: Any, path: str) -> Any:
            try:
                return cls.model_validate(value)
            except ValueError as exc:
                errors = getattr(exc, "errors", None)
                if errors is None:
                    raise InputError(path, str(exc)) from exc
                first = errors()[0]
                for part in first["loc"]:
                    path = at(path, part)
                raise InputError(path, "is not valid: %s." % first["msg"].rstrip(".")) from exc

        if schema.get("$ref"):  # a recursive model
            return {"$ref": schema["$ref"]}, load
        return schema, load

    def _record(
        self, make: Any, hints: Dict[str, Any], optional: "set[str]", defaults: Dict[str, Any]
    ) -> Tuple[Schema, Load]:
        kinds = {key: self.of(hint) for key, hint in hints.items()}
        return object_schema(kinds, optional, defaults), object_loader(make, kinds, optional)

    def _union(self, args: Tuple[Any, ...]) -> Kind:
        kinds = [self.of(arg) for arg in args]

        def load(value: Any, path: str) -> Any:
            problems: List[str] = []
            for kind in kinds:
                try:
                    return kind.load(value, path)
                except InputError as exc:
                    if exc.field != path:
                        raise  # the shape was right and something inside is wrong: that is the error to show
                    if kind.schema.get("type") != "null":
                        problems.append(exc.problem)
            raise InputError(path, " Or it ".join(problems))

        return Kind({"anyOf": [kind.schema for kind in kinds]}, load)

    def _list(self, make: Any, args: Tuple[Any, ...]) -> Kind:
        item = self.of(args[0] if args else Any)
        schema: Schema = {"type": "array"}
        if item.schema:
            schema["items"] = item.schema

        def load(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise InputError(path, "is %s; it must be a list." % shown(value))
            return make([item.load(member, at(path, i)) for i, member in enumerate(value)])

        return Kind(schema, load)

    def _tuple(self, args: Tuple[Any, ...]) -> Kind:
        if len(args) == 2 and args[1] is Ellipsis:
            return self._list(tuple, args[:1])
        kinds = [self.of(arg) for arg in args]
        schema = {"type": "array", "prefixItems": [k.schema for k in kinds], "minItems": len(kinds), "items": False}

        def load(value: Any, path: str) -> Any:
            if not isinstance(value, list) or len(value) != len(kinds):
                raise InputError(path, "is %s; it must be a list of %d values." % (shown(value), len(kinds)))
            return tuple(kind.load(member, at(path, i)) for i, (kind, member) in enumerate(zip(kinds, value)))

        return Kind(schema, load)

    def _dict(self, args: Tuple[Any, ...]) -> Kind:
        if args and args[0] not in (str, Any):
            raise UnsupportedType("JSON objects have text keys; use dict[str, ...] and not dict[%s, ...]." % args[0])
        item = self.of(args[1] if args else Any)
        schema: Schema = {"type": "object"}
        if item.schema:
            schema["additionalProperties"] = item.schema

        def load(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise InputError(path, "is %s; it must be an object." % shown(value))
            return {key: item.load(member, at(path, key)) for key, member in value.items()}

        return Kind(schema, load)

    def _annotated(self, hint: Any, marks: Tuple[Any, ...]) -> Kind:
        kind = self.of(hint)
        schema = dict(kind.schema)
        for mark in marks:
            if isinstance(mark, str):
                schema["description"] = mark
            for inner in (mark, *(getattr(mark, "metadata", None) or ())):  # pydantic's Field keeps a list
                for attribute, keyword in KEYWORDS.items():
                    limit = getattr(inner, attribute, None)
                    if limit is not None and not callable(limit):
                        schema[keyword] = getattr(limit, "pattern", limit)
        if schema.get("type") == "array":
            for length, items in (("minLength", "minItems"), ("maxLength", "maxItems")):
                if length in schema:
                    schema[items] = schema.pop(length)
        rules = [(k, schema[k]) for k in CHECKS if k in schema]
        if not rules:
            return Kind(schema, kind.load)

        def load(value: Any, path: str) -> Any:
            loaded = kind.load(value, path)
            for keyword, limit in rules:
                says, holds = CHECKS[keyword]
                if not holds(value, limit):
                    raise InputError(path, "is %s; it must %s." % (shown(value), says % (limit,)))
            return loaded

        return Kind(schema, load)


def object_schema(kinds: Dict[str, Kind], optional: "set[str]", defaults: Dict[str, Any]) -> Schema:
    """The schema of an object with these members."""
    properties = {}
    for key, kind in kinds.items():
        properties[key] = dict(kind.schema)
        if key in defaults and _is_json(defaults[key]):
            properties[key]["default"] = _plain(defaults[key])
    required = [key for key in kinds if key not in optional]
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return schema


def object_loader(make: Any, kinds: Dict[str, Kind], optional: "set[str]") -> Load:
    """Loads an object with these members and calls `make(**members)`; unknown keys name the nearest known one."""

    def load(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise InputError(path, "is %s; it must be an object." % shown(value))
        for key in value:
            if key not in kinds:
                import difflib

                near = difflib.get_close_matches(key, kinds, 1)
                hint = "did you mean %s?" % near[0] if near else "known: %s." % ", ".join(kinds)
                raise InputError(at(path, key), "is not known; " + hint)
        for key in kinds:
            if key not in value and key not in optional:
                raise InputError(at(path, key), "is missing.")
        return make(**{key: kinds[key].load(member, at(path, key)) for key, member in value.items()})

    return load


def _dataclass_fields(cls: Any) -> "Tuple[Dict[str, Any], set[str], Dict[str, Any]]":
    import dataclasses  # who has a dataclass has imported it

    hints = typing.get_type_hints(cls, include_extras=True)
    fields = [f for f in dataclasses.fields(cls) if f.init]
    missing = dataclasses.MISSING
    optional = {f.name for f in fields if f.default is not missing or f.default_factory is not missing}
    return {f.name: hints[f.name] for f in fields}, optional, {f.name: f.default for f in fields}


def _unwrap(hint: Any) -> Any:
    """Takes Required[] and NotRequired[] off."""
    return typing.get_args(hint)[0] if str(typing.get_origin(hint)).endswith(("Required", "NotRequired")) else hint


def _may_be_absent(hint: Any, required: bool) -> bool:
    mark = str(typing.get_origin(hint))
    return mark.endswith("NotRequired") or (not required and not mark.endswith("Required"))


def _is_typeddict(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else list(value) if isinstance(value, tuple) else value


def _is_json(value: Any) -> bool:
    value = _plain(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(_is_json(v) for v in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    return value is None or isinstance(value, (bool, int, str))
