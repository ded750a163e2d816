"""`zeroidle webhooks`: the delivery log, and delivering again."""

from __future__ import annotations

import argparse
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.plane import add_place, admin

STATES = ("pending", "delivered", "dead")


def add_webhooks(parser: argparse.ArgumentParser) -> None:
    """The arguments of `webhooks list` and `webhooks redeliver`."""
    actions = parser.add_subparsers(metavar="list|redeliver", required=True)
    shown = actions.add_parser("list", help="list deliveries, the most urgent first")
    shown.add_argument("--state", choices=STATES, help="only those")
    shown.add_argument("-n", "--limit", type=int, default=50, help="how many (default: %(default)s)")
    add_place(shown)
    output.add_json(shown)
    shown.set_defaults(run=list_deliveries)
    again = actions.add_parser("redeliver", help="send a delivery again, at once")
    again.add_argument("id", metavar="ID", help="the delivery's id, as `webhooks list` shows it")
    add_place(again)
    output.add_json(again)
    again.set_defaults(run=redeliver)


def list_deliveries(args: argparse.Namespace) -> int:
    """Prints a table of deliveries."""
    found: list[dict[str, Any]] = admin(args).get("webhooks", state=args.state, limit=args.limit)["deliveries"]
    if args.json:
        output.print_json({"deliveries": found})
        return 0
    if not found:
        output.note('There are no webhook deliveries. A job gets one by "webhook": URL beside its input.')
        return 0
    rows = [
        [d["id"], d["state"], d["attempts"], output.ago(d["created_at"]), d["last_status"], d["last_error"], d["url"]]
        for d in found
    ]
    print(output.table(["ID", "STATE", "TRIES", "MADE", "HTTP", "LAST ERROR", "URL"], rows))
    return 0


def redeliver(args: argparse.Namespace) -> int:
    """Asks for one delivery to be sent again."""
    answer = admin(args).post("webhooks", args.id, "redeliver")
    if args.json:
        output.print_json(answer)
    else:
        print(f"{args.id} is sent again.")
    return 0
