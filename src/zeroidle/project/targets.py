"""What a TARGET on the command line means: a handler file, a folder, an endpoint of zeroidle.toml, or a recipe."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeroidle.errors import ConfigError
from zeroidle.project import source
from zeroidle.project.source import ProjectFile

#: The files that are taken for the handler of a folder without a zeroidle.toml.
HANDLER_FILES = ("handler.py", "rp_handler.py", "app.py")
RECIPES = Path(__file__).parent.parent / "recipes"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Layer:
    """One file's say about one endpoint: its raw values, and the file and table they stand in, or the decorator."""

    values: Mapping[str, object]
    file: ProjectFile
    table: str
    decorator: bool = False

    def where(self, key: str) -> str:
        """Names a key in an error: file, line and table."""
        if self.decorator:
            return f"{self.file.path}: @endpoint of {self.table}: {key}"
        return f"{self.file.where('endpoint', self.table, *key.split('.'))}: [endpoint.{self.table}] {key}"


@dataclass(frozen=True, slots=True)
class Declared:
    """An endpoint before its settings are read. A later layer wins over an earlier one.

    `named` says that the user gave the name; otherwise it comes from the file's and what the file declares wins.
    `choice` is the one meant of several that the file declares. `local` is the zeroidle.toml of the current folder.
    """

    name: str
    target: str
    handler: Path
    layers: tuple[Layer, ...] = ()
    named: bool = False
    local: ProjectFile | None = None
    choice: str | None = None

    def renamed(self, name: str) -> Declared:
        """The same under another name, with what the local zeroidle.toml says about that name."""
        layers = tuple(layer for layer in self.layers if layer.file is not self.local)
        return _overlaid(check_name(name), self.target, self.handler, layers, self.local, self.named)


def recipes() -> dict[str, Path]:
    """The recipes that come with the package: name to folder."""
    if not RECIPES.is_dir():
        return {}
    found = (folder for folder in sorted(RECIPES.iterdir()) if (folder / "app.py").is_file())
    return {folder.name.replace("_", "-"): folder for folder in found}


def collections() -> dict[str, Path]:
    """Recipes that are several endpoints in one project: name to folder."""
    if not RECIPES.is_dir():
        return {}
    found = (folder for folder in sorted(RECIPES.iterdir()) if (folder / source.FILE_NAME).is_file())
    return {folder.name.replace("_", "-"): folder for folder in found if not (folder / "app.py").is_file()}


def check_name(name: str, hint: str = "") -> str:
    """The name, when it may be part of a URL."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of an endpoint: it takes lowercase letters, digits and dashes, at most 63, "
            f"with a letter or digit at both ends{hint}."
        )
    return name


def name_from(stem: str, target: str) -> str:
    """An endpoint's name made from a file's or a folder's: `My_App` becomes `my-app`."""
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63].strip("-")
    return check_name(name, f"; name it yourself: NAME={target}")


def split_choice(target: str, folder: Path) -> tuple[str, str | None]:
    """`app.py:speak` into the file and the one meant of the endpoints that it declares."""
    file, colon, choice = target.rpartition(":")
    if colon and choice and not (folder / target).exists() and (folder / file).expanduser().is_file():
        return file, choice
    return target, None


def resolve(targets: list[str], cwd: Path) -> list[Declared]:
    """The endpoints that the targets mean; without targets, all of the zeroidle.toml in `cwd`."""
    path = cwd / source.FILE_NAME
    local = source.read(path) if path.is_file() else None
    if not targets:
        if local is None:
            raise ConfigError(
                f"There is no {source.FILE_NAME} in {cwd}; name what to serve, for example: zeroidle up handler.py"
            )
        if not local.endpoints:
            raise ConfigError(f"{path} declares no endpoint; add a table like [endpoint.hello].")
        return _of_file(local, local)
    return [declared for target in targets for declared in _of_target(target, cwd, local)]


def check_unique(found: list[Declared]) -> None:
    """Raises ConfigError when two have the same name."""
    seen: dict[str, str] = {}
    for declared in found:
        if declared.name in seen:
            raise ConfigError(
                f"{seen[declared.name]} and {declared.target} would both be the endpoint {declared.name}; "
                f"name one of them: OTHER={declared.target}"
            )
        seen[declared.name] = declared.target


