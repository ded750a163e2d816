"""`zeroidle keys`: API keys. Only a digest is kept, so a key is shown once, when it is made."""

from __future__ import annotations

import argparse

from zeroidle.cli import output
from zeroidle.cli.plane import add_place, admin


def add_keys(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keys create`, `keys list` and `keys revoke`."""
    actions = parser.add_subparsers(metavar="create|list|revoke", required=True)
    made = actions.add_parser("create", help="make a key and show it, once")
    made.add_argument("name", metavar="NAME", help="who or what it is for")
    made.set_defaults(run=create)
    shown = actions.add_parser("list", help="list the names of all keys")
    shown.set_defaults(run=list_keys)
    ended = actions.add_parser("revoke", help="make a key worthless")
    ended.add_argument("name", metavar="NAME", help="the key's name")
    ended.set_defaults(run=revoke)
    for action in (made, shown, ended):
        add_place(action)
        output.add_json(action)


def create(args: argparse.Namespace) -> int:
    """Makes a key. It alone goes to standard output, so that a script can take it."""
    answer = admin(args).post("keys", args.name)
    if args.json:
        output.print_json(answer)
    else:
        output.note(f"The key {args.name}, shown this once. From now on every call needs a key.")
        print(answer["key"])
    return 0


def list_keys(args: argparse.Namespace) -> int:
    """Prints the names and the beginnings of the digests."""
    keys = admin(args).get("keys")["keys"]
    if args.json:
        output.print_json({"keys": keys})
    elif keys:
        print(output.table(["NAME", "SHA-256"], [[key["name"], key["digest"] + "…"] for key in keys]))
    else:
        output.note("There is no key: whoever can reach this plane on this machine may use it.")
    return 0


def revoke(args: argparse.Namespace) -> int:
    """Removes a key."""
    answer = admin(args).call("DELETE", "keys", args.name)
    if args.json:
        output.print_json(answer)
    else:
        last = "" if answer["left"] else " It was the last one: on this machine calls need no key any more."
        print(f"The key {args.name} is revoked.{last}")
    return 0
