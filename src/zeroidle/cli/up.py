"""`zeroidle up`: serves endpoints until Ctrl-C."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from zeroidle.cli.folder import DATA_NAME
from zeroidle.cli.output import add_json
from zeroidle.endpoint import Endpoint
from zeroidle.project.settings import SETTINGS

#: Other names under which RunPod's users look for a setting.
ALIASES = {"idle": "--idle-timeout", "timeout": "--execution-timeout"}
DEFAULT_GRACE_S = 30.0


def add_up(parser: argparse.ArgumentParser) -> None:
    """The arguments of `up`."""
    parser.add_argument(
        "target",
        nargs="*",
        metavar="[NAME=]TARGET",
        help="a handler file, a folder, an endpoint of zeroidle.toml or a recipe; without one, all of zeroidle.toml",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument("--data", metavar="DIR", help=f"folder for queue, results and logs (default: {DATA_NAME})")
    parser.add_argument(
        "--grace", metavar="TIME", default="30s", help="how long running jobs may go on after Ctrl-C (default: 30s)"
    )
    parser.add_argument(
        "--reload",
        action="store_true",
        help="take over changed code (.py) and settings (.toml, .env) at once; changes of other files are not "
        "looked for, since a handler may have made them",
    )
    parser.add_argument("--quiet", action="store_true", help="do not log what happens to workers")
    add_json(parser)
    group = parser.add_argument_group("settings of all endpoints (they win over zeroidle.toml)")
    for setting in SETTINGS:
        if setting.flag:
            names = [setting.option, *([ALIASES[setting.name]] if setting.name in ALIASES else [])]
            about = setting.doc.split(". ")[0].rstrip(".").replace("`", "").replace("%", "%%")
            group.add_argument(*names, dest=f"every_{setting.name}", metavar="VALUE", help=f"{setting.form}: {about}")
    group.add_argument("--min-workers", dest="every_min_workers", metavar="N", help="workers that are kept warm")
    group.add_argument("--max-workers", dest="every_max_workers", metavar="N", help="the most workers that may live")
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable for the workers; NAME passes it on",
    )
    group.add_argument(
        "--set", action="append", default=[], metavar="NAME.KEY=VALUE", help="any setting of one endpoint", dest="sets"
    )
    parser.set_defaults(run=up)


def up(args: argparse.Namespace) -> int:
    """Loads the project and serves it."""
    from zeroidle.errors import ConfigError
    from zeroidle.project import Flags, load
    from zeroidle.project.values import seconds

    try:
        grace_s = seconds(args.grace)
    except ValueError as exc:
        raise ConfigError(f"--grace = {args.grace!r} {exc}") from None
    every = {name.removeprefix("every_"): value for name, value in vars(args).items() if name.startswith("every_")}
    data = Path(args.data or os.environ.get("ZEROIDLE_DATA") or DATA_NAME).expanduser().absolute()
    flags = Flags.parse(every, args.env, args.sets, os.environ)
    read = partial(load, args.target, flags, Path.cwd(), cache=data / "describe")
    endpoints = read()
    _report_dead_settings(endpoints)

    from zeroidle.cli.serving import serve

    return serve(
        endpoints, data, args.host, args.port, grace_s=grace_s, quiet=args.quiet, as_json=args.json,
        reload=read if args.reload else None,
    )  # fmt: skip


def _report_dead_settings(endpoints: dict[str, Endpoint]) -> None:
    """Names variables that an endpoint sets and that no library reads: somebody relies on them in vain."""
    for endpoint in endpoints.values():
        if not endpoint.env:
            continue
        from zeroidle.cli.output import note
        from zeroidle.volume.environment import report

        for sentence in report(endpoint.env):
            note(f"{endpoint.name}: {sentence}")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: it must be from 0 to 65535")
    return int(text)
