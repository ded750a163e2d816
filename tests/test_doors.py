"""The doors between the rooms: who may import whom, checked by walking every import of the source."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import zeroidle

SRC = Path(__file__).parent.parent / "src"

#: Modules that every room may know.
BASE = {"errors", "job", "job_batch", "endpoint", "worker"}

#: For each room what it may import beside itself and BASE: whole rooms, or single modules as `room.module`.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "job": set(),
    "job_batch": set(),
    "endpoint": set(),
    "worker": set(),
    "project": set(),
    "store": set(),
    "fleet": set(),
    "volume": set(),
    "money": set(),
    "image": set(),
    "plan": {"volume"},
    "delivery": {"store.protocol"},
    "insight": {"store.protocol"},
    "scaling": {"store.protocol", "fleet.protocol"},
    "gateway": {"store.protocol", "store.batch_protocol", "insight"},
    "examples": set(),
    "bench": {"insight"},
}

#: These choose implementations and may import everything.
FREE = {"serve", "cli", "__main__"}

#: Third-party modules that the worker uses when the handler's environment has them.
WORKER_OPTIONAL = {"runpod", "boto3", "botocore", "requests", "cpuinfo", "torch", "numpy"}


def imports(path: Path, package: str) -> Iterator[str]:
    """Every module that a file imports, absolute, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def files(package: str) -> list[Path]:
    """The source files of a top-level package."""
    return sorted((SRC / package).rglob("*.py"))


def package_of(path: Path) -> str:
    """The dotted package that a file belongs to."""
    return ".".join(path.relative_to(SRC).parent.parts)


def allowed(room: str, target: str) -> bool:
    """Whether code in `room` may import the module `target` (without the leading `zeroidle.`)."""
    head = target.split(".")[0]
    if not head or head == room or head in BASE:
        return True
    return any(target == door or target.startswith(door + ".") for door in ROOMS[room])


@pytest.mark.parametrize("path", files("zeroidle"), ids=lambda p: str(p.relative_to(SRC)))
def test_a_room_imports_only_through_its_doors(path: Path) -> None:
    parts = path.relative_to(SRC / "zeroidle").with_suffix("").parts
    room = parts[0]
    if room in FREE or room == "__init__":
        return
    wrong = []
    known = {p.stem for p in (SRC / "zeroidle").iterdir()}
    for name in imports(path, package_of(path)):
        top, _, rest = name.partition(".")
        if top != "zeroidle" or rest.split(".")[0] not in known:
            continue
        if room == "recipes":
            if rest.split(".")[0] != "recipes" and rest not in zeroidle.__all__:
                wrong.append(name)
        elif not allowed(room, rest):
            wrong.append(name)
    assert not wrong, f"{path.relative_to(SRC)} goes through no door: {sorted(set(wrong))}"


@pytest.mark.parametrize("path", files("zeroidle_worker"), ids=lambda p: str(p.relative_to(SRC)))
def test_the_worker_needs_the_standard_library_only(path: Path) -> None:
    ok = set(sys.stdlib_module_names) | {"zeroidle_worker"} | WORKER_OPTIONAL
    wrong = {name for name in imports(path, package_of(path)) if name.split(".")[0] not in ok}
    assert not wrong, f"{path.relative_to(SRC)} imports {sorted(wrong)}"


@pytest.mark.parametrize("path", [*files("zeroidle"), *files("zeroidle_worker")], ids=lambda p: str(p.relative_to(SRC)))
def test_no_file_is_longer_than_500_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_every_core_dependency_is_used() -> None:
    """What nothing imports costs every installation its download and its updates."""
    project = tomllib.loads((SRC.parent / "pyproject.toml").read_text())["project"]
    used = {name.split(".")[0] for path in SRC.glob("zeroidle/**/*.py") for name in imports(path, "zeroidle")}
    modules = {re.split(r"[^A-Za-z0-9_.-]", one)[0].replace("-", "_") for one in project["dependencies"]}
    assert modules - used == set()
