"""Starts and stops the servers that are compared: our plane, LitServe, the SDK's local server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PARTS = Path(__file__).resolve().parent
CACHE = ROOT / ".cache" / "bench"
PEERS = ("litserve==0.2.19", "runpod==1.12.0")
BODY = b'{"input":{"n":1,"text":"hello"}}'

_START_S = 60.0
_LOOK_EVERY_S = 0.002


@dataclass
class Server:
    """One that answers. `path` takes the benchmark's body, `started_s` is from its exec to its first right answer."""

    name: str
    url: str
    path: str
    pid: int
    key: str | None
    started_s: float


def peers_python() -> Path:
    """The interpreter of an environment that has the peers; made at the first call."""
    folder = CACHE / "venv"
    python, done = folder / "bin" / "python", folder / "done"
    if not done.exists() or done.read_text() != " ".join(PEERS):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PEERS], check=True)
        done.write_text(" ".join(PEERS))
    return python


def ask(server: Server, method: str, path: str, body: bytes | None = None) -> Any:
    """One request on a fresh connection. Raises RuntimeError when the answer is not a 200."""
    status, answer = _once(server.url, server.key, method, path, body)
    if status != 200:
        raise RuntimeError(f"{server.name}: {path} answered {status}: {answer[:300]!r}")
    return json.loads(answer)


@contextlib.contextmanager
def plane(*options: str) -> Iterator[Server]:
    """Our plane with one worker at most, on a folder of its own, an API key made: every call is authenticated."""
    data = CACHE / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    port = free_port()
    argv = [
        str(Path(sys.executable).with_name("zeroidle")), "up", f"add={PARTS / 'handler.py'}", "--port", str(port),
        "--data", str(data), "--max-workers", "1", "--idle", "10m", "--quiet", *options,
    ]  # fmt: skip
    with _running(argv, data / "up.log") as process:
        wait_for(lambda: (data / "plane.json").exists(), process, "the plane")
        key = _new_key(data)
    with _running(argv, data / "up.log") as process:
        started_s = first_answer(process, port, "/v2/add/runsync", key)
        yield Server("zeroidle", f"http://127.0.0.1:{port}", "/v2/add/runsync", process.pid, key, started_s)


@contextlib.contextmanager
def litserve() -> Iterator[Server]:
    """LitServe with one worker process."""
    port = free_port()
    with _running([str(peers_python()), str(PARTS / "litserve_app.py"), str(port)], CACHE / "litserve.log") as process:
        started_s = first_answer(process, port, "/predict", None)
        yield Server("litserve", f"http://127.0.0.1:{port}", "/predict", process.pid, None, started_s)


@contextlib.contextmanager
def sdk_server() -> Iterator[Server]:
    """RunPod's own local server, which runs the handler in its process."""
    port = free_port()
    argv = [str(peers_python()), str(PARTS / "handler.py"), "--rp_serve_api", "--rp_api_port", str(port)]
    with _running(argv, CACHE / "sdk.log") as process:
        started_s = first_answer(process, port, "/runsync", None)
        yield Server("sdk server", f"http://127.0.0.1:{port}", "/runsync", process.pid, None, started_s)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_answer(process: subprocess.Popen[bytes], port: int, path: str, key: str | None) -> float:
    """Asks until the first right answer; seconds since just before the process was made. Raises RuntimeError."""
    began: float = process.began  # type: ignore[attr-defined]

    def answers() -> bool:
        try:
            status, body = _once(f"http://127.0.0.1:{port}", key, "POST", path, BODY)
        except OSError:
            return False
        return status == 200 and json.loads(body)["output"] == {"n": 2}

    wait_for(answers, process, f"port {port}")
    return time.perf_counter() - began


def wait_for(condition: Any, process: subprocess.Popen[bytes], what: str) -> None:
    """Looks every 2 ms until the condition holds. Raises RuntimeError when the process ends or a minute is over."""
    end = time.perf_counter() + _START_S
    while not condition():
        if process.poll() is not None or time.perf_counter() > end:
            raise RuntimeError(f"{what} did not come up: {process.args!r}")
        time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def _running(argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    # Bytecode is kept, as pip keeps that of the peers: without it each start would compile our sources anew.
    foreign = ("RUNPOD_", "ZEROIDLE_", "PYTHONDONTWRITEBYTECODE")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with log.open("ab") as out:
        began = time.perf_counter()
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=CACHE, env=env, start_new_session=True)
    process.began = began  # type: ignore[attr-defined]
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(ProcessLookupError):  # what it left behind of its own group
            os.killpg(process.pid, signal.SIGKILL)


def _once(url: str, key: str | None, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as exc:
        raise OSError(str(exc)) from exc
    finally:
        connection.close()


def _new_key(data: Path) -> str:
    argv = [sys.executable, "-m", "zeroidle", "keys", "create", "bench", "--data", str(data)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
