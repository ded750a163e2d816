"""The server of hostile files, for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worker.api.hostile_server import Server, serving


@pytest.fixture(scope="module")
def files() -> Iterator[Server]:
    """A web server with good and bad files."""
    with serving() as server:
        yield server
