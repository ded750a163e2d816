"""Durations, sizes, ranges and rules as users write them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroidle.endpoint import Scaler
from zeroidle.project import values

HERE = Path.cwd()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("500ms", 0.5),
        ("60s", 60.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        (90, 90.0),
        (0.25, 0.25),
        ("45", 45.0),
        (" 2 S ", 2.0),
        ("1.5s", 1.5),
        (0, 0.0),
    ],
)
def test_a_duration(written: object, expected: float) -> None:
    assert values.seconds(written) == pytest.approx(expected)


@pytest.mark.parametrize(
    "written", ["", "5 minutes", "m", "5m x", "-1s", -1, True, None, [1], "nan", "inf", "1e400", "5mm"]
)
def test_not_a_duration(written: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        values.seconds(written)


@given(st.integers(min_value=0, max_value=10**7))
def test_a_duration_that_is_shown_reads_back_the_same(seconds: int) -> None:
    assert values.seconds(values.show_seconds(seconds)) == seconds


@pytest.mark.parametrize(
    ("written", "expected"),
    [("10MB", 10 << 20), ("512 KB", 512 << 10), ("1gib", 1 << 30), (2048, 2048), ("0.5MB", 1 << 19)],
)
def test_a_size(written: object, expected: int) -> None:
    assert values.size_bytes(written) == expected


@pytest.mark.parametrize("written", ["", "10 megs", "-1MB", -5, True, "0.3b", [], "MB"])
def test_not_a_size(written: object) -> None:
    with pytest.raises(ValueError, match="not a size"):
        values.size_bytes(written)


@given(st.integers(min_value=0, max_value=1 << 45))
def test_a_size_that_is_shown_reads_back_the_same(size: int) -> None:
    assert values.size_bytes(values.show_bytes(size).replace(" bytes", "")) == size


@pytest.mark.parametrize(
    ("written", "expected"),
    [([0, 3], (0, 3)), ((1, 1), (1, 1)), ("2:5", (2, 5)), (4, (0, 4)), ("0", (0, 0)), ("0:0", (0, 0))],
)
def test_workers(written: object, expected: tuple[int, int]) -> None:
    assert values.workers(written, HERE) == expected


@pytest.mark.parametrize("written", [[3, 1], [1], [0, 1, 2], "a:b", -1, [0, 1001], "1:", {}, 1.5])
def test_not_workers(written: object) -> None:
    with pytest.raises(ValueError, match="not a range of workers"):
        values.workers(written, HERE)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("default", Scaler()),
        ("queue_delay:500ms", Scaler("queue_delay", 0.5)),
        ("queue_delay", Scaler("queue_delay", 4.0)),
        ("request_count:2", Scaler("request_count", 2.0)),
        ("request_count", Scaler("request_count", 4.0)),
    ],
)
def test_a_scaler(written: str, expected: Scaler) -> None:
    assert values.scaler(written, HERE) == expected


@pytest.mark.parametrize(
    "written", ["", "fast", "default:1", "queue_delay:soon", "request_count:0", "request_count:1.5", 4]
)
def test_not_a_scaler(written: object) -> None:
    with pytest.raises(ValueError, match="not a scaling rule"):
        values.scaler(written, HERE)


def test_an_interpreter_is_a_path_an_environment_or_a_command_and_its_link_is_kept(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert values.interpreter("venv/bin/python", tmp_path) == str(python)
    assert values.interpreter("venv", tmp_path) == str(python)
    assert os.path.isabs(values.interpreter("sh", tmp_path))


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        values.interpreter(".venv/bin/python", tmp_path)
    with pytest.raises(ValueError, match="not found on PATH"):
        values.interpreter("python9.99", tmp_path)
    (tmp_path / "plain").write_text("")
    with pytest.raises(ValueError, match="may not be executed"):
        values.interpreter("./plain", tmp_path)
