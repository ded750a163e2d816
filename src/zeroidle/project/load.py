"""Builds the endpoints: default < decorator < .env and zeroidle.toml < flags."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zeroidle.endpoint import Endpoint
from zeroidle.errors import ConfigError
from zeroidle.project.describe import Describer, Description
from zeroidle.project.environment import env_files, secret_env, table_env, variable
from zeroidle.project.settings import BY_NAME, KEYS, default_python
from zeroidle.project.source import ProjectFile, nearest
from zeroidle.project.targets import Declared, Layer, check_unique, resolve

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
    found: list[tuple[Declared, Description | None]] = []
    for declared in resolve(list(targets), cwd):
        found += _described(declared, flags, cwd, environ, cache)
    check_unique([declared for declared, _ in found])
    names = [declared.name for declared, _ in found]
    for name in flags.single:
        if name not in names:
            raise ConfigError(f"--set {name}: there is no endpoint {name}{nearest(name, names)}")
    endpoints = {}
    for declared, description in found:
        endpoint = _build(declared, flags, cwd, environ, description)
        secrets = secret_env(endpoint.name, endpoint.secrets, endpoint.env, environ)
        endpoints[endpoint.name] = dataclasses.replace(endpoint, env=endpoint.env | secrets)
    return endpoints


def _described(
    declared: Declared, flags: Flags, cwd: Path, environ: Mapping[str, str], cache: Path | None
) -> list[tuple[Declared, Description | None]]:
    """The endpoints that the file itself declares, each with what it says; else the one given."""
    plain = _build(declared, flags, cwd, environ)
    python = plain.python
    if not declared.named and "python" not in flags.every:
        python = _hinted_python(declared) or python
    passed = {name: value for name, value in environ.items() if not name.startswith("ZEROIDLE_")}
    found = Describer(python, plain.root, passed | plain.env, cache).describe(declared.handler)
    if declared.choice is None and not found:
        return [(declared, None)]
    if declared.choice is None and not declared.named:
        return [(_with_decorator(declared.renamed(one.name), one), one) for one in found]
    wanted = declared.choice or declared.name
    chosen = next((one for one in found if one.name == wanted), None)
    if chosen is None and len(found) == 1 and declared.choice is None:
        chosen = found[0]
    if chosen is None:
        names = ", ".join(each.name for each in found) or "no endpoint"
        raise ConfigError(
            f"{declared.handler} declares {names}, and none of them is {wanted}; choose one: "
            f"{declared.name}={declared.handler.name}:NAME"
        )
    named = declared if declared.named else declared.renamed(chosen.name)
    return [(_with_decorator(named, chosen), chosen)]


def _with_decorator(declared: Declared, description: Description) -> Declared:
    """With the decorator's settings below all others."""
    layer = Layer(description.settings, ProjectFile(declared.handler, {}), description.name, decorator=True)
    return dataclasses.replace(declared, layers=(layer, *declared.layers))


def _hinted_python(declared: Declared) -> str | None:
    """The interpreter that the zeroidle.toml here names for the endpoints of this file, whose names are not known
    before the file is read; None when it names none, or several."""
    local = declared.local
    if local is None:
        return None
    hints = {
        BY_NAME["python"].read(table["python"], local.folder)["python"]
        for table in local.endpoints.values()
        if "python" in table and (local.folder / str(table.get("handler", declared.handler))) == declared.handler
    }
    return str(hints.pop()) if len(hints) == 1 else None


def _build(
    declared: Declared,
    flags: Flags,
    cwd: Path,
    environ: Mapping[str, str],
    description: Description | None = None,
) -> Endpoint:
    fields: dict[str, object] = {"handler": declared.handler, "root": declared.handler.parent}
    env: dict[str, str] = {}
    for layer in declared.layers:
        for key, value in layer.values.items():
            if key not in ("handler", "env", "env_file"):
                fields |= _read(key, value, layer.file.folder, layer.where(key))
        env |= table_env(layer, environ)
    own = dict(flags.single.get(declared.name, {}))
    for text, where in ((flags.every, "--{}"), (own, f"--set {declared.name}.{{}}")):
        for key, value in text.items():
            if key not in _BOUNDS and not key.startswith("env.") and key != "env_file":
                fields |= _read(key, value, cwd, where.format(key if text is own else key.replace("_", "-")))
    _bound_workers(fields, flags.every)
    if description is not None:
        fields |= _declaration(description, fields)
    if "handler" in own:
        raise ConfigError(f"--set {declared.name}.handler: name it as a target: {declared.name}={own['handler']}")
    env |= {variable(name, "--env"): value for name, value in flags.env.items()}
    for key, value in own.items():
        if key.startswith("env."):
            env[variable(key[4:], f"--set {declared.name}.{key}")] = value
    fields.setdefault("python", default_python())
    fields["env"] = env_files(declared, own.get("env_file"), cwd, environ) | env
    return Endpoint(name=declared.name, **fields)  # type: ignore[arg-type]  # the table of settings fits the fields


def _declaration(description: Description, fields: Mapping[str, object]) -> dict[str, object]:
    """What is not a setting, because the handler file alone says it, and what follows from it for the settings."""
    found: dict[str, object] = {
        "declared": description.name,
        "input_schema": description.input_schema,
        "output_schema": description.output_schema,
        "doc": description.doc,
        "form": description.form,
        "sources": description.sources,
    }
    batch = fields.get("batch")
    if batch and description.form != "batch":
        if description.batched is None:
            raise ConfigError(
                f"{description.name} cannot have a batch: a handler of batches takes lists and returns a list, and "
                f"this one is a {description.form or 'plain'} handler."
            )
        found |= {"form": "batch", "input_schema": description.batched[0], "output_schema": description.batched[1]}
    if isinstance(batch, tuple):
        # One batch runs while the next is collected; the scaling rules count with it before a worker says so itself.
        concurrency = fields.get("concurrency", 1)
        assert isinstance(concurrency, int)
        found["concurrency"] = max(concurrency, 2 * batch[0])
    return found


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
