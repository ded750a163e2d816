"""`zeroidle jobs`, `cancel`, `retry` and `purge`."""

from __future__ import annotations

import argparse
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.plane import add_place, admin
from zeroidle.insight.spans import plural, span
from zeroidle.job import Status


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """The arguments of `jobs`."""
    parser.add_argument("endpoint", nargs="?", metavar="ENDPOINT", help="only the jobs of this endpoint")
    parser.add_argument("--status", choices=list(Status), metavar="STATUS", help="only those: " + ", ".join(Status))
    parser.add_argument("-n", "--limit", type=int, default=20, help="how many (default: %(default)s, at most 1000)")
    add_place(parser)
    output.add_json(parser)
    parser.set_defaults(run=jobs)


def add_cancel(parser: argparse.ArgumentParser) -> None:
    """The arguments of `cancel`."""
    _one(parser)
    parser.set_defaults(run=cancel)


def add_retry(parser: argparse.ArgumentParser) -> None:
    """The arguments of `retry`."""
    _one(parser)
    parser.set_defaults(run=retry)


def add_purge(parser: argparse.ArgumentParser) -> None:
    """The arguments of `purge`."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="the endpoint whose waiting jobs are cancelled")
    add_place(parser)
    output.add_json(parser)
    parser.set_defaults(run=purge)


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="JOB", help="a job's id; its beginning will do")
    add_place(parser)
    output.add_json(parser)


def jobs(args: argparse.Namespace) -> int:
    """Prints a table of jobs."""
    found: list[dict[str, Any]] = admin(args).get("jobs", endpoint=args.endpoint, status=args.status, limit=args.limit)[
        "jobs"
    ]
    if args.json:
        output.print_json({"jobs": found})
        return 0
    if not found:
        output.note("There are no such jobs. Results are kept for 30 minutes unless the setting retention says more.")
        return 0
    rows = [
        [j["id"], j["endpoint"], j["status"], output.ago(j["created_at"]), _ms(j["delay_ms"]), _ms(j["execution_ms"]),
         j["error"]]
        for j in found
    ]  # fmt: skip
    print(output.table(["JOB", "ENDPOINT", "STATUS", "SENT", "WAITED", "RAN", "ERROR"], rows))
    return 0


def _ms(value: int | None) -> str | None:
    return None if value is None else span(value / 1000)


def cancel(args: argparse.Namespace) -> int:
    """Cancels one job."""
    job: dict[str, Any] = admin(args).post("jobs", args.ref, "cancel")
    if args.json:
        output.print_json(job)
    elif job["changed"]:
        print(f"{job['id']} is cancelled.")
    else:
        print(f"{job['id']} had already ended as {job['status']}.")
    return 0


def retry(args: argparse.Namespace) -> int:
    """Puts one job back in the queue."""
    job: dict[str, Any] = admin(args).post("jobs", args.ref, "retry")
    if args.json:
        output.print_json(job)
    else:
        print(f"{job['id']} is in the queue again.")
    return 0


def purge(args: argparse.Namespace) -> int:
    """Cancels all waiting jobs."""
    removed = admin(args).post("endpoints", args.endpoint, "purge")["removed"]
    if args.json:
        output.print_json({"removed": removed})
    else:
        print(f"{plural(removed, 'waiting job')} of {args.endpoint} cancelled.")
    return 0
