"""`zeroidle ps`: endpoints, their queues and their workers."""

from __future__ import annotations

import argparse
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.plane import add_place, admin
from zeroidle.insight.spans import span


def add_ps(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ps`."""
    add_place(parser)
    output.add_json(parser)
    parser.set_defaults(run=ps)


def ps(args: argparse.Namespace) -> int:
    """Prints two tables, and a sentence for each endpoint that is not well. PRIVATE is what a worker holds alone;
    SHARED are pages that others hold too: libraries, and what it inherited from its fork server."""
    endpoints: list[dict[str, Any]] = admin(args).get("endpoints")["endpoints"]
    if args.json:
        output.print_json({"endpoints": endpoints})
        return 0
    head = ["ENDPOINT", "QUEUED", "RUNNING", "DONE", "FAILED", "WORKERS", "WANTED", "LIMIT", "HANDLER"]
    print(output.table(head, [_endpoint(e) for e in endpoints]))
    workers = [(e["name"], w) for e in endpoints for w in e["workers"]]
    if workers:
        head = ["WORKER", "ENDPOINT", "STATE", "PID", "PRIVATE", "SHARED", "START", "SDK", "AGE", "JOBS DONE", "JOB"]
        print()
        print(output.table(head, [_worker(name, w) for name, w in workers]))
    for e in endpoints:
        if e["verdict"]["code"] != "healthy":
            print(f"\n{output.style(e['name'], '1')}: {output.clean(e['verdict']['sentence'])}")
    return 0


def _endpoint(e: dict[str, Any]) -> list[object]:
    limit = f"{e['min_workers']}:{e['max_workers']}"
    counts = [e["queued"], e["in_progress"], e["completed"], e["failed"], len(e["workers"]), e["wanted"]]
    return [e["name"], *counts, limit, e["handler"]]


def _worker(name: str, w: dict[str, Any]) -> list[object]:
    job = w["jobs"][0] + (f" +{len(w['jobs']) - 1}" if len(w["jobs"]) > 1 else "") if w["jobs"] else None
    memory = [output.size(w["private_bytes"]), output.size(w["shared_bytes"])]
    start = "fork" if w["forked"] else "spawn"
    return [w["id"], name, w["state"], w["pid"], *memory, start, w["sdk"], span(w["age_s"]), w["jobs_done"], job]
