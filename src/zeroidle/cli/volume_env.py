"""`zeroidle volume env`: the environment by which libraries find the volume, and settings that nothing reads."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from zeroidle.cli import output
from zeroidle.errors import ConfigError
from zeroidle.volume import environment
from zeroidle.volume.layout import find_root
from zeroidle.volume.store import Volume


def env(args: argparse.Namespace) -> int:
    """Prints what a worker would get for all that is complete, and what does nothing."""
    volume = Volume(find_root(args.volume))
    trees = [tree for marker in volume.markers() if (tree := volume.holds(marker.manifest.weights, marker.manifest))]
    found = environment.environment(volume.layout, trees, {})
    found.pop(environment.USES_ENV)
    dead = environment.report(os.environ)
    names = args.names or environment.suspicious(os.environ)
    unread = _unread(args.python, names) if args.python else []
    if args.json:
        output.print_json({"environment": found, "dead": dead, "unread": unread})
        return 0
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")
    for sentence in dead:
        output.note(sentence)
    for name in unread:
        output.note(f"{name} does nothing: no package of {args.python} mentions it.")
    return 0


def _unread(python: str, names: Sequence[str]) -> list[str]:
    code = "import site, sysconfig; print(*{*site.getsitepackages(), sysconfig.get_path('purelib')}, sep='\\n')"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as exc:
        raise ConfigError(f"{python} is not a Python interpreter that runs: {exc}.") from exc
    folders = [Path(text) for text in done.stdout.splitlines() if Path(text).is_dir()]
    return [name for name, read in environment.unread(names, folders).items() if not read]
