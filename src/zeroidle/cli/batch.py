"""`zeroidle batch`: sends a file of inputs as one batch, waits, writes the results in the order of the inputs."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.batch_lines import Line, read_lines, writing
from zeroidle.cli.http import Client, Refused, Unreachable
from zeroidle.cli.plane import KEY_VARIABLES, find
from zeroidle.cli.run import FAILED_STATUS, INTERRUPTED_STATUS, base_url, policy
from zeroidle.errors import ConfigError, Error
from zeroidle.insight.spans import plural

#: One call carries at most so many requests, and about so many bytes: an endpoint takes 10 MB unless it says otherwise.
_CALL_REQUESTS, _CALL_BYTES = 1000, 4_000_000
_PAGE = 1000
_PAUSE_S, _PAUSE_MAX_S = 0.05, 2.0
#: How long a plane may be away (it is started again) before waiting for its batch ends.
_AWAY_S, _AWAY_PAUSE_S = 60.0, 0.5
#: How often the progress is said where nobody sees a line change.
_SAY_EVERY_S = 10.0


def add_batch(parser: argparse.ArgumentParser) -> None:
    """The arguments of `batch`."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="the endpoint's name")
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help='one JSON value per line (-: standard input): an input, or {"input": ...} with policy and so on; '
        "without FILE the endpoint's batches are listed",
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
    given = [one for one in (args.file, args.results, args.cancel) if one is not None]
    if len(given) > 1 or "" in given:
        raise ConfigError("Give one of FILE, --results BATCH and --cancel BATCH, or none of them for a list.")
    lines = [] if args.file is None else list(read_lines(args.file, policy(args)))
    with writing(args.out) as out:
        plane = _Plane(args.data, args.url)
        client = plane.client
        if not given:
            return _list(client, args.endpoint)
        if args.cancel is not None:
            print(_said(client.post(args.endpoint, "batch", args.cancel, "cancel")))
            return 0
        batch_id: str = args.results if args.results is not None else _send(client, args, lines)
        if args.detach:
            print(batch_id)
            return 0
        try:
            batch = _wait(plane, args.endpoint, batch_id)
            written = out.write_all(_results(plane, args.endpoint, batch_id))
        except (KeyboardInterrupt, Error) as exc:
            goes_on = "\nThe batch goes on. " if isinstance(exc, KeyboardInterrupt) else ""
            output.note(f"{goes_on}Its results: zeroidle batch {args.endpoint} --results {batch_id}")
            if not goes_on:
                raise
            return INTERRUPTED_STATUS
    total = batch["requestTotal"]
    if written < total:
        output.note(
            f"Only {plural(written, 'result')} of {total} are still there; they are kept as long as the setting "
            "retention_batch says."
        )
    return 0 if written == total == batch["requestCompleted"] else FAILED_STATUS


class _Plane:
    """The plane that is asked, also when it is started again in between, perhaps elsewhere."""

    def __init__(self, data: str | None, url: str | None) -> None:
        self._place = data, url
        self.client = self._connect()

    def _connect(self) -> Client:
        found = find(*self._place)
        return Client(base_url(found.url), found.key)

    def get(self, *path: str, **query: object) -> Any:
        """GET; waits for a plane that is away. Raises Unreachable when it is for too long."""
        began = time.monotonic()
        while True:
            try:
                return self.client.get(*path, **query)
            except Unreachable:
                if time.monotonic() - began > _AWAY_S:
                    raise
            time.sleep(_AWAY_PAUSE_S)
            with contextlib.suppress(Error):
                self.client = self._connect()


def _list(client: Client, endpoint: str) -> int:
    batches = client.get(endpoint, "batch", limit=_PAGE)["batches"]
    rows = [
        [one["id"], one.get("name"), one["status"], output.ago(one["createdAt"] / 1000), _said(one)] for one in batches
    ]
    if not rows:
        output.note(f"{endpoint} has no batches.")
        return 0
    print(output.table(["BATCH", "NAME", "STATUS", "MADE", "PROGRESS"], rows))
    return 0


def _send(client: Client, args: argparse.Namespace, lines: list[Line]) -> str:
    """Makes the batch and puts it in the queue; a part of it is never left behind."""
    made = {key: getattr(args, key) for key in ("name", "webhook") if getattr(args, key) is not None}
    batch_id: str = client.post(args.endpoint, "batch", body=made)["id"]
    try:
        total = 0
        for some in _calls(lines):
            body = {"requests": [line.request for line in some]}
            try:
                total = client.post(args.endpoint, "batch", batch_id, "requests", body=body)["requestTotal"]
            except Refused as exc:
                raise _named(exc, some) from exc
        if total != len(lines):
            raise Error(f"The batch has {plural(total, 'request')} instead of {len(lines)}; send it again.")
        client.post(args.endpoint, "batch", batch_id, "finalize")
    except BaseException:
        client.close()  # it may have been interrupted in the middle of a request
        with contextlib.suppress(Error):
            client.post(args.endpoint, "batch", batch_id, "cancel")
        raise
    return batch_id


def _named(refused: Refused, lines: list[Line]) -> Refused:
    """The plane names a request of the call, the user knows lines."""
    text = refused.message
    match = re.search(r"(?:\$\.)?requests\[(\d+)\](?:: )?", text)
    if match is not None and int(match[1]) < len(lines):
        number = lines[int(match[1])].number
        said = text[match.end() :] if match.start() == 0 else text
        return Refused(f"Line {number}: {said}", refused.status)
    if len(lines) == 1:
        return Refused(f"Line {lines[0].number}: {text}", refused.status)
    return Refused(f"Lines {lines[0].number} to {lines[-1].number}: {text}", refused.status)


def _calls(lines: list[Line]) -> Iterator[list[Line]]:
    some: list[Line] = []
    size_bytes = 0
    for line in lines:
        if some and (len(some) == _CALL_REQUESTS or size_bytes + line.size_bytes > _CALL_BYTES):
            yield some
            some, size_bytes = [], 0
        some.append(line)
        size_bytes += line.size_bytes
    yield some


def _wait(plane: _Plane, endpoint: str, batch_id: str) -> dict[str, Any]:
    """Says how far it is until it has ended."""
    show, pause_s, last = _Progress(), _PAUSE_S, ""
    while True:
        batch: dict[str, Any] = plane.get(endpoint, "batch", batch_id)
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


def _results(plane: _Plane, endpoint: str, batch_id: str) -> Iterator[dict[str, Any]]:
    offset: int | None = 0
    while offset is not None:
        page = plane.get(endpoint, "batch", batch_id, "requests", limit=_PAGE, offset=offset)
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
