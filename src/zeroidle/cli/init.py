"""`zeroidle init`: writes a project that runs at once."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from zeroidle.cli.output import add_json


def add_init(parser: argparse.ArgumentParser) -> None:
    """The arguments of `init`."""
    parser.add_argument(
        "name", nargs="?", default=".", help="the folder to make; its name is the endpoint's (default: here)"
    )
    parser.add_argument("--from", dest="recipe", metavar="RECIPE", help="copy a recipe instead of a small example")
    add_json(parser)
    parser.set_defaults(run=init)


def init(args: argparse.Namespace) -> int:
    """Writes the files and says what to do next."""
    from zeroidle.project.scaffold import create
    from zeroidle.project.source import FILE_NAME
    from zeroidle.project.source import read as read_project

    folder = Path(args.name)
    files = create(folder, args.recipe)
    names = list(read_project(folder / FILE_NAME).endpoints)
    if args.json:
        print(
            json.dumps(
                {"folder": str(folder), "files": [str(f.relative_to(folder)) for f in files], "endpoints": names}
            )
        )
        return 0
    for file in files:
        print(f"  {file}")
    steps = [] if args.name == "." else [f"cd {folder}"]
    steps += ["zeroidle up", f"zeroidle test {names[0]}"]
    print("\nNext:\n" + "\n".join(f"  {step}" for step in steps))
    return 0
