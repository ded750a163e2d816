"""`zeroidle run`: sends one job, shows its progress and output, saves its files. Works with any RunPod-style API."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zeroidle.cli import output
from zeroidle.cli.http import Client
from zeroidle.cli.inputs import build_input
from zeroidle.cli.plane import KEY_VARIABLES, Admin, Found, find
from zeroidle.cli.results import Saver
from zeroidle.errors import ConfigError, Error
from zeroidle.insight.spans import span

FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
FAILED_STATUS, INTERRUPTED_STATUS = 1, 130
#: Servers that answer /stream at once, with nothing in it, are asked this often.
_PAUSE_S = 0.5


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments of `run`."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="the endpoint's name (on RunPod: its id)")
    parser.add_argument(
        "item",
        nargs="*",
        metavar="KEY=VALUE",
        help="a part of the input: key=text, key=@FILE (its content), key:=JSON; the endpoint's types are kept to",
    )
    parser.add_argument("--input", metavar="JSON", help="the whole input as JSON, @FILE, or - for standard input")
    parser.add_argument("-o", "--out", metavar="DIR", default=".", help="folder for files of the result (default: .)")
    for form, what in (("html", "a page"), ("png", "a picture")):
        parser.add_argument(
            f"--{form}", action="append_const", dest="forms", const=f"{form}:=true",
            help=f"also ask for {what} to look at: short for {form}:=true, where the endpoint makes one",
        )  # fmt: skip
    parser.add_argument("--no-save", action="store_true", help="do not save files, print the output as it is")
    parser.add_argument("--detach", action="store_true", help="print the job's id and do not wait for it")
    parser.add_argument("--timeout", metavar="TIME", help="how long the job may run (policy.executionTimeout)")
    parser.add_argument("--ttl", metavar="TIME", help="how long the job may live, waiting and running (policy.ttl)")
    parser.add_argument("--low-priority", action="store_true", help="after all others, and without starting a worker")
    parser.add_argument("--webhook", metavar="URL", help="where the result is sent to as well")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--data", metavar="DIR", help="data folder of the plane")
    place.add_argument(
        "--url",
        help=f"any RunPod-style API, like https://api.runpod.ai/v2; the key is taken from {' or '.join(KEY_VARIABLES)}",
    )
    output.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Sends the job and stays with it to its end; Ctrl-C cancels it."""
    found = find(args.data, args.url)
    schema = None if args.url else _schema(found, args.endpoint)
    body = {"input": build_input([*args.item, *(args.forms or ())], args.input, schema)} | policy(args)
    if args.webhook:
        body["webhook"] = args.webhook
    client = Client(base_url(found.url), found.key)
    # Ctrl-C waits for the answer: without the job's id it could not be cancelled.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        job_id: str = client.post(args.endpoint, "run", body=body)["id"]
    except Error:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        raise
    if args.detach:
        print(json.dumps({"id": job_id}) if args.json else job_id)
        return 0
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        show = _Show(args.json)
        job = _follow(client, args.endpoint, job_id, show)
    except KeyboardInterrupt:
        return _cancel(client, args.endpoint, job_id)
    saver = None if args.no_save else Saver(Path(args.out), found.url, found.key)
    return _finish(job, show, saver, found)


def _cancel(client: Client, endpoint: str, job_id: str) -> int:
    client.close()  # it was interrupted in the middle of a request
    try:
        client.post(endpoint, "cancel", job_id)
        output.note(f"\nCancelled {job_id}.")
    except Error as exc:
        output.note(f"\n{job_id} was not cancelled: {exc.message}")
    return INTERRUPTED_STATUS


def _schema(found: Found, endpoint: str) -> dict[str, Any] | None:
    """The endpoint's input schema. An unknown endpoint raises Refused here already, with the names that there are."""
    schema: dict[str, Any] | None = Admin(found).get("endpoints", endpoint)["input_schema"]
    return schema


def base_url(url: str) -> str:
    """`http://host:port` gets the path /v2; one that has a path keeps it."""
    full = url if "://" in url else f"http://{url}"
    return full if urlsplit(full).path.strip("/") else full.rstrip("/") + "/v2"


