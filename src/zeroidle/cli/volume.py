"""`zeroidle volume`: fetch, check, show and clear away model files."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

from zeroidle.cli import output
from zeroidle.cli.progress_bar import shown
from zeroidle.cli.volume_care import add_care
from zeroidle.errors import ConfigError
from zeroidle.volume import lockfile
from zeroidle.volume.layout import find_root
from zeroidle.volume.manifest import Manifest
from zeroidle.volume.options import options_from
from zeroidle.volume.progress import Progress, Snapshot
from zeroidle.volume.sizes import parse_size
from zeroidle.volume.space import show_bytes
from zeroidle.volume.store import Tree, Volume
from zeroidle.volume.weights import Weights

_SOURCE = "hf:ORG/REPO@REVISION, https://HOST/FILE#sha256=HEX, s3://BUCKET/PREFIX, zenodo:RECORD or file:/PATH"


def add_volume(parser: argparse.ArgumentParser) -> None:
    """The arguments of all `zeroidle volume ...`."""
    actions = parser.add_subparsers(metavar="pull|lock|upgrade|ls|du|verify|gc|adopt|export|import|env", required=True)
    pulled = actions.add_parser("pull", help="fetch weights and check them; does nothing when they are there")
    _add_sources(pulled)
    pulled.add_argument("--upgrade", action="store_true", help="look up moving revisions anew")
    pulled.add_argument("--progress", choices=["auto", "json", "none"], default="auto", help="how to show progress")
    pulled.add_argument("--streams", type=int, metavar="N", help="connections at once (default 8)")
    pulled.add_argument("--bandwidth", metavar="RATE", help="most bytes per second together, as in 50MB")
    pulled.set_defaults(run=pull)
    locked = actions.add_parser("lock", help=f"pin sources that are not pinned yet in {lockfile.NAME}")
    _add_sources(locked)
    locked.set_defaults(run=lock, upgrade=False)
    upgraded = actions.add_parser("upgrade", help=f"move the pins in {lockfile.NAME} to what their sources are now")
    _add_sources(upgraded)
    upgraded.add_argument("--dry-run", action="store_true", help="only show what would change")
    upgraded.set_defaults(run=lock, upgrade=True)
    add_care(actions)


def add_root(parser: argparse.ArgumentParser) -> None:
    """The option that names the volume."""
    parser.add_argument(
        "--volume",
        metavar="DIR",
        help="the volume's folder (default: ZEROIDLE_VOLUME, a provider's mount, or the user's cache folder)",
    )
    output.add_json(parser)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help=f"{_SOURCE}; none: those of the project in this folder"
    )
    parser.add_argument("--allow", action="append", default=[], metavar="PATTERN", help="take only such files")
    parser.add_argument("--deny", action="append", default=[], metavar="PATTERN", help="leave such files out")
    parser.add_argument("--lock", metavar="FILE", default=lockfile.NAME, help="the lock file")
    add_root(parser)


def wanted(args: argparse.Namespace) -> list[Weights]:
    """The weights that the arguments mean, or those of the project here. ConfigError when there are none."""
    if args.sources:
        return [Weights(source, args.allow, args.deny) for source in args.sources]
    if args.allow or args.deny:
        raise ConfigError("--allow and --deny need a SOURCE; in a project they stand with its weights.")
    from zeroidle.project import load

    endpoints = load([])
    found = list(dict.fromkeys(Weights(text, base=e.root) for e in endpoints.values() for text in e.weights))
    if not found:
        raise ConfigError(f"No endpoint of this project names weights; name a SOURCE: {_SOURCE}.")
    return found


def pull(args: argparse.Namespace) -> int:
    """Fetches, and prints the path of each."""
    from zeroidle.volume.pull import pull as fetch

    bandwidth = parse_size(args.bandwidth) if args.bandwidth else None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to give the lease back in good order
    options = options_from(streams=args.streams, bandwidth=bandwidth)
    volume = Volume(find_root(args.volume), options, lockfile.read(Path(args.lock)))
    trees = []
    for weights in wanted(args):
        progress = Progress(weights.text)
        say = _say_json if args.progress == "json" else None
        with shown(progress, args.progress == "auto", say):
            found = fetch(volume, weights, progress, args.upgrade)
        if say is not None:
            say(progress.snapshot())
        trees.append(found)
        if not args.json and args.progress != "json":
            output.note(_told(found))
            print(found.file_path)
    volume.close()
    if args.json:
        output.print_json([_tree_json(found) for found in trees])
    return 0


def _say_json(now: Snapshot) -> None:
    import msgspec

    print(json.dumps(msgspec.structs.asdict(now)), flush=True)


def _told(found: Tree) -> str:
    manifest = found.manifest
    files = f"{len(manifest.files)} file{'s' * (len(manifest.files) != 1)}, {show_bytes(manifest.size_bytes)}"
    name = f"{found.weights.text} is revision {manifest.revision}: {files}"
    if not found.seconds:
        return f"{name}, already there"
    rate = found.fetched_bytes / found.seconds
    return f"{name}; {show_bytes(found.fetched_bytes)} fetched in {found.seconds:.1f} s, {show_bytes(rate)}/s"


def _tree_json(found: Tree) -> dict[str, object]:
    return {
        "source": found.weights.text,
        "revision": found.manifest.revision,
        "path": str(found.path),
        "files": len(found.manifest.files),
        "size_bytes": found.manifest.size_bytes,
        "fetched_bytes": found.fetched_bytes,
        "seconds": round(found.seconds, 3),
        "flush_seconds": round(found.flush_s, 3),
    }


def lock(args: argparse.Namespace) -> int:
    """Writes the lock file, and says what each source is pinned to."""
    path = Path(args.lock)
    known = lockfile.read(path)
    asked = wanted(args) if args.sources or not (args.upgrade and known) else list(known)
    new = dict(known)
    for weights in asked:
        if args.upgrade or weights not in known:
            new[weights] = _resolve(args, weights)
    found = lockfile.changes(known, (new[weights] for weights in asked))
    if not getattr(args, "dry_run", False):
        lockfile.write(path, new.values())
    if args.json:
        output.print_json([_change_json(change) for change in found])
    else:
        for change in found:
            print(_change_text(change))
    return 0


def _resolve(args: argparse.Namespace, weights: Weights) -> Manifest:
    """A source now; one that promises no hashes is fetched to learn them."""
    from zeroidle.volume.pull import pull as fetch
    from zeroidle.volume.sources import origin_of

    manifest = origin_of(weights.parsed).resolve(weights, options_from().backoff())
    if lockfile.pinnable(manifest):
        return manifest
    output.note(f"{weights.text} promises no hashes; it is fetched to learn them.")
    volume = Volume(find_root(args.volume))
    progress = Progress(weights.text)
    with shown(progress, not args.json):
        found = fetch(volume, weights, progress, upgrade=True).manifest
    volume.close()
    return found


def _change_text(change: lockfile.Change) -> str:
    size = f"{len(change.new.files)} files, {show_bytes(change.new.size_bytes)}"
    name = change.weights.text
    if change.old is None:
        return f"{name} is pinned to {change.new.revision} ({size})"
    if not change.is_one:
        return f"{name} stays at {change.new.revision} ({size})"
    lines = [f"{name} moves from {change.old.revision} to {change.new.revision} ({size})"]
    return "\n".join([*lines, *(f"  {what} {file}" for what, file in change.names)])


def _change_json(change: lockfile.Change) -> dict[str, object]:
    return {
        "source": change.weights.text,
        "old": change.old.revision if change.old else None,
        "new": change.new.revision,
        "files": [{"path": path, "what": what} for what, path in change.names],
        "size_bytes": change.new.size_bytes,
    }
