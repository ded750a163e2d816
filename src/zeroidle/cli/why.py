"""`zeroidle why` and `zeroidle timeline`: a verdict in words, and where a job's time went."""

from __future__ import annotations

import argparse
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.plane import add_place, admin
from zeroidle.insight.timeline import Row, Timeline, render

#: The verdict's colour: what is well is not coloured.
_BAD = "31"
_FINE = frozenset({"healthy", "running", "queued", "behind", "worker-starting", "cancelled"})


def add_why(parser: argparse.ArgumentParser) -> None:
    """The arguments of `why`."""
    parser.add_argument("ref", metavar="JOB|ENDPOINT", help="a job's id (its beginning will do) or an endpoint's name")
    add_place(parser)
    output.add_json(parser)
    parser.set_defaults(run=why)


def add_timeline(parser: argparse.ArgumentParser) -> None:
    """The arguments of `timeline`."""
    parser.add_argument("ref", metavar="JOB", help="a job's id; its beginning will do")
    add_place(parser)
    output.add_json(parser)
    parser.set_defaults(run=timeline)


def why(args: argparse.Namespace) -> int:
    """Prints what is the case, what proves it, and what to do."""
    answer: dict[str, Any] = admin(args).get("why", args.ref)
    if args.json:
        output.print_json(answer)
        return 0
    job = answer.get("job")
    if job:
        print(f"{output.style(job['id'], '1')}  {job['endpoint']}  {job['status']}\n")
    verdict = answer["verdict"]
    sentence = output.clean(verdict["sentence"])
    print(sentence if verdict["code"] in _FINE else output.style(sentence, _BAD))
    if verdict["evidence"]:
        print()
        for line in verdict["evidence"]:
            print(output.style(f"  | {output.clean(line)}", "2"))
    if verdict["advice"]:
        print(f"\n{output.clean(verdict['advice'])}")
    if answer.get("timeline"):
        print()
        print_timeline(answer["timeline"])
    return 0


def timeline(args: argparse.Namespace) -> int:
    """Prints the phases of a job as bars."""
    job: dict[str, Any] = admin(args).get("jobs", args.ref)
    if args.json:
        output.print_json(job["timeline"] | {"id": job["id"], "status": job["status"]})
        return 0
    print(f"{output.style(job['id'], '1')}  {job['endpoint']}  {job['status']}\n")
    print_timeline(job["timeline"])
    return 0


def print_timeline(content: dict[str, Any]) -> None:
    """Bars on a common scale."""
    rows = tuple(Row(**row) for row in content["phases"])
    for line in render(Timeline(rows, content["total_s"], content["cold"])):
        print(output.clean(line))
