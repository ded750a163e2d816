"""A plane of one's own for the length of a command: another process, a free port, a folder that goes away."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from zeroidle.cli.folder import PLANE_FILE
from zeroidle.cli.plane import Found
from zeroidle.errors import Error

_END_S = 20.0


@contextlib.contextmanager
def temporary_plane(targets: Sequence[str], options: Sequence[str] = ()) -> Iterator[Found]:
    """Serves `targets` with these options of `zeroidle up`. Raises Error with what that said when it does not start."""
    with tempfile.TemporaryDirectory(prefix="zeroidle-") as folder:
        argv = [sys.executable, "-m", "zeroidle", "up", *targets, "--port", "0", "--data", folder, "--json", "--quiet"]
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen([*argv, "--grace", "0s", *options], stdout=subprocess.PIPE, stderr=said) as process,
        ):
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                if not line:
                    process.wait()
                    said.seek(0)
                    raise Error(said.read().decode(errors="replace").strip().removeprefix("zeroidle: "))
                token = json.loads((Path(folder) / PLANE_FILE).read_text())["admin_token"]
                yield Found(json.loads(line)["url"], token, process.pid, Path(folder))
            finally:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
