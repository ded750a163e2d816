"""The two tiers of the tests: everything by default but what is marked `slow`; with --all that too."""

from __future__ import annotations

import os
import signal

import pytest

# A shell starts its background jobs with SIGINT ignored, and their children inherit that: Ctrl-C could not be tried.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option --all."""
    parser.addoption("--all", action="store_true", help="run the slow tests too (also: ZEROIDLE_SLOW=1)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the slow tests out unless they are asked for."""
    if config.getoption("--all") or os.environ.get("ZEROIDLE_SLOW") == "1":
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
