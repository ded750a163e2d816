"""Writes a new project that runs at once: an endpoint of one's own, or a copy of a recipe."""

from __future__ import annotations

import keyword
import re
import shutil
from pathlib import Path
from string import Template

from zeroidle.errors import ConfigError
from zeroidle.project.source import FILE_NAME
from zeroidle.project.source import read as read_project
from zeroidle.project.targets import RECIPES, check_name, collections, name_from, recipes

_TEMPLATES = Path(__file__).parent / "templates"
_OWN = {"app.py": "app.py.txt", FILE_NAME: "zeroidle.toml.txt", "tests.json": "tests.json.txt",
        "test_app.py": "test_app.py.txt"}  # fmt: skip
_COMMON = {"AGENTS.md": "AGENTS.md.txt", ".gitignore": "gitignore.txt"}


def create(folder: Path, recipe: str | None = None) -> list[Path]:
    """Writes the project into `folder` (made when it is missing) and answers its files. Nothing is overwritten: raises
    ConfigError, with nothing written, when a file is there already."""
    files = _from_recipe(recipe) if recipe is not None else _own(folder)
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        raise ConfigError(f"{folder / taken[0]} is there already and is left as it is; choose another folder.")
    written = []
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_text(content)
        written.append(path)
    return written


def _own(folder: Path) -> dict[str, str | Path]:
    name = name_from(folder.resolve().name, str(folder))
    function = name.replace("-", "_")
    if keyword.iskeyword(function) or not function.isidentifier():
        function = f"{function}_" if keyword.iskeyword(function) else f"run_{function}"
    about = f"One endpoint, `{name}`, in `app.py`."
    values = {"endpoint": name, "function": function, "about": about}
    return {target: _filled(source, values) for target, source in {**_OWN, **_COMMON}.items()}


def _filled(source: str, values: dict[str, str]) -> str:
    return Template((_TEMPLATES / source).read_text()).substitute(values)


def _from_recipe(recipe: str) -> dict[str, str | Path]:
    """The folders of the recipe's endpoints, those that these share, and a zeroidle.toml above them."""
    known = {**recipes(), **collections()}
    folder = known.get(recipe)
    if folder is None:
        raise ConfigError(f"There is no recipe {recipe!r}; there is: {', '.join(known) or 'none'}.")
    handlers = [folder] if recipe in recipes() else _handlers(folder)
    files: dict[str, str | Path] = {}
    for part in dict.fromkeys(found for handler in handlers for found in (handler, *_shared(handler))):
        for path in sorted(part.rglob("*")):
            relative = path.relative_to(RECIPES)
            if path.is_file() and "__pycache__" not in relative.parts and path.name != FILE_NAME:
                files[str(relative)] = path
    files[FILE_NAME] = _moved(folder)
    about = f"The recipe `{check_name(recipe)}`; the README in each endpoint's folder says what it takes."
    for target, source in _COMMON.items():
        files[target] = _filled(source, {"about": about})
    return files


def _handlers(folder: Path) -> list[Path]:
    """The folders of the endpoints that a recipe's zeroidle.toml names."""
    tables = read_project(folder / FILE_NAME).endpoints.values()
    return [(folder / str(table["handler"])).resolve().parent for table in tables if "handler" in table]


def _shared(folder: Path) -> list[Path]:
    """The folders beside a recipe that its modules import, and those that these import."""
    beside = {p.name: p for p in RECIPES.iterdir() if p.is_dir() and (p / "__init__.py").is_file()}
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        for path in waiting.pop().rglob("*.py"):
            for name in re.findall(r"^\s*(?:from|import)\s+(\w+)", path.read_text(), re.MULTILINE):
                part = beside.get(name)
                if part is not None and part not in found and part != folder:
                    found.append(part)
                    waiting.append(part)
    return found


def _moved(folder: Path) -> str:
    """The recipe's own zeroidle.toml, with its paths seen from one folder above."""
    path = folder / FILE_NAME
    if not path.is_file():
        return f'[endpoint.{folder.name.replace("_", "-")}]\nhandler = "{folder.name}/app.py"\n'
    text = path.read_text()
    for table in read_project(path).endpoints.values():
        handler = table.get("handler")
        if isinstance(handler, str) and (folder / handler).is_file():
            moved = (folder / handler).resolve().relative_to(RECIPES.resolve())
            text = text.replace(f'handler = "{handler}"', f'handler = "{moved}"')
    return text
