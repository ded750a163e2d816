"""What `zeroidle volume` does with what is already there: ls, du, verify, gc, adopt, export, import, env."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.progress_bar import shown
from zeroidle.cli.volume_env import env
from zeroidle.errors import ConfigError, VolumeError
from zeroidle.volume.layout import find_root
from zeroidle.volume.manifest import Marker
from zeroidle.volume.progress import Progress
from zeroidle.volume.sizes import parse_size
from zeroidle.volume.space import free_bytes, show_bytes
from zeroidle.volume.store import Volume
from zeroidle.volume.weights import Weights


def add_care(actions: Any) -> None:
    """Adds the commands to `zeroidle volume`."""
    _add(actions, "ls", ls, "list what is complete on the volume")
    _add(actions, "du", du, "show what takes the room, and what is shared")
    checked = _add(actions, "verify", verify, "compute every hash again")
    checked.add_argument("sources", nargs="*", metavar="SOURCE", help="only these")
    checked.add_argument("--repair", action="store_true", help="fetch what is broken, and only that")
    swept = _add(actions, "gc", gc, "remove what nobody needs; never what a live worker uses")
    swept.add_argument("--max", metavar="SIZE", help="also evict weights until no more than this is left, as in 200GB")
    swept.add_argument("--parts", action="store_true", help="also remove unfinished downloads of the last day")
    swept.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    taken = _add(actions, "adopt", adopt, "take in a Hugging Face cache or a folder of model files")
    taken.add_argument("folder", metavar="DIR", help="a Hugging Face cache, its HF_HOME, or a folder of files")
    taken.add_argument("--as", dest="source", metavar="SOURCE", help="what to call a plain folder")
    taken.add_argument("--copy", action="store_true", help="copy instead of linking (linked files become read-only)")
    sent = _add(actions, "export", export, "write weights to a tar file")
    sent.add_argument("sources", nargs="*", metavar="SOURCE", help="only these")
    sent.add_argument("-o", "--output", metavar="FILE", required=True, help="the tar file; - for standard output")
    got = _add(actions, "import", import_, "take in what export wrote")
    got.add_argument("file", metavar="FILE", help="the tar file; - for standard input")
    told = _add(actions, "env", env, "show the environment by which libraries find the volume, and dead settings")
    told.add_argument("--python", metavar="PATH", help="look in this interpreter's packages which settings they read")
    told.add_argument("names", nargs="*", metavar="NAME", help="variables to look for (default: those that are set)")


def _add(actions: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    from zeroidle.cli.volume import add_root

    parser: argparse.ArgumentParser = actions.add_parser(name, help=text)
    add_root(parser)
    parser.set_defaults(run=run)
    return parser


def _open(args: argparse.Namespace) -> Volume:
    return Volume(find_root(args.volume))


def _chosen(volume: Volume, sources: Sequence[str]) -> list[Marker]:
    """The trees of the named sources, all when none is named. ConfigError for one that is not there."""
    found = volume.markers()
    if not sources:
        return found
    wanted = [Weights(source) for source in sources]
    for weights in wanted:
        if not any(_is(marker, weights) for marker in found):
            raise ConfigError(f'{weights.text!r} is not on the volume; see "zeroidle volume ls".')
    return [marker for marker in found if any(_is(marker, weights) for weights in wanted)]


def _is(marker: Marker, weights: Weights) -> bool:
    mine = marker.manifest.weights
    if mine == weights:
        return True
    same = (mine.parsed.kind, mine.parsed.name) == (weights.parsed.kind, weights.parsed.name)
    plain = not weights.allow and not weights.deny
    return same and plain and weights.parsed.revision in (None, mine.parsed.revision, marker.manifest.revision)


def ls(args: argparse.Namespace) -> int:
    """Prints the trees."""
    from zeroidle.volume.usage import usage

    volume = _open(args)
    trees = usage(volume).trees
    if args.json:
        output.print_json([_tree_json(t) for t in trees])
        return 0
    if not trees:
        output.note(f"The volume {volume.layout.root} is empty.")
        return 0
    rows = [
        [t.marker.manifest.weights.text, t.marker.manifest.revision[:12], len(t.marker.manifest.files),
         show_bytes(t.size_bytes), output.ago(t.used_at), t.users or None, t.problem or "complete"]
        for t in trees
    ]  # fmt: skip
    print(output.table(["SOURCE", "REVISION", "FILES", "SIZE", "USED", "USERS", "STATE"], rows))
    return 0


def _tree_json(found: Any) -> dict[str, object]:
    manifest = found.marker.manifest
    return {
        "source": manifest.weights.text, "revision": manifest.revision, "path": found.path,
        "files": len(manifest.files), "size_bytes": found.size_bytes, "own_bytes": found.own_bytes,
        "shared_bytes": found.shared_bytes, "used_at": found.used_at, "users": found.users,
        "problem": found.problem,
    }  # fmt: skip


def du(args: argparse.Namespace) -> int:
    """Prints sizes."""
    from zeroidle.volume.usage import usage

    volume = _open(args)
    found = usage(volume)
    free = free_bytes(volume.layout.root)
    totals = {
        "blobs_bytes": found.blobs_bytes, "saved_bytes": found.saved_bytes, "orphan_bytes": found.orphan_bytes,
        "parts_bytes": found.parts_bytes, "other_bytes": found.other_bytes, "free_bytes": free,
    }  # fmt: skip
    if args.json:
        output.print_json({"trees": [_tree_json(t) for t in found.trees], **totals})
        return 0
    rows = [
        [t.marker.manifest.weights.text, show_bytes(t.size_bytes), show_bytes(t.own_bytes), show_bytes(t.shared_bytes)]
        for t in sorted(found.trees, key=lambda t: -t.own_bytes)
    ]
    if rows:
        print(output.table(["SOURCE", "SIZE", "ALONE", "SHARED"], rows))
    print(
        f"{show_bytes(found.blobs_bytes)} in all, {show_bytes(found.saved_bytes)} saved by sharing; "
        f"{show_bytes(found.orphan_bytes)} belong to nothing, {show_bytes(found.parts_bytes)} in unfinished downloads, "
        f"{show_bytes(found.other_bytes)} of other files; {show_bytes(free)} free"
    )
    return 0


def verify(args: argparse.Namespace) -> int:
    """Hashes everything; the status is 1 when something is broken and was not repaired."""
    from zeroidle.volume.verify import confirm
    from zeroidle.volume.verify import verify as check

    volume = _open(args)
    chosen = _chosen(volume, args.sources)
    progress = Progress()
    with shown(progress, not args.json):
        report = check(volume, chosen, progress)
    fetched = None
    if (not report.right or report.changed) and args.repair:
        from zeroidle.volume.repair import repair

        with shown(progress, not args.json):
            fetched = repair(volume, report, chosen, progress)
    if report.right:
        confirm(volume, chosen)
    volume.close()
    _print_report(args, report, fetched)
    return 0 if report.right or fetched is not None else 1


def _print_report(args: argparse.Namespace, report: Any, fetched: int | None) -> None:
    if args.json:
        broken = [{"sha256": b.sha256, "reason": b.reason, "names": list(b.names)} for b in report.broken]
        output.print_json(
            {"blobs": report.blobs, "size_bytes": report.size_bytes, "broken": broken, "unlinked": report.unlinked,
             "changed": report.changed, "repaired": fetched is not None, "fetched_bytes": fetched or 0}
        )  # fmt: skip
        return
    for broken in report.broken:
        print(f"{', '.join(broken.names)}: {broken.reason}")
    for name in report.unlinked:
        print(f"{name}: it does not lead to its content")
    for name in report.changed:
        print(f"{name}: a program has rewritten it{'' if fetched is None else ', restored'}")
    checked = f"{report.blobs} contents, {show_bytes(report.size_bytes)}"
    if report.right:
        print(f"All right: {checked}")
    elif fetched is not None:
        print(f"Repaired {len(report.broken)} of {checked} by fetching {show_bytes(fetched)}")
    else:
        print(f'{len(report.broken) + len(report.unlinked)} of {checked} are broken; mend them: "--repair"')


def gc(args: argparse.Namespace) -> int:
    """Makes room. The status is 1 when what is in use is more than --max."""
    from zeroidle.volume.evict import gc as collect

    volume = _open(args)
    found = collect(volume, parse_size(args.max) if args.max else None, args.dry_run, args.parts)
    if args.json:
        output.print_json(
            {"evicted": [m.manifest.weights.text for m in found.trees], "freed_bytes": found.freed_bytes,
             "orphan_bytes": found.orphan_bytes, "parts_bytes": found.parts_bytes, "left_bytes": found.left_bytes,
             "over_bytes": found.over_bytes, "in_use": [m.manifest.weights.text for m in found.in_use],
             "dry_run": args.dry_run}
        )  # fmt: skip
    else:
        would = "would be " if args.dry_run else ""
        for marker in found.trees:
            print(f"{marker.manifest.weights.text} {would or 'was '}evicted")
        freed = found.freed_bytes + found.orphan_bytes + found.parts_bytes
        print(f"{show_bytes(freed)} {would or 'were '}freed, {show_bytes(found.left_bytes)} left")
        if found.over_bytes:
            names = ", ".join(marker.manifest.weights.text for marker in found.in_use)
            output.note(f"{show_bytes(found.over_bytes)} more than --max: {names} are in use.")
    return 1 if found.over_bytes else 0


def adopt(args: argparse.Namespace) -> int:
    """Takes a folder in. The status is 1 when something was damaged."""
    from zeroidle.volume.adopt import adopt as take
    from zeroidle.volume.adopt import survey

    volume = _open(args)
    found = survey(Path(args.folder), args.source)
    progress = Progress()
    with shown(progress, not args.json):
        result = take(volume, found, progress, args.copy)
    names = [manifest.weights.text for manifest in result.manifests]
    if args.json:
        output.print_json(
            {"adopted": names, "linked_bytes": result.linked_bytes, "copied_bytes": result.copied_bytes,
             "problems": result.problems}
        )  # fmt: skip
    else:
        for name in names:
            print(f"{name} is on the volume")
        print(f"{show_bytes(result.linked_bytes)} linked, {show_bytes(result.copied_bytes)} copied")
        for problem in result.problems:
            output.note(problem)
    if result.problems:
        output.note('What is not complete was not taken; "zeroidle volume pull" fetches only the rest.')
    return 1 if result.problems else 0


def export(args: argparse.Namespace) -> int:
    """Writes the tar file."""
    from zeroidle.volume.archive import export as write

    volume = _open(args)
    chosen = _chosen(volume, args.sources)
    if not chosen:
        raise ConfigError(f"The volume {volume.layout.root} is empty: there is nothing to export.")
    progress = Progress()
    with shown(progress, not args.json):
        if args.output == "-":
            size = write(volume, chosen, sys.stdout.buffer, progress)
        else:
            fresh = Path(f"{args.output}.part")
            with open(fresh, "wb") as out:
                size = write(volume, chosen, out, progress)
            os.replace(fresh, args.output)
    if args.output != "-":
        print(f"{len(chosen)} sources, {show_bytes(size)} in {args.output}")
    return 0


def import_(args: argparse.Namespace) -> int:
    """Reads the tar file."""
    from zeroidle.volume.archive import import_ as take

    volume = _open(args)
    progress = Progress()
    with shown(progress, not args.json):
        if args.file == "-":
            manifests = take(volume, sys.stdin.buffer, progress)
        else:
            try:
                with open(args.file, "rb") as data:
                    manifests = take(volume, data, progress)
            except FileNotFoundError as exc:
                raise VolumeError(f"There is no file {args.file}.") from exc
    names = [manifest.weights.text for manifest in manifests]
    if args.json:
        output.print_json({"imported": names})
    else:
        print("\n".join(f"{name} is on the volume" for name in names))
    return 0