def _of_target(target: str, cwd: Path, local: ProjectFile | None) -> list[Declared]:
    name, equals, rest = target.partition("=")
    if equals and "/" not in name:
        check_name(name)
        if not rest:
            raise ConfigError(f"{target} names no target; write NAME=handler.py, NAME=FOLDER or NAME=RECIPE.")
        return [_one(rest, name, cwd, local)]
    if local is not None and target in local.endpoints:
        return [_from_table(local, target, local)]
    path = (cwd / target).expanduser()
    if path.is_dir() and (path / source.FILE_NAME).is_file():
        return _of_file(source.read(path / source.FILE_NAME), local)
    if target in collections() and not path.exists():
        return _of_file(source.read(collections()[target] / source.FILE_NAME), local)
    return [_one(target, None, cwd, local)]


def _one(target: str, name: str | None, cwd: Path, local: ProjectFile | None) -> Declared:
    """A target that stands for exactly one endpoint."""
    path = (cwd / target).expanduser()
    if path.is_dir() and (path / source.FILE_NAME).is_file():
        file = source.read(path / source.FILE_NAME)
        if name is not None and name not in file.endpoints and len(file.endpoints) != 1:
            raise ConfigError(
                f"{file.path} declares {', '.join(file.endpoints) or 'no endpoint'}; {name}={target} needs it to "
                f"declare {name}, or one alone."
            )
        table = name if name in file.endpoints else next(iter(file.endpoints))
        assert table is not None
        return _from_table(file, table, local, name)
    if path.is_dir():
        handler = next((path / n for n in HANDLER_FILES if (path / n).is_file()), None)
        if handler is not None:
            chosen = name or name_from(path.resolve().name, target)
            return _overlaid(chosen, target, handler.absolute(), (), local, name is not None)
        if target not in recipes():
            files = ", ".join([source.FILE_NAME, *HANDLER_FILES])
            raise ConfigError(f"The folder {target} has nothing to serve: none of {files} is in it.")
    file_name, choice = split_choice(target, cwd)
    if choice is not None:
        return dataclasses.replace(_one(file_name, name, cwd, local), target=target, choice=choice)
    if path.is_file():
        return _overlaid(name or name_from(path.stem, target), target, path.absolute(), (), local, name is not None)
    if target in recipes():
        return _recipe(target, name, local)
    raise ConfigError(_unknown(target, local))


def _unknown(target: str, local: ProjectFile | None) -> str:
    if target.endswith(".py") or "/" in target:
        return f"There is no file or folder {target}."
    known = [*(local.endpoints if local else ()), *recipes(), *collections()]
    return f"{target} is neither a file, a folder, an endpoint of {source.FILE_NAME} nor a recipe" + source.nearest(
        target, known
    )


def _recipe(recipe: str, name: str | None, local: ProjectFile | None) -> Declared:
    folder = recipes()[recipe]
    layers: tuple[Layer, ...] = ()
    path = folder / source.FILE_NAME
    if path.is_file():
        file = source.read(path)
        layers = tuple(Layer(values, file, table) for table, values in file.endpoints.items())[:1]
    return _overlaid(name or recipe, recipe, folder / "app.py", layers, local, True)


def _of_file(file: ProjectFile, local: ProjectFile | None) -> list[Declared]:
    return [_from_table(file, table, local) for table in file.endpoints]


def _from_table(file: ProjectFile, table: str, local: ProjectFile | None, name: str | None = None) -> Declared:
    """An endpoint that a zeroidle.toml declares."""
    values = file.endpoints[table]
    layer = Layer(values, file, table)
    name = check_name(name or table, f" ({file.where('endpoint', table)})")
    handler = values.get("handler")
    if handler is None:
        raise ConfigError(
            f'{file.where("endpoint", table)}: [endpoint.{table}] has no handler; add handler = "FILE.py", or start '
            f"it as: zeroidle up {name}=FILE.py"
        )
    if not isinstance(handler, str):
        raise ConfigError(f"{layer.where('handler')} is not a text; write a file's path or a recipe's name.")
    handler, choice = split_choice(handler, file.folder)
    path = (file.folder / handler).expanduser()
    layers: tuple[Layer, ...] = (layer,)
    if not path.is_file():
        if handler not in recipes():
            raise ConfigError(
                f"{layer.where('handler')} = {handler!r} is neither a file nor a recipe"
                + source.nearest(handler, recipes())
            )
        recipe = _recipe(handler, name, None)
        path, layers = recipe.handler, (*recipe.layers, layer)
    return dataclasses.replace(_overlaid(name, table, path.absolute(), layers, local, True), choice=choice)


def _overlaid(
    name: str, target: str, handler: Path, layers: tuple[Layer, ...], local: ProjectFile | None, named: bool
) -> Declared:
    """Adds what the zeroidle.toml of the current folder says about that name, which wins."""
    if local is not None and name in local.endpoints and all(layer.file is not local for layer in layers):
        layers = (*layers, Layer(local.endpoints[name], local, name))
    return Declared(name, target, handler, layers, named, local)
