"""A hub on loopback that speaks Hugging Face's routes, with a second port that plays the signed file host.

Run as a program: `python hub_server.py ROOT`. ROOT holds `models/ORG/NAME/COMMIT/...` with a file `refs.json` beside
the commits, and `web/...` for plain downloads. It prints one line of JSON with its two ports. `POST /_faults` sets the
faults, `GET /_stats` answers what was sent, `POST /_clear` forgets that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

#: Files of at least this size are kept in "LFS": redirected to the file host and known by their SHA-256.
LFS_BYTES = 100_000
TOKEN = "hf_loopback_token"


class State:
    """Everything that the two servers share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.Lock()
        self.faults: dict[str, Any] = {}
        self.random = random.Random(1)
        self.cdn = ""
        self.hashes: dict[str, tuple[str, str]] = {}
        self.signed: dict[str, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forgets what was sent."""
        self.sent: dict[str, int] = {}
        self.statuses: dict[str, int] = {}
        self.requests: list[str] = []
        self.leaks = 0
        self.fault_counts: dict[str, int] = {}

    def digests(self, path: Path) -> tuple[str, str]:
        """SHA-256 and git's SHA-1 of a file."""
        key = str(path)
        if key not in self.hashes:
            sha256 = hashlib.sha256()
            git = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
            with open(path, "rb") as file:
                while data := file.read(1 << 20):
                    sha256.update(data)
                    git.update(data)
            self.hashes[key] = (sha256.hexdigest(), git.hexdigest())
        return self.hashes[key]

    def draw(self, name: str) -> bool:
        """Whether the fault of that name strikes now. Its setting is a probability, or {"times": N}."""
        with self.lock:
            setting = self.faults.get(name, 0)
            if isinstance(setting, dict):
                strike = int(setting.get("times", 0)) > 0
                if strike:
                    setting["times"] -= 1
            else:
                strike = self.random.random() < setting
            if strike:
                self.fault_counts[name] = self.fault_counts.get(name, 0) + 1
            return strike

    def count(self, path: str, size: int) -> None:
        """Notes bytes of a body."""
        with self.lock:
            self.sent[path] = self.sent.get(path, 0) + size

    def sign(self, path: str) -> str:
        """A signed address for a file, which may be used `sign_uses` times."""
        with self.lock:
            ticket = f"{len(self.signed):x}"
            self.signed[ticket] = int(self.faults.get("sign_uses", 1 << 30))
        return f"{self.cdn}{path}?ticket={ticket}"

    def use(self, ticket: str) -> bool:
        """Whether a signature is still good."""
        with self.lock:
            left = self.signed.get(ticket, 0)
            self.signed[ticket] = left - 1
            return left > 0


class Handler(BaseHTTPRequestHandler):
    """Common to both ports."""

    protocol_version = "HTTP/1.1"
    state: State
    cdn = False
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Is quiet."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """A whole small answer."""
        with self.state.lock:
            self.state.statuses[str(status)] = self.state.statuses.get(str(status), 0) + 1
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, found: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """An answer in JSON."""
        self.answer(status, json.dumps(found).encode(), {"Content-Type": "application/json", **(headers or {})})

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.route()

    def do_GET(self) -> None:
        """Answers."""
        self.route()

    def do_POST(self) -> None:
        """The controls of the tests."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        state = self.state
        if self.path == "/_faults":
            with state.lock:
                state.faults = json.loads(body)
                state.random = random.Random(state.faults.get("seed", 1))
        elif self.path == "/_clear":
            with state.lock:
                state.clear()
        self.json({})

    def route(self) -> None:
        """Chooses the answer."""
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        with self.state.lock:
            self.state.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}")
            if self.cdn and self.headers.get("Authorization"):
                self.state.leaks += 1
        if path == "/_stats":
            with self.state.lock:
                keys = ("sent", "statuses", "requests", "leaks", "fault_counts")
                found = {key: getattr(self.state, key) for key in keys}
            self.json(found)
        elif self.cdn or path.startswith("/web/"):
            self.file_host(path, parts.query)
        else:
            self.hub(path, parts.query)

    def refuse(self) -> bool:
        """The faults that need no body."""
        if self.state.draw("429"):
            self.answer(429, b"slow down", {"Retry-After": str(self.state.faults.get("retry_after", "0"))})
            return True
        if self.state.draw("503"):
            self.answer(503, b"busy")
            return True
        return False

    # The file host ----------------------------------------------------------------------------------------------

    def file_host(self, path: str, query: str) -> None:
        """A plain file, by ranges."""
        if self.refuse():
            return
        if self.cdn and not self.state.use(parse_qs(query).get("ticket", [""])[0]):
            self.answer(403, b"Request has expired")
            return
        target = self.state.root / path.strip("/")
        if not target.is_file():
            self.answer(404, b"not here")
            return
        self.send_file(target, path)

    def send_file(self, target: Path, path: str) -> None:
        """A file or a range of it, with whatever fault is due."""
        state, size = self.state, target.stat().st_size
        etag = f'"{state.digests(target)[0][:32]}{state.faults.get("etag_suffix", "")}"'
        if state.draw("etag"):
            etag = f'"{state.random.getrandbits(64):x}"'
        wanted = self.headers.get("If-Match")
        if wanted and wanted != etag:
            self.answer(412)
            return
        start, end, status = 0, size, 200
        given = self.headers.get("Range")
        if given and not state.faults.get("no_ranges"):
            first, _, last = given.removeprefix("bytes=").partition("-")
            start, end, status = int(first), min(size, int(last) + 1) if last else size, 206
            if start >= size:
                self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
                return
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Length": str(end - start)}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if state.faults.get("no_length"):
            headers.pop("Content-Length")
            headers["Transfer-Encoding"] = "chunked"
        with state.lock:
            state.statuses[str(status)] = state.statuses.get(str(status), 0) + 1
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.pour(target, path, start, end, "Transfer-Encoding" in headers)

    def pour(self, target: Path, path: str, start: int, end: int, chunked: bool) -> None:
        """The bytes of a body."""
        state = self.state
        cut = next((name for name in ("reset", "stall", "short") if state.draw(name)), None)
        stop = end if cut is None else start + state.random.randrange(max(1, end - start))
        wrong = state.random.randrange(start, max(start + 1, stop)) if state.draw("wrong") else -1
        pace = float(state.faults.get("bytes_per_s", 0))
        with open(target, "rb") as file:
            if cut is None and wrong < 0 and not chunked and not pace:
                self.splice(file.fileno(), path, start, end)
                return
            file.seek(start)
            at = start
            while at < stop:
                data = bytearray(file.read(min(65536, stop - at)))
                if at <= wrong < at + len(data):
                    data[wrong - at] ^= 0xFF
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                state.count(path, len(data))
                at += len(data)
                if pace:
                    time.sleep(len(data) / pace)
        if chunked and cut is None:
            self.wfile.write(b"0\r\n\r\n")
        if cut is not None:
            self.end_badly(cut)

    def splice(self, fd: int, path: str, start: int, end: int) -> None:
        """The kernel copies."""
        self.wfile.flush()
        out = self.connection.fileno()
        while start < end:
            size = os.sendfile(out, fd, start, min(end - start, 4 << 20))
            self.state.count(path, size)
            start += size

    def end_badly(self, how: str) -> None:
        """Breaks the connection off in one of three ways."""
        self.close_connection = True
        if how == "stall":
            # Until the client has had enough: it closes, and the socket becomes readable.
            with contextlib.suppress(OSError):
                self.connection.settimeout(60)
                self.connection.recv(1)
        if how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            if how == "short":
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()

    # The hub ----------------------------------------------------------------------------------------------------

    def hub(self, path: str, query: str) -> None:
        """Hugging Face's routes for models."""
        words = path.strip("/").split("/")
        if self.refuse():
            return
        if words[:2] == ["api", "models"] and len(words) >= 4:
            self.api("/".join(words[2:4]), words[4:], query)
        elif len(words) > 3 and words[2] == "resolve":
            self.resolve("/".join(words[:2]), words[3], "/".join(words[4:]))
        else:
            self.json({"error": "Not Found"}, 404)

    def commit(self, name: str, revision: str) -> tuple[str, Path] | None:
        """The commit of a revision and its folder; answers an error itself when there is none."""
        repo = self.state.root / "models" / name
        if not repo.is_dir():
            self.json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return None
        notes = json.loads((repo / "refs.json").read_text())
        if notes.get("gated") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            text = "Access to this model is restricted."
            self.json({"error": text}, 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": text})
            return None
        commit = notes["refs"].get(revision, revision)
        if not (repo / commit).is_dir():
            self.json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, repo / commit

    def api(self, name: str, rest: list[str], query: str) -> None:
        """Information on a repository, and its tree."""
        revision = rest[1] if len(rest) > 1 and rest[0] in ("revision", "tree") else "main"
        found = self.commit(name, revision)
        if found is None:
            return
        commit, folder = found
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        if rest[:1] == ["tree"]:
            self.json([self.tree_entry(folder, p) for p in files])
            return
        siblings = [self.sibling(folder, p, "blobs" in parse_qs(query)) for p in files]
        self.json(
            {"id": name, "modelId": name, "sha": commit, "private": False, "gated": False, "disabled": False,
             "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}
        )  # fmt: skip

    def sibling(self, folder: Path, path: Path, blobs: bool) -> dict[str, Any]:
        """One file as the repository's information lists it."""
        entry: dict[str, Any] = {"rfilename": path.relative_to(folder).as_posix()}
        if blobs:
            size = path.stat().st_size
            sha256, git = self.state.digests(path)
            entry |= {"size": size, "blobId": git}
            if size >= LFS_BYTES:
                entry["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
        return entry

    def tree_entry(self, folder: Path, path: Path) -> dict[str, Any]:
        """One file as the tree lists it."""
        size = path.stat().st_size
        sha256, git = self.state.digests(path)
        entry: dict[str, Any] = {"type": "file", "oid": git, "size": size, "path": path.relative_to(folder).as_posix()}
        if size >= LFS_BYTES:
            entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
        return entry

    def resolve(self, name: str, revision: str, file: str) -> None:
        """A file: small ones are sent, large ones redirected to the file host."""
        found = self.commit(name, revision)
        if found is None:
            return
        commit, folder = found
        target = folder / file
        if not target.is_file():
            self.json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        size = target.stat().st_size
        sha256, git = self.state.digests(target)
        path = "/" + target.relative_to(self.state.root).as_posix()
        if size < LFS_BYTES:
            self.small(target, path, git, commit)
            return
        headers = {
            "X-Repo-Commit": commit, "X-Linked-Size": str(size), "X-Linked-Etag": f'"{sha256}"',
            "Location": self.state.sign(path), "ETag": f'"{sha256}"',
        }  # fmt: skip
        self.answer(302, b"", headers)

    def small(self, target: Path, path: str, git: str, commit: str) -> None:
        """A file that the hub itself sends."""
        data = target.read_bytes()
        given, status = self.headers.get("Range"), 200
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git}"', "Accept-Ranges": "bytes"}
        if given:
            first, _, last = given.removeprefix("bytes=").partition("-")
            headers["Content-Range"] = f"bytes {first}-{last or len(data) - 1}/{len(data)}"
            data, status = data[int(first) : int(last) + 1 if last else None], 206
        if self.command != "HEAD":
            self.state.count(path, len(data))
        self.answer(status, data, {**headers, "Content-Length": str(len(data))})


class Server(ThreadingHTTPServer):
    """Threads that end with the process; broken connections are part of the tests."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Is quiet about connections that break off."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serves until its standard input ends."""
    state = State(Path(sys.argv[1]))
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    hub = Server((host, 0), type("Hub", (Handler,), {"state": state}))
    cdn = Server((host, 0), type("FileHost", (Handler,), {"state": state, "cdn": True}))
    state.cdn = f"http://{host}:{cdn.server_address[1]}"
    for server in (hub, cdn):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(json.dumps({"hub": f"http://{host}:{hub.server_address[1]}", "cdn": state.cdn}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
