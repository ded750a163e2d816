"""A disk that is really full: nothing is acknowledged that is not kept, and it goes on when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent / "store" / "programs" / "full_disk.py"

#: A file system of its own in a mount namespace of its own: it vanishes with the process.
MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'
UNSHARE = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNT, "sh"]


def on_small_disk(folder: Path, size: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command with a file system of that size mounted on `folder`."""
    folder.mkdir()
    probe = subprocess.run([*UNSHARE, size, str(folder), "true"], capture_output=True, text=True)
    if probe.returncode:
        reason = f"no file system can be mounted here: {probe.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return subprocess.run([*UNSHARE, size, str(folder), *command], capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize("size", ["5m", "6m"])
def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path: Path, size: str) -> None:
    disk = tmp_path / "disk"
    done = on_small_disk(disk, size, [sys.executable, str(PROGRAM), str(disk)])
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen.pop("accepted") > 100 and seen.pop("refused") > 0
    assert seen == dict.fromkeys(seen, True)
    assert done.stderr.count("store.commit_failed") == done.stderr.count("store.commits_again")
