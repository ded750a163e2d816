"""`zeroidle plan`: what a change would cost and look like; nothing is run or bought."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeroidle.cli import output
from zeroidle.errors import ConfigError, Error
from zeroidle.insight.spans import span
from zeroidle.plan.migrate import Migration, migrate
from zeroidle.plan.migrate_cost import Cost, Rates, cost
from zeroidle.volume.sizes import parse_size
from zeroidle.volume.space import show_bytes


def add_plan(parser: argparse.ArgumentParser) -> None:
    """The arguments of `plan`."""
    actions = parser.add_subparsers(metavar="migrate|check", required=True)
    moved = actions.add_parser("migrate", help="move weights out of an image onto a volume: its cost, what to write")
    moved.add_argument("dockerfile", metavar="DOCKERFILE", help="the Dockerfile; it is read, not built")
    moved.add_argument("--context", metavar="DIR", help="the build context (default: the Dockerfile's folder)")
    moved.add_argument("--name", help="the endpoint's name (default: the folder's)")
    moved.add_argument("--write", metavar="FILE", help="write the changed Dockerfile there; - prints nothing else")
    moved.add_argument("--offline", action="store_true", help="do not ask the sources for their sizes")
    moved.add_argument("--push-rate", metavar="RATE", default="12.5MB", help="your upload per second (default 12.5MB)")
    moved.add_argument("--pull-rate", metavar="RATE", default="100MB", help="a host's image pull (default 100MB)")
    moved.add_argument("--volume-rate", metavar="RATE", default="400MB", help="reads from the volume (default 400MB)")
    moved.add_argument("--price", type=float, metavar="USD", help="the volume's rent per GB and month (default: list)")
    output.add_json(moved)
    moved.set_defaults(run=run_migrate)
    checked = actions.add_parser("check", help="look for known mistakes in Dockerfiles, handlers, guides and settings")
    checked.add_argument("file", nargs="+", type=Path, metavar="FILE")
    output.add_json(checked)
    checked.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Prints the mistakes found, one line each; 1 when there is one."""
    from zeroidle.plan.warnings import warnings

    found = []
    for path in args.file:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as exc:
            raise ConfigError(f"{path} cannot be read: {exc.strerror}.") from exc
        found += [(path, warning) for warning in warnings(text)]
    if args.json:
        output.print_json([
            {"file": str(path), "line": w.line, "code": w.code, "sentence": w.sentence} for path, w in found
        ])  # fmt: skip
    else:
        for path, warning in found:
            print(f"{path}:{warning.line}: {output.clean(warning.sentence)}")
        if not found:
            print("Nothing known to be wrong was found.")
    return 1 if found else 0


def run_migrate(args: argparse.Namespace) -> int:
    """Prints what is baked in, its cost, the changed Dockerfile and settings, and the way back."""
    path = Path(args.dockerfile)
    plan = migrate(path, Path(args.context) if args.context else None, args.name)
    sizes = _sizes(plan, args.offline)
    rates = Rates(parse_size(args.push_rate), parse_size(args.pull_rate), parse_size(args.volume_rate))
    if not all((rates.push, rates.pull, rates.volume)):
        raise ConfigError("A rate is 0; write what your line carries per second, as in --push-rate 12.5MB.")
    total = cost(sum(size for size in sizes.values() if size), rates, args.price)
    unknown = [source for source, size in sizes.items() if size is None]
    if args.write and args.write != "-":
        Path(args.write).write_text(plan.dockerfile)
    if args.json:
        output.print_json(_json(plan, sizes, total))
    elif args.write == "-":
        print(plan.dockerfile, end="")
    else:
        _show(path, plan, sizes, total, unknown, args.write)
    return 0


def _sizes(plan: Migration, offline: bool) -> dict[str, int | None]:
    """The size of every source, in bytes; None where it cannot be known."""
    found: dict[str, int | None] = dict.fromkeys(plan.sources)
    for baked in plan.baked:
        if baked.size_bytes is not None and len(baked.sources) == 1:
            found[baked.sources[0]] = baked.size_bytes
    for source, size in found.items():
        if size is None and not offline:
            found[source] = _asked(source)
    return found


def _asked(source: str) -> int | None:
    from zeroidle.volume.retry import Backoff
    from zeroidle.volume.sources import origin_of
    from zeroidle.volume.weights import Weights

    weights = Weights(source)
    try:
        return origin_of(weights.parsed).resolve(weights, Backoff(most=2)).size_bytes
    except Error as exc:
        output.note(f"{source}: its size is not known: {exc.message}")
        return None


def _show(
    path: Path, plan: Migration, sizes: dict[str, int | None], total: Cost, unknown: list[str], written: str | None
) -> None:
    if not plan.baked:
        print(f"{path} bakes no weights into its image that can be seen.")
    for baked in plan.baked:
        for source in baked.sources:
            size = sizes[source]
            print(f"line {baked.line}: {source}  {show_bytes(size) if size is not None else 'size not known'}")
    if total.size_bytes:
        print("\n" + "\n".join(_cost_lines(total, bool(unknown))))
    for note in plan.notes:
        print(f"- {note}")
    if not plan.baked:
        return
    if written is None:
        print(f"\n# The changed {path.name}\n\n{plan.dockerfile}", end="")
    print(f"\n# zeroidle.toml\n\n{plan.settings}", end="")
    print(
        "\n# The way there\n\nzeroidle volume lock      # pins every file\n"
        "zeroidle volume pull      # on the volume, once\n"
        f"\n# The way back\n\nKeep {path.name} as it is: building it again and taking `weights` and `volume` out of "
        "zeroidle.toml is all."
    )


def _cost_lines(total: Cost, partly: bool) -> list[str]:
    least = "at least " if partly else ""
    return [
        f"In the image: {least}{show_bytes(total.size_bytes)} more to push ({span(total.push_s)} each time the layer "
        f"changes) and to pull ({span(total.pull_s)} on every new host).",
        f"On a volume: {least}{span(total.fill_s)} to fill it once, {total.rent_usd_month:.2f} USD a month, and "
        f"{span(total.read_s)} to read them at every cold start, which is billed; the pull of an image is not, on "
        "RunPod.",
        "The speeds are assumptions (--push-rate, --pull-rate, --volume-rate); the rent is the list price of August "
        "2026 unless --price is given.",
    ]


def _json(plan: Migration, sizes: dict[str, int | None], total: Cost) -> dict[str, object]:
    return {
        "baked": [
            {"line": b.line, "how": b.how, "sources": b.sources, "size_bytes": b.size_bytes, "target": b.target,
             "note": b.note}
            for b in plan.baked
        ],
        "sizes": sizes, "dockerfile": plan.dockerfile, "settings": plan.settings, "notes": plan.notes,
        "cost": {
            "size_bytes": total.size_bytes, "push_s": round(total.push_s, 1), "pull_s": round(total.pull_s, 1),
            "fill_s": round(total.fill_s, 1), "read_s": round(total.read_s, 1),
            "rent_usd_month": round(total.rent_usd_month, 2),
        },
    }  # fmt: skip
