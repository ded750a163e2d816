"""Builds the endpoints: default < .env and zeroidle.toml < flags."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zeroidle.endpoint import Endpoint
from zeroidle.errors import ConfigError
from zeroidle.project import dotenv
from zeroidle.project.settings import BY_NAME, KEYS, default_python
from zeroidle.project.source import nearest
from zeroidle.project.targets import Declared, Layer, resolve

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")

#: Flags that set one end of the range of workers, and the defaults of both ends.
_BOUNDS = {"min_workers": Endpoint.__dataclass_fields__["min_workers"].default,
           "max_workers": Endpoint.__dataclass_fields__["max_workers"].default}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says, as it was typed.

    `every` holds settings for all endpoints, `single` those of `--set NAME.key=value`; `env` holds variables of
    `--env` for all endpoints.
    """

    every: Mapping[str, str] = field(default_factory=dict)
    single: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(
        cls, every: Mapping[str, str | None], env: Sequence[str], sets: Sequence[str], environ: Mapping[str, str]
    ) -> Flags:
        """From options as they are typed: `env` items are K=V, or K to pass it on; `sets` items are NAME.key=value."""
        single: dict[str, dict[str, str]] = {}
        for item in sets:
            place, equals, value = item.partition("=")
            name, dot, key = place.partition(".")
            if not equals or not dot or not name or not key:
                raise ConfigError(f"--set {place} is not NAME.key=value, for example: --set hello.idle=60s")
            single.setdefault(name, {})[key] = value
        variables: dict[str, str] = {}
        for item in env:
            name, equals, value = item.partition("=")
            if not equals and name not in environ:
                raise ConfigError(f"--env {name}: there is no such variable to pass on; write --env {name}=VALUE.")
            variables[name] = value if equals else environ[name]
        return cls({k: v for k, v in every.items() if v is not None}, single, variables)


def load(
    targets: Sequence[str],
    flags: Flags | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> dict[str, Endpoint]:
    """The endpoints that the targets mean, by name.

    A target is a handler file, a folder, an endpoint of zeroidle.toml, a recipe's name, or NAME=TARGET; without one,
    every endpoint of the zeroidle.toml in `cwd` is taken. Raises ConfigError with one sentence.
    """
    flags = flags or Flags()
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd.absolute()
    declared = resolve(list(targets), cwd)
    names = [d.name for d in declared]
    for name in flags.single:
        if name not in names:
            raise ConfigError(f"--set {name}: there is no endpoint {name}{nearest(name, names)}")
    return {d.name: _build(d, flags, cwd, environ) for d in declared}


def _build(declared: Declared, flags: Flags, cwd: Path, environ: Mapping[str, str]) -> Endpoint:
    fields: dict[str, object] = {"handler": declared.handler, "root": declared.handler.parent}
    env: dict[str, str] = {}
    for layer in declared.layers:
        for key, value in layer.values.items():
            if key not in ("handler", "env", "env_file"):
                fields |= _read(key, value, layer.file.folder, layer.where(key))
        env |= _table_env(layer, environ)
    own = dict(flags.single.get(declared.name, {}))
    for text, where in ((flags.every, "--{}"), (own, f"--set {declared.name}.{{}}")):
        for key, value in text.items():
            if key not in _BOUNDS and not key.startswith("env.") and key != "env_file":
                fields |= _read(key, value, cwd, where.format(key))
    _bound_workers(fields, flags.every)
    if "handler" in own:
        raise ConfigError(f"--set {declared.name}.handler: name it as a target: {declared.name}={own['handler']}")
    env |= {_variable(name, "--env"): value for name, value in flags.env.items()}
    for key, value in own.items():
        if key.startswith("env."):
            env[_variable(key[4:], f"--set {declared.name}.{key}")] = value
    fields.setdefault("python", default_python())
    fields["env"] = _env_files(declared, own.get("env_file"), cwd, environ) | env
    return Endpoint(name=declared.name, **fields)  # type: ignore[arg-type]  # the table of settings fits the fields


def _bound_workers(fields: dict[str, object], every: Mapping[str, str]) -> None:
    """--min-workers and --max-workers, which change one end of the range and leave the other."""
    given = {key: every[key] for key in _BOUNDS if key in every}
    if not given:
        return
    low, high = (str(given.get(key, fields.get(key, default))) for key, default in _BOUNDS.items())
    try:
        fields |= BY_NAME["workers"].read(f"{low}:{high}", Path())
    except ValueError:
        words = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in given.items())
        raise ConfigError(
            f"{words} makes the range of workers {low}:{high}; it must be 0 <= min <= max <= 1000."
        ) from None


def _read(key: str, value: object, folder: Path, where: str) -> dict[str, object]:
    setting = BY_NAME.get(key)
    if setting is None:
        raise ConfigError(f"{where}: there is no setting {key}{nearest(key, KEYS)}")
    try:
        return setting.read(value, folder)
    except ValueError as exc:
        raise ConfigError(f"{where} = {value!r} {exc}") from None


def _table_env(layer: Layer, environ: Mapping[str, str]) -> dict[str, str]:
    table = layer.values.get("env", {})
    if not isinstance(table, Mapping):
        raise ConfigError(f'{layer.where("env")} is not a table; write env = {{ NAME = "value" }}.')
    env: dict[str, str] = {}
    for name, value in table.items():
        where = layer.where(f"env.{name}")
        if not isinstance(value, (str, int, float)):
            raise ConfigError(f"{where} is not a text, a number, true or false.")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        env[_variable(name, where)] = _expand(text, environ, where)
    return env


def _variable(name: str, where: str) -> str:
    if not dotenv.NAME.fullmatch(name):
        raise ConfigError(f"{where}: {name!r} cannot be a variable's name: it takes letters, digits and _.")
    if name.startswith("ZEROIDLE_"):
        raise ConfigError(f"{where}: {name} is set by ZeroIdle itself; choose a name without ZEROIDLE_ before it.")
    return name


def _expand(text: str, environ: Mapping[str, str], where: str) -> str:
    def piece(match: re.Match[str]) -> str:
        dollar, name, other = match.groups()
        if dollar:
            return "$"
        value = environ.get(name) or other
        if value is None:
            raise ConfigError(f"{where} needs the variable {name}, which is not set; set it or write ${{{name}:-X}}.")
        return value

    return _VARIABLE.sub(piece, text)


def _env_files(declared: Declared, flag: str | None, cwd: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the .env files. The file beside the handler wins over the one beside zeroidle.toml."""
    chosen: object = None
    folder, where = cwd, f"--set {declared.name}.env_file"
    for layer in declared.layers:
        if "env_file" in layer.values:
            chosen, folder, where = layer.values["env_file"], layer.file.folder, layer.where("env_file")
    if flag is not None:
        chosen, folder, where = (False if flag == "false" else flag), cwd, f"--set {declared.name}.env_file"
    if chosen is False:
        return {}
    if chosen is None:
        folders = dict.fromkeys([*(layer.file.folder for layer in declared.layers), declared.handler.parent])
        paths = [path for f in folders if (path := f / ".env").is_file()]
    elif isinstance(chosen, str) and (path := folder / Path(chosen).expanduser()).is_file():
        paths = [path]
    else:
        raise ConfigError(f"{where} = {chosen!r} is not a file.")
    found: dict[str, str] = {}
    for path in paths:
        for name, value in dotenv.read(path, environ).items():
            if not name.startswith("ZEROIDLE_"):  # a .env shared with our own command may hold its variables
                found[name] = value
    return found
