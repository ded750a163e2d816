"""The variables of an endpoint's workers: tables, .env files, flags and secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from zeroidle.errors import ConfigError
from zeroidle.project import dotenv
from zeroidle.project.targets import Declared, Layer

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")


def table_env(layer: Layer, environ: Mapping[str, str]) -> dict[str, str]:
    """The `env` of one layer, with ${NAME} filled in."""
    table = layer.values.get("env", {})
    if not isinstance(table, Mapping):
        raise ConfigError(f'{layer.where("env")} is not a table; write env = {{ NAME = "value" }}.')
    env: dict[str, str] = {}
    for name, value in table.items():
        where = layer.where(f"env.{name}")
        if not isinstance(value, (str, int, float)):
            raise ConfigError(f"{where} is not a text, a number, true or false.")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        env[variable(name, where)] = _expand(text, environ, where)
    return env


def variable(name: str, where: str) -> str:
    """The name, when it may be set by a user. Raises ConfigError that begins with `where`."""
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


def env_files(declared: Declared, flag: str | None, cwd: Path, environ: Mapping[str, str]) -> dict[str, str]:
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
        tables = (layer.file.folder for layer in declared.layers if not layer.decorator)
        folders = dict.fromkeys([*tables, declared.handler.parent])
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


def secret_env(
    name: str, secrets: tuple[str, ...], env: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """The secrets of the endpoint `name` that its `env` does not hold yet, from the environment. Raises ConfigError,
    which names the missing ones."""
    missing = [secret for secret in secrets if not env.get(secret) and not environ.get(secret)]
    if missing:
        raise ConfigError(
            f"The endpoint {name} needs {', '.join(missing)} (secrets); set it in the environment or in a .env "
            "file beside the handler."
        )
    return {secret: environ[secret] for secret in secrets if not env.get(secret)}
