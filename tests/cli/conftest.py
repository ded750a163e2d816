"""Planes for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.up import DECLARED, HANDLER, STREAM, Up


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One plane for the tests of a file: a plain handler, a stream, and a file that declares two endpoints."""
    folder = tmp_path_factory.mktemp("plane")
    files = {"handler.py": HANDLER, "stream.py": STREAM, "app.py": DECLARED}
    up = Up(folder, "handler.py", "stream.py", "app.py", "--idle", "60s", "--max-workers", "1", files=files)
    try:
        yield up
        up.end()
    finally:
        up.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts planes in the test's own folder."""
    started: list[Up] = []

    def begin(*args: str, files: dict[str, str] | None = None, **env: str) -> Up:
        started.append(Up(tmp_path, *args, files=files, **env))
        return started[-1]

    yield begin
    for up in started:
        up.kill()
