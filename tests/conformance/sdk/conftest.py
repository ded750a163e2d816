"""Leaves the older versions of `runpod` out unless ZEROIDLE_SLOW is set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("ZEROIDLE_SLOW"):
        return
    skip = pytest.mark.skip(reason="an older version of runpod; set ZEROIDLE_SLOW=1")
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("slow"):
            item.add_marker(skip)
