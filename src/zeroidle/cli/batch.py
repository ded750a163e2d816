"""`zeroidle batch`: sends a file of inputs as one batch, waits, writes the results in the order of the inputs."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from zeroidle.cli import output
from zeroidle.cli.http import Client, Refused
from zeroidle.cli.plane import KEY_VARIABLES, find
from zeroidle.cli.run import FAILED_STATUS, INTERRUPTED_STATUS, base_url, policy
from zeroidle.errors import ConfigError, Error
from zeroidle.insight.spans import plural

#: One call carries at most so many requests, and about so many bytes: an endpoint takes 10 MB unless it says otherwise.
_CALL_REQUESTS, _CALL_BYTES = 1000, 4_000_000
_PAGE = 1000
_PAUSE_S, _PAUSE_MAX_S = 0.05, 2.0
#: How often the progress is said where nobody sees a line change.
_SAY_EVERY_S = 10.0


def add_batch(parser: argparse.ArgumentParser) -> None:
    """The arguments of `batch`."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="the endpoint's name")
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help='one JSON value per line (-: standard input): an input, or {"input": ...} with policy and so on',
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="where the results go, one line each (default: output)")
    parser.add_argument("--name", help="a name to know the batch by")
    parser.add_argument("--webhook", metavar="URL", help="hears when the batch has ended")
    parser.add_argument("--timeout", metavar="TIME", help="how long each job may run (policy.executionTimeout)")
    parser.add_argument("--ttl", metavar="TIME", help="how long each may live, waiting and running (policy.ttl)")
    parser.add_argument("--low-priority", action="store_true", help="after all others, and without starting a worker")
    parser.add_argument("--detach", action="store_true", help="print the batch's id and do not wait for it")
    parser.add_argument("--results", metavar="BATCH", help="send nothing; wait for this batch and write its results")
    parser.add_argument("--cancel", metavar="BATCH", help="send nothing; cancel what waits of this batch")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--data", metavar="DIR", help="data folder of the plane")
    place.add_argument("--url", help=f"of another plane; the key is taken from {' or '.join(KEY_VARIABLES)}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes the batch and stays with it to its end. Ctrl-C leaves it alone: it goes on."""
    if sum(one is not None for one in (args.file, args.results, args.cancel)) != 1:
        raise ConfigError("Give one of FILE, --results BATCH and --cancel BATCH.")
    requests = None if args.file is None else list(_requests(args.file, policy(args)))
    _check_out(args.out)
    found = find(args.data, args.url)
    client = Client(base_url(found.url), found.key)
    if args.cancel:
        print(_said(client.post(args.endpoint, "batch", args.cancel, "cancel")))
        return 0
    batch_id = args.results or _send(client, args, requests or [])
    if args.detach:
        print(batch_id)
        return 0
    try:
        batch = _wait(client, args.endpoint, batch_id)
    except KeyboardInterrupt:
        output.note(f"\nThe batch goes on. Its results: zeroidle batch {args.endpoint} --results {batch_id}")
        return INTERRUPTED_STATUS
    with _out(args.out) as out:
        for line in _results(client, args.endpoint, batch_id):
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    return 0 if batch["requestCompleted"] == batch["requestTotal"] else FAILED_STATUS


class _Line(NamedTuple):
    number: int
    request: dict[str, Any]


def _requests(name: str, given: dict[str, Any]) -> Iterator[_Line]:
    """What /run takes, line by line. Raises ConfigError, which names the line."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{name} cannot be read: {why}.") from exc
    n = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as exc:
            raise ConfigError(f"Line {number} of {name} is not JSON: {exc}.") from exc
        n += 1
        request = value if isinstance(value, dict) and "input" in value else {"input": value}
        yield _Line(number, given | request)
    if not n:
        raise ConfigError(f"{name} has no lines; write one JSON value per line.")


def _send(client: Client, args: argparse.Namespace, requests: list[_Line]) -> str:
    """Makes the batch and puts it in the queue; a part of it is never left behind."""
    made = {key: getattr(args, key) for key in ("name", "webhook") if getattr(args, key) is not None}
    batch_id: str = client.post(args.endpoint, "batch", body=made)["id"]
    try:
        total = 0
        for some in _calls(requests):
            body = {"requests": [line.request for line in some]}
            try:
                total = client.post(args.endpoint, "batch", batch_id, "requests", body=body)["requestTotal"]
            except Refused as exc:
                raise _named(exc, some) from exc
        if total != len(requests):
            raise Error(f"The batch has {plural(total, 'request')} instead of {len(requests)}; send it again.")
        client.post(args.endpoint, "batch", batch_id, "finalize")
    except BaseException:
        client.close()  # it may have been interrupted in the middle of a request
        with contextlib.suppress(Error):
            client.post(args.endpoint, "batch", batch_id, "cancel")
        raise
    return batch_id


def _named(refused: Refused, lines: list[_Line]) -> Refused:
    """The plane names a request of the call, the user knows lines."""
    match = re.match(r"requests\[(\d+)\]: (.*)", refused.message, re.DOTALL)
    if match is None:
        return refused
    return Refused(f"Line {lines[int(match[1])].number}: {match[2]}", refused.status)


def _calls(requests: list[_Line]) -> Iterator[list[_Line]]:
    some: list[_Line] = []
    size_bytes = 0
    for request in requests:
        length = len(json.dumps(request.request))
        if some and (len(some) == _CALL_REQUESTS or size_bytes + length > _CALL_BYTES):
            yield some
            some, size_bytes = [], 0
        some.append(request)
        size_bytes += length
    yield some


def _wait(client: Client, endpoint: str, batch_id: str) -> dict[str, Any]:
    """Says how far it is until it has ended."""
    show, pause_s, last = _Progress(), _PAUSE_S, ""
    while True:
        batch: dict[str, Any] = client.get(endpoint, "batch", batch_id)
        if batch["status"] == "DRAFT":
            raise Error(f"The batch {batch_id} was never finalized; nothing of it runs.")
        said = _said(batch)
        ended = "endedAt" in batch
        show.say(said, ended)
        if ended:
            return batch
        pause_s = _PAUSE_S if said != last else min(_PAUSE_MAX_S, pause_s * 1.5)
        last = said
        time.sleep(pause_s)


def _results(client: Client, endpoint: str, batch_id: str) -> Iterator[dict[str, Any]]:
    offset: int | None = 0
    while offset is not None:
        page = client.get(endpoint, "batch", batch_id, "requests", limit=_PAGE, offset=offset)
        yield from page["requests"]
        offset = page.get("next")


def _said(batch: dict[str, Any]) -> str:
    done = batch["requestCompleted"] + batch["requestFailed"] + batch["requestCancelled"]
    parts = [f"{done:,} of {batch['requestTotal']:,} done"]
    for key, word in (("requestFailed", "failed"), ("requestCancelled", "cancelled"), ("requestInProgress", "running")):
        if batch[key]:
            parts.append(f"{batch[key]:,} {word}")
    return ", ".join(parts)


class _Progress:
    """One line that changes on a terminal; elsewhere a line now and then, and the last."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._at = time.monotonic()

    def say(self, text: str, last: bool) -> None:
        """Shows how far it is."""
        if self._terminal:
            sys.stderr.write(f"\r{text}\x1b[K" + ("\n" if last else ""))
            sys.stderr.flush()
        elif last or time.monotonic() - self._at >= _SAY_EVERY_S:
            self._at = time.monotonic()
            output.note(text)


def _check_out(name: str | None) -> None:
    """Says before anything is sent that the results could not be written."""
    if name is not None and name != "-":
        folder = Path(name).absolute().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK) or Path(name).is_dir():
            raise ConfigError(f"{name} cannot be written; name a file in a folder that is there.")


@contextlib.contextmanager
def _out(name: str | None) -> Iterator[TextIO]:
    """Where the results go. A file is there when it is complete, not before."""
    if name is None or name == "-":
        yield sys.stdout
        return
    draft = Path(f"{name}.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
        draft.replace(name)
    except OSError as exc:
        raise ConfigError(f"{name} cannot be written: {exc.strerror}.") from exc
