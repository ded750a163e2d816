"""`zeroidle stop`: ends a running plane as Ctrl-C would."""

from __future__ import annotations

import argparse
import os
import select
import signal
import time

from zeroidle.cli.output import add_json, print_json
from zeroidle.cli.plane import Admin, find
from zeroidle.errors import Error

_TIMEOUT_S = 60.0


def add_stop(parser: argparse.ArgumentParser) -> None:
    """The arguments of `stop`."""
    parser.add_argument("--data", metavar="DIR", help="data folder of the plane")
    parser.add_argument("--now", action="store_true", help="do not wait for running jobs; they run again next time")
    add_json(parser)
    parser.set_defaults(run=stop)


def stop(args: argparse.Namespace) -> int:
    """Asks the plane to end and waits until it has."""
    found = find(args.data)
    # The number in the file may have gone to a stranger by now; who answers with the file's secret says its own.
    pid = int(Admin(found).get("plane")["pid"])
    process = os.pidfd_open(pid)
    try:
        begun = time.monotonic()
        for _ in range(2 if args.now else 1):
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if _ended(process, 0.2 if args.now else _TIMEOUT_S):
                break
        if not _ended(process, _TIMEOUT_S):
            raise Error(
                f"The plane (process {pid}) still runs its jobs after {_TIMEOUT_S:g} s; end it: zeroidle stop --now"
            )
    finally:
        os.close(process)
    if args.json:
        print_json({"pid": pid, "stopped": True, "seconds": round(time.monotonic() - begun, 3)})
    else:
        print("Stopped. Waiting jobs and results are kept; zeroidle up goes on with them.")
    return 0


def _ended(process: int, timeout_s: float) -> bool:
    return bool(select.select([process], [], [], timeout_s)[0])
