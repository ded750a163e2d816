"""Planes for the gateway's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.plane import GatewayPlane, running


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayPlane]:
    """One plane for all tests of a file."""
    with running(tmp_path_factory.mktemp("plane")) as plane:
        yield plane
