"""Files of results go when their results do: those of batches later."""

from __future__ import annotations

import os
import time
from pathlib import Path

from zeroidle.gateway.files import remove_older
from zeroidle.job import JobIds


def test_files_of_batches_are_kept_as_long_as_their_results(tmp_path: Path) -> None:
    ids, now = JobIds(), time.time()
    names = {
        "old": ids.new(),
        "young": ids.new(),
        "of a batch": ids.new_of_batch(),
        "of an old one": ids.new_of_batch(),
    }
    ages = {"old": 100, "young": 1, "of a batch": 100, "of an old one": 1000}
    for what, name in names.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "1-a.wav").write_bytes(b"x")
        os.utime(tmp_path / name, (now - ages[what], now - ages[what]))
    assert remove_older(tmp_path, now - 50, now - 500) == 2
    assert {path.name for path in tmp_path.iterdir()} == {names["young"], names["of a batch"]}
