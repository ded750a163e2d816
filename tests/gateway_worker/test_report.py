"""What a worker's report says, when the disk does not take it."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeroidle.gateway.worker_report import parse_report_file
from zeroidle.job import Spooled, Status
from zeroidle_worker.wire import LARGE


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The system refuses longer files of this process, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def large_report(folder: Path) -> Path:
    path = folder / "w1-1-1.json"
    path.write_text(json.dumps({"output": "y" * (2 * LARGE)}))
    return path


def test_a_result_that_the_disk_does_not_take_fails_its_job_and_leaves_nothing(tmp_path: Path) -> None:
    path = large_report(tmp_path)
    with files_of_at_most(LARGE):
        outcome = parse_report_file(path, tmp_path).outcome()
    assert outcome.status is Status.FAILED and outcome.output is None
    assert outcome.error is not None and "could not be kept" in outcome.error and "File too large" in outcome.error
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_whose_file_is_gone_fails_its_job(tmp_path: Path) -> None:
    outcome = parse_report_file(tmp_path / "w1-1-1.json", tmp_path).outcome()
    assert outcome.error is not None and "No such file" in outcome.error


def test_only_this_user_can_read_a_large_result(tmp_path: Path) -> None:
    output = parse_report_file(large_report(tmp_path), tmp_path).output
    assert isinstance(output, Spooled)
    assert (tmp_path / output.path).stat().st_mode & 0o077 == 0