def policy(args: argparse.Namespace) -> dict[str, Any]:
    """What --timeout, --ttl and --low-priority ask for, as a part of a job's body. Raises ConfigError."""
    from zeroidle.project.values import seconds

    asked: dict[str, Any] = {}
    for name, key in (("timeout", "executionTimeout"), ("ttl", "ttl")):
        text = getattr(args, name)
        if text is not None:
            try:
                asked[key] = round(seconds(text) * 1000)
            except ValueError as exc:
                raise ConfigError(f"--{name} = {text!r} {exc}") from None
    if args.low_priority:
        asked["lowPriority"] = True
    return {"policy": asked} if asked else {}


def _follow(client: Client, endpoint: str, job_id: str, show: _Show) -> dict[str, Any]:
    """Shows chunks and progress until the job has ended; answers its last status."""
    while True:
        asked = time.monotonic()
        answer = client.get(endpoint, "stream", job_id)
        chunks = answer.get("stream") or []
        for chunk in chunks:
            show.chunk(chunk.get("output") if isinstance(chunk, dict) else chunk)
        final = answer.get("status") in FINAL
        if final or not chunks:
            job: dict[str, Any] = client.get(endpoint, "status", job_id)
            show.status(job)
            if final and job.get("status") in FINAL:
                return job
            if time.monotonic() - asked < _PAUSE_S:
                time.sleep(_PAUSE_S)


def _finish(job: dict[str, Any], show: _Show, saver: Saver | None, found: Found) -> int:
    """Prints the output and saves its files; answers the exit status."""
    if job.get("output") is not None and saver is not None:
        job["output"] = saver.save_all(job["output"])
    completed = job.get("status") == "COMPLETED"
    show.end(job)
    if completed:
        return 0
    if not show.as_json:
        kind = str(job.get("status")).lower().replace("_", " ")
        output.note(
            output.style(f"The job {job['id']} {_ended(kind)}{_first_line(job.get('error'))}", "31", sys.stderr)
        )
        if found.pid is not None:
            output.note(f"More: zeroidle why {job['id']}")
    return FAILED_STATUS


def _ended(kind: str) -> str:
    return {"failed": "failed", "cancelled": "was cancelled", "timed out": "timed out"}.get(kind, f"ended as {kind}")


def _first_line(error: Any) -> str:
    from zeroidle.insight.failure import split_error

    if not error:
        return "."
    kind, message, trace = split_error(error if isinstance(error, str) else json.dumps(error))
    said = f"{kind}: {message}" if kind else message
    return ": " + output.clean(said) + "".join(f"\n  | {output.clean(line)}" for line in trace)


class _Show:
    """Chunks and output go to standard output, progress to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._chunks = 0
        self._in_text = False
        self._progress: Any = None
        self._status = ""

    def chunk(self, value: Any) -> None:
        """A text as it is, anything else as one line of JSON."""
        self._chunks += 1
        if isinstance(value, str) and not self.as_json:
            sys.stdout.write(value)
            self._in_text = not value.endswith("\n")
        else:
            self._end_text()
            print(json.dumps({"chunk": value} if self.as_json else value, ensure_ascii=False))
        sys.stdout.flush()

    def status(self, job: dict[str, Any]) -> None:
        """The state when it changes, and the newest progress."""
        state, progress = str(job.get("status")), job.get("output")
        if state == "IN_PROGRESS" and progress is not None and progress != self._progress and not self._chunks:
            self._progress = progress
            text = progress if isinstance(progress, str) else json.dumps(progress, ensure_ascii=False)
            output.note(output.style(output.clean(text), "2", sys.stderr))
        elif state != self._status and state == "IN_QUEUE":
            output.note(output.style("Waiting for a worker ...", "2", sys.stderr))
        self._status = state

    def end(self, job: dict[str, Any]) -> None:
        """The output, unless its chunks were shown already; and how long it took."""
        self._end_text()
        value = job.get("output")
        if self.as_json:
            print(json.dumps(job, ensure_ascii=False))
            return
        if value is not None and not self._chunks:
            print(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
        if "executionTime" in job:
            times = f"waited {span(job.get('delayTime', 0) / 1000)}, ran {span(job['executionTime'] / 1000)}"
            output.note(output.style(times, "2", sys.stderr))

    def _end_text(self) -> None:
        if self._in_text:
            print()
            self._in_text = False
