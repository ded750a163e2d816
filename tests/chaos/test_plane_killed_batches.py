"""The plane is killed while batches are made, finalized and run: what was acknowledged is there, once, in its order."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from pathlib import Path
from typing import Any

from tests.chaos.test_plane_killed import Planes
from tests.cli.up import until

BATCHES = 16
CLIENTS = 4
SIZE = 100


def insist(planes: Planes, stop: threading.Event, method: str, path: str, body: Any = None) -> Any:
    """The answer of the first plane that gives one."""
    while not stop.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            status, answer = planes.ask(method, path, body)
            if status == 200:
                return answer
    return None


def submit(planes: Planes, numbers: range, made: dict[int, str], stop: threading.Event) -> None:
    """Makes batches of `SIZE` in two calls each. A call whose answer is lost has added all or nothing."""
    for number in numbers:
        inputs = [{"input": {"number": number * SIZE + n}} for n in range(SIZE)]
        answer = insist(planes, stop, "POST", "batch", inputs[: SIZE // 2])
        if answer is None:
            return
        path = f"batch/{answer['id']}"
        while not stop.is_set() and insist(planes, stop, "GET", path)["requestTotal"] == SIZE // 2:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                planes.ask("POST", f"{path}/requests", inputs[SIZE // 2 :])
        insist(planes, stop, "POST", f"{path}/finalize")
        made[number] = answer["id"]


def test_batches_survive_a_plane_that_is_killed_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(2)
    planes = Planes(tmp_path)
    made: dict[int, str] = {}
    stop = threading.Event()
    clients = [
        threading.Thread(target=submit, args=(planes, range(k, BATCHES, CLIENTS), made, stop)) for k in range(CLIENTS)
    ]
    try:
        for client in clients:
            client.start()
        for kills in range(1, 6):
            goal = kills * BATCHES // 6
            until(lambda goal=goal: len(made) >= goal, f"{goal} batches are finalized", 60)  # type: ignore[misc]
            if kills % 2:
                planes.kill_a_worker(chance)
            planes.kill()
        for client in clients:
            client.join(60)
        assert len(made) == BATCHES
        for number, batch_id in made.items():
            path = f"batch/{batch_id}"
            batch = until(lambda path=path: ended_batch(planes, path), f"batch {number} ends", 60)  # type: ignore[misc]
            assert (batch["requestTotal"], batch["requestCompleted"]) == (SIZE, SIZE), batch
            page = planes.ask("GET", f"batch/{batch_id}/requests?limit=1000")[1]
            outputs = [one["output"]["number"] for one in page["requests"]]
            assert outputs == list(range(number * SIZE, (number + 1) * SIZE)) and "next" not in page
        health = planes.ask("GET", "health")[1]["jobs"]
        assert (health["completed"], health["failed"], health["inQueue"]) == (BATCHES * SIZE, 0, 0)
        planes.up.end()
    finally:
        stop.set()
        planes.up.kill()


def test_a_batch_that_was_cancelled_stays_so_when_the_plane_is_killed(tmp_path: Path) -> None:
    planes = Planes(tmp_path)
    try:
        inputs = [{"input": {"number": n}} for n in range(5000)]
        for round_ in range(3):
            batch = planes.ask("POST", "batch", inputs)[1]
            path = f"batch/{batch['id']}"
            assert planes.ask("POST", f"{path}/finalize")[0] == 200
            cancelling = threading.Thread(target=lambda path=path: cancel(planes, path))  # type: ignore[misc]
            cancelling.start()
            until(lambda path=path: planes.ask("GET", path)[1]["status"] == "CANCELLED", "the cancel is there", 60)  # type: ignore[misc]
            planes.kill()
            cancelling.join(60)
            over = until(lambda path=path: ended_batch(planes, path), f"batch {round_} ends", 60)  # type: ignore[misc]
            assert over["status"] == "CANCELLED"
            assert over["requestCancelled"] + over["requestCompleted"] == over["requestTotal"] == 5000
            assert planes.ask("GET", "health")[1]["jobs"]["inQueue"] == 0
        planes.up.end()
    finally:
        planes.up.kill()


def cancel(planes: Planes, path: str) -> None:
    """One try; the plane may be killed in the middle of it."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        planes.ask("POST", f"{path}/cancel")


def ended_batch(planes: Planes, path: str) -> Any:
    batch = planes.ask("GET", path)[1]
    return batch if "endedAt" in batch else None
