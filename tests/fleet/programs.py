"""Small programs that stand in for a worker: they run the handler file and nothing else."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from zeroidle.endpoint import Endpoint

#: Runs the handler file as a script; what a worker's entry does at its heart.
ENTRY = "import os, runpy; runpy.run_path(os.environ['ZEROIDLE_HANDLER'], run_name='__main__')\n"


def entry(folder: Path) -> Path:
    """Writes the entry program into `folder`."""
    path = folder / "entry.py"
    path.write_text(ENTRY)
    return path


def endpoint(folder: Path, source: str, **settings: object) -> Endpoint:
    """An endpoint whose worker runs `source`."""
    root = folder / "app"
    root.mkdir(exist_ok=True)
    handler = root / "handler.py"
    handler.write_text(source)
    base: dict[str, object] = {"name": "probe", "handler": handler, "root": root, "python": sys.executable}
    return Endpoint(**(base | settings))  # type: ignore[arg-type]


async def until(condition: Callable[[], object], what: str, deadline_s: float = 20.0) -> None:
    """Waits for a condition that nothing announces."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    return state not in ("Z", "X")


def pids(path: Path, count: int) -> list[int]:
    """The process ids that a program wrote into a file, one a line; empty until there are `count`."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [int(line) for line in lines] if len(lines) >= count else []


def say(path: Path) -> str:
    """Source code: `say()` appends the process's own id to `path`."""
    return f"import os\ndef say():\n    with open({os.fspath(path)!r}, 'a') as f: f.write(f'{{os.getpid()}}\\n')\n"
