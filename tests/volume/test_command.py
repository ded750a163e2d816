"""`zeroidle volume` as a user calls it, and the lock file."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.volume.conftest import MIB, Hub, model, noise, wait_for
from tests.volume.test_pull import check
from zeroidle.cli.main import main
from zeroidle.errors import ConfigError
from zeroidle.volume import lockfile
from zeroidle.volume.weights import Weights

COMMAND = [sys.executable, "-c", "import sys; from zeroidle.cli.main import main; sys.exit(main())"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project and a volume beside it."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("ZEROIDLE_VOLUME", str(tmp_path / "volume"))
    monkeypatch.setenv("ZEROIDLE_VOLUME_RETRY_FIRST_S", "0.01")
    return project


def out(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What a command prints."""
    assert main(["volume", *arguments]) == status
    return capsys.readouterr().out


def test_pull_prints_the_path_and_nothing_else_on_standard_output(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.repo("acme/tiny", model())
    path = Path(out(capsys, "pull", "hf:acme/tiny").strip())
    check(path, model())
    assert Path(out(capsys, "pull", "hf:acme/tiny").strip()) == path
    found = json.loads(out(capsys, "pull", "hf:acme/tiny", "--json"))
    assert found[0]["fetched_bytes"] == 0 and found[0]["path"] == str(path)


def test_a_project_is_locked_pulled_and_upgraded(hub: Hub, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = hub.repo("acme/tiny", model(seed=1))
    url = hub.web("extra.bin", noise(MIB, 7))
    (here / "app.py").write_text("import runpod\nrunpod.serverless.start({'handler': lambda job: 1})\n")
    (here / "zeroidle.toml").write_text(
        f'[endpoint.speak]\nhandler = "app.py"\nweights = ["hf:acme/tiny@main", "{url}"]\n'
    )
    text = out(capsys, "lock")
    assert f"hf:acme/tiny@main is pinned to {old}" in text
    locked = lockfile.read(here / "zeroidle.lock")
    assert all(file.sha256 or file.check for m in locked.values() for file in m.files)
    assert locked[Weights(url)].files[0].sha256  # it was fetched to learn its hash
    new = hub.repo("acme/tiny", model(seed=1) | {"config.json": b"{}", "new.txt": b"n"})
    assert old in out(capsys, "pull").splitlines()[0]
    before = (here / "zeroidle.lock").read_text()
    text = out(capsys, "upgrade", "--dry-run")
    assert f"moves from {old} to {new}" in text and "changed config.json" in text and "added new.txt" in text
    assert (here / "zeroidle.lock").read_text() == before
    out(capsys, "upgrade")
    assert new in out(capsys, "pull").splitlines()[0]
    assert "stays at" in out(capsys, "upgrade")


def test_a_locked_address_that_serves_something_else_is_refused(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    url = hub.web("x.bin", noise(MIB, 1))
    out(capsys, "lock", url)
    out(capsys, "gc", "--max", "0")
    hub.web("x.bin", noise(MIB, 2))
    assert main(["volume", "pull", url]) == 1
    assert "is wrong: sha256 is" in capsys.readouterr().err


def test_a_lock_file_that_leads_out_of_the_volume_is_refused(hub: Hub, here: Path) -> None:
    good = {"path": "a", "size": 1, "sha256": "0" * 64}
    bad: list[tuple[dict[str, object], str]] = [
        ({"path": "../a"}, "leave its folder"),
        ({"sha256": "../../x"}, "64 hexadecimal digits"),
        ({"sha256": None, "check": "git-sha1:../../x"}, "digest"),
    ]
    for change, says in bad:
        entry = {"source": "hf:a/b", "revision": "r", "files": [good | change]}
        (here / "zeroidle.lock").write_text(json.dumps({"version": 1, "weights": [entry]}))
        with pytest.raises(ConfigError, match=says):
            lockfile.read(here / "zeroidle.lock")
    for revision in ("../../etc", "", "a/b", "..", "."):
        entry = {"source": "hf:a/b", "revision": revision, "files": [good]}
        (here / "zeroidle.lock").write_text(json.dumps({"version": 1, "weights": [entry]}))
        with pytest.raises(ConfigError):
            lockfile.read(here / "zeroidle.lock")
    for text in ("", "{}", "[1]", '{"version": 2, "weights": []}', '{"version": 1, "weights": [{}]}'):
        (here / "zeroidle.lock").write_text(text)
        with pytest.raises(ConfigError):
            lockfile.read(here / "zeroidle.lock")


def test_the_rest_of_the_commands(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.repo("acme/tiny", model())
    out(capsys, "pull", "hf:acme/tiny")
    assert "complete" in out(capsys, "ls")
    assert json.loads(out(capsys, "ls", "--json"))[0]["problem"] is None
    assert json.loads(out(capsys, "du", "--json"))["blobs_bytes"] == sum(map(len, model().values()))
    assert "All right" in out(capsys, "verify")
    out(capsys, "export", "-o", str(tmp_path / "x.tar"))
    assert "is on the volume" in out(capsys, "import", str(tmp_path / "x.tar"), "--volume", str(tmp_path / "v2"))
    check(Path(out(capsys, "pull", "hf:acme/tiny", "--volume", str(tmp_path / "v2")).strip()), model())
    assert "export HF_HOME=" in out(capsys, "env")
    (blob,) = (p for p in (tmp_path / "volume" / "blobs").rglob("*") if p.is_file() and p.stat().st_size == 3 * MIB)
    blob.chmod(0o644)
    blob.write_bytes(noise(3 * MIB, 99))
    assert "broken" in out(capsys, "verify", status=1)
    assert "Repaired 1" in out(capsys, "verify", "--repair")
    assert "All right" in out(capsys, "verify")
    assert "evicted" in out(capsys, "gc", "--max", "0")
    assert main(["volume", "verify", "hf:acme/none"]) == 2
    assert "is not on the volume" in capsys.readouterr().err


def test_a_terminal_sees_a_bar_with_rate_and_time_left(hub: Hub) -> None:
    hub.repo("acme/tiny", model(4 * MIB))
    hub.faults(bytes_per_s=300_000)
    lead, follow = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "volume", "pull", "hf:acme/tiny"], stderr=follow, stdout=subprocess.PIPE, text=True
    ) as process:
        os.close(follow)
        seen = b""
        os.set_blocking(lead, False)

        def look() -> bool:
            nonlocal seen
            with contextlib.suppress(OSError):
                seen += os.read(lead, 65536)
            return b"left" in seen and b"/s" in seen and b"[#" in seen

        wait_for(look)
        process.kill()
    os.close(lead)


def test_ctrl_c_keeps_what_has_arrived(hub: Hub) -> None:
    import signal

    hub.repo("acme/tiny", {"a.bin": noise(4 * MIB)})
    hub.faults(bytes_per_s=300_000)
    with subprocess.Popen([*COMMAND, "volume", "pull", "hf:acme/tiny", "--progress", "json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if json.loads(line)["fetched_bytes"] > 0:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert "Traceback" not in process.stderr.read()
        assert process.wait(timeout=10) == 130
    hub.faults()
    done = subprocess.run(
        [*COMMAND, "volume", "pull", "hf:acme/tiny", "--json"], capture_output=True, text=True, check=True
    )
    assert 0 < json.loads(done.stdout)[0]["fetched_bytes"] < 4 * MIB


def test_a_disk_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["volume", "pull", "file:/etc/hostname", "--volume", str(tmp_path / "file" / "v")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_source_may_have_more_files_than_a_process_may_open(hub: Hub) -> None:
    files = {f"d{n % 7}/{n:04d}.bin": n.to_bytes(4, "big") * 20_000 for n in range(400)}
    hub.repo("acme/many", files)
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 128 && exec "$@"', "bash", *COMMAND, "volume", "pull", "hf:acme/many"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check(Path(done.stdout.strip()), files)
