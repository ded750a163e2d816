"""`ps`, `jobs`, `logs`, `why`, `timeline`, `cancel`, `retry`, `purge`, `keys`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from tests.cli.up import COMMAND, HANDLER, Up, environment, until

Start = Callable[..., Up]


def test_ps_shows_endpoints_and_workers(plane: Up) -> None:
    plane.ok("run", "handler", "text=x")
    text = plane.ok("ps")
    assert "ENDPOINT" in text and "handler" in text and "MiB" in text
    row = next(e for e in plane.data_of("ps")["endpoints"] if e["name"] == "handler")
    (worker,) = row["workers"]
    assert worker["state"] == "ready" and worker["jobs_done"] >= 1
    assert worker["memory_bytes"] > 1 << 20
    assert row["completed"] >= 1 and (row["min_workers"], row["max_workers"]) == (0, 1)
    assert row["verdict"]["code"] == "healthy"


def test_jobs_are_listed_newest_first_and_by_status(plane: Up) -> None:
    old = plane.ok("run", "handler", "text=x", "--detach").strip()
    plane.until_status(old, "COMPLETED")
    bad = plane.ok("run", "handler", "fail=it", "--detach").strip()
    plane.until_status(bad, "FAILED")
    assert [j["id"] for j in plane.data_of("jobs", "handler")["jobs"]][:2] == [bad, old]
    failed = plane.data_of("jobs", "--status", "FAILED", "--limit", "1")["jobs"]
    assert [j["id"] for j in failed] == [bad] and failed[0]["error"] == "ValueError: cannot do it"
    assert "ValueError: cannot do it" in plane.ok("jobs")


def test_logs_of_a_job_are_its_own(plane: Up) -> None:
    ids = [plane.ok("run", "handler", f"text=number{n}", "--detach").strip() for n in range(3)]
    for job in ids:
        plane.until_status(job, "COMPLETED")
    for n, job in enumerate(ids):
        assert plane.ok("logs", job) == f"working on number{n}\n"
    assert plane.ok("logs", ids[0][:12]) == "working on number0\n"
    assert plane.ok("logs", "handler", "-n", "2") == "working on number1\nworking on number2\n"
    worker = plane.job(ids[0])["worker_id"]
    assert plane.ok("logs", worker[:8], "-n", "1") == "working on number2\n"


def test_logs_follow_a_job_to_its_end(plane: Up) -> None:
    job = plane.ok("run", "handler", "text=followed", "seconds:=1", "--detach").strip()
    done = plane.call("logs", "-f", job)  # ends by itself
    assert done.returncode == 0 and "working on followed\n" in done.stdout
    assert done.stdout.count("followed") == 1


def test_logs_follow_an_endpoint_until_the_plane_ends(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    up.ok("run", "handler", "text=before")
    follow = subprocess.Popen(
        [*COMMAND, "logs", "-f", "handler"], cwd=up.folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert follow.stdout is not None
    assert follow.stdout.readline() == "working on before\n"
    up.ok("run", "handler", "text=after")
    assert follow.stdout.readline() == "working on after\n"
    up.end()
    assert follow.wait(30) == 0


def test_why_speaks_of_jobs_and_endpoints(plane: Up) -> None:
    good = plane.ok("run", "handler", "text=x", "--detach").strip()
    plane.until_status(good, "COMPLETED")
    assert plane.data_of("why", good)["verdict"]["code"] == "healthy"
    bad = plane.ok("run", "handler", "fail=it", "--detach").strip()
    plane.until_status(bad, "FAILED")
    text = plane.ok("why", bad[:13])
    assert "ValueError: cannot do it" in text and f"zeroidle retry {bad}" in text and "raise ValueError" in text
    long = plane.ok("run", "handler", "seconds:=600", "--detach").strip()
    plane.until_status(long, "IN_PROGRESS")
    waiting = plane.ok("run", "handler", "text=x", "--detach").strip()
    verdict = plane.data_of("why", waiting)["verdict"]
    assert verdict["code"] == "behind" and "the maximum is 1" in verdict["sentence"]
    assert plane.data_of("why", "handler")["verdict"]["code"] == "saturated"
    assert plane.data_of("cancel", waiting)["changed"] is True
    assert plane.data_of("cancel", long)["changed"] is True
    assert plane.data_of("cancel", long)["changed"] is False
    assert "cancelled by its caller" in plane.ok("why", long)


def test_why_and_logs_of_nothing_are_one_sentence(plane: Up) -> None:
    for command in ("why", "logs", "timeline", "cancel"):
        done = plane.call(command, "nonexistent")
        assert done.returncode == 1 and "'nonexistent'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_timeline_of_a_cold_job_has_the_start_and_of_a_warm_one_not(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    names = []
    for _ in range(2):
        job = up.ok("run", "handler", "seconds:=0.05", "--detach").strip()
        up.until_status(job, "COMPLETED")
        found = up.data_of("timeline", job)
        names.append({phase["name"] for phase in found["phases"]})
        run = next(phase for phase in found["phases"] if phase["name"] == "run")
        assert run["seconds"] >= 0.05 and not run["running"]
    assert {"queued", "boot", "import", "run"} <= names[0]
    assert "boot" not in names[1] and {"queued", "run"} <= names[1]
    assert "█" in up.ok("timeline", job)


def test_retry_and_purge(start: Start) -> None:
    code = HANDLER.replace('if given.get("fail")', 'import os\n    if not os.path.exists("repaired")')
    up = start("handler.py", "--max-workers", "1", files={"handler.py": code})
    bad = up.ok("run", "handler", "fail=it", "--detach").strip()
    up.until_status(bad, "FAILED")
    (up.folder / "repaired").touch()
    assert "in the queue again" in up.ok("retry", bad)
    up.until_status(bad, "COMPLETED")
    refused = up.call("retry", bad)
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    long = up.ok("run", "handler", "seconds:=600", "--detach").strip()
    up.until_status(long, "IN_PROGRESS")
    waiting = [up.ok("run", "handler", "--detach").strip() for _ in range(2)]
    assert up.data_of("purge", "handler") == {"removed": 2}
    assert {up.job(job)["status"] for job in waiting} == {"CANCELLED"}
    assert up.job(long)["status"] == "IN_PROGRESS"


def test_a_paused_endpoint_says_so(start: Start) -> None:
    up = start("handler.py", "--workers", "0:0", files={"handler.py": HANDLER})
    job = up.ok("run", "handler", "--detach").strip()
    assert up.data_of("why", job)["verdict"]["code"] == "max-workers-0"
    assert "workers = [0, 0]" in up.ok("ps")


def test_a_worker_that_dies_at_every_job_is_poison(start: Start) -> None:
    code = "import os, runpod\nrunpod.serverless.start({'handler': lambda job: os.kill(os.getpid(), 9)})\n"
    up = start("handler.py", "--set", "handler.retries=1", files={"handler.py": code})
    done = up.call("run", "handler", "text=x", "--json")
    assert done.returncode == 1
    job = json.loads(done.stdout)["id"]
    verdict = up.data_of("why", job)["verdict"]
    assert verdict["code"] == "poison" and "2 workers" in verdict["sentence"] and "signal 9" in verdict["sentence"]


def test_a_job_over_its_time_is_too_slow(start: Start) -> None:
    up = start("handler.py", "--timeout", "500ms", files={"handler.py": HANDLER})
    done = up.call("run", "handler", "seconds:=600", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["status"] == "TIMED_OUT"
    verdict = up.data_of("why", json.loads(done.stdout)["id"])["verdict"]
    assert verdict["code"] == "too-slow"


def test_keys_close_the_door_and_open_it(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    assert "There is no key" in up.call("keys", "list").stderr
    key = up.ok("keys", "create", "me").strip()
    assert up.call("keys", "create", "me").returncode == 1
    assert up.data_of("keys", "list")["keys"][0]["name"] == "me"
    assert key not in up.ok("keys", "list")
    assert up.call("ps", "--url", up.url).returncode == 1
    assert up.call("ps", "--url", up.url, ZEROIDLE_API_KEY=key).returncode == 0
    # A key opens everything but the keys themselves.
    refused = up.call("keys", "create", "other", "--url", up.url, ZEROIDLE_API_KEY=key)
    assert refused.returncode == 1 and "own machine" in refused.stderr
    up.ok("keys", "revoke", "me")
    assert up.call("ps", "--url", up.url).returncode == 0
    assert up.call("keys", "revoke", "me").returncode == 1


def test_a_pipe_that_closes_is_no_error(plane: Up) -> None:
    for n in range(3):
        plane.ok("run", "handler", f"text={n}")
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(COMMAND)} jobs | head -1"], cwd=plane.folder, env=environment(), capture_output=True,
        text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("JOB") and done.stderr == ""


def test_a_folder_below_finds_the_plane(plane: Up) -> None:
    below = plane.folder / "some" / "folder"
    below.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*COMMAND, "ps"], cwd=below, env=environment(), capture_output=True, timeout=30, check=False)
    assert done.returncode == 0
    until(lambda: (plane.data / "plane.json").stat().st_mode & 0o777 == 0o600, "only its owner reads the plane's file")
