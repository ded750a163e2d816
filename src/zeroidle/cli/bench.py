"""`zeroidle bench cold|load`: measures an endpoint."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.http import Client
from zeroidle.cli.plane import Found, find, key_from_environment
from zeroidle.errors import ConfigError, Error
from zeroidle.insight.spans import span

FAILED_STATUS = 1
_QUANTILES = (50, 95, 100)


def add_bench(parser: argparse.ArgumentParser) -> None:
    """The arguments of `bench`."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="cold|load")
    cold = kinds.add_parser("cold", help="start from zero workers, again and again, and show where the time goes")
    cold.add_argument("endpoint", metavar="TARGET", help="what `zeroidle up` takes; it gets a plane of its own")
    cold.add_argument("-n", type=_positive, default=20, help="how many cold starts (default: %(default)s)")
    cold.add_argument("--max", metavar="TIME", help="fail when the 95th percentile of the whole is longer")
    cold.add_argument(
        "--spawn", action="store_true", help="without the fork server: every start from a bare interpreter"
    )
    cold.add_argument("--imports", action="store_true", help="show what the handler's import is made of")
    load = kinds.add_parser("load", help="send many requests, measure latencies, check the answers")
    load.add_argument("endpoint", metavar="ENDPOINT|URL", help="an endpoint of the running plane, or the URL of one")
    load.add_argument("-c", "--concurrency", type=_positive, default=8, help="callers at once (default: %(default)s)")
    load.add_argument("--rate", type=float, metavar="R", help="requests per second instead, whatever the answers do")
    load.add_argument("-n", type=_positive, help="how many requests (default: 1000 without --duration)")
    load.add_argument("--duration", metavar="TIME", help="how long")
    load.add_argument("--data", metavar="DIR", help="data folder of the plane")
    for kind in (cold, load):
        kind.add_argument("--input", metavar="JSON", help="the input, or @FILE (default: the project's first example)")
        kind.add_argument("--png", metavar="FILE", type=Path, help="draw the distribution into this file")
        output.add_json(kind)
    cold.set_defaults(run=bench_cold)
    load.set_defaults(run=bench_load)


def bench_cold(args: argparse.Namespace) -> int:
    """Measures cold starts on a plane that exists for this alone."""
    from zeroidle.bench import cold
    from zeroidle.cli.temporary import temporary_plane
    from zeroidle.project import Flags, load
    from zeroidle.project.values import seconds

    limit_s = None if args.max is None else seconds(args.max)
    endpoints = load([args.endpoint], Flags(), Path.cwd())
    if len(endpoints) != 1:
        raise ConfigError(f"{args.endpoint} has several endpoints ({', '.join(endpoints)}); name one of them.")
    endpoint = next(iter(endpoints.values()))
    example = _example(args, endpoint.root, endpoint.name)
    options = [
        "--idle",
        "0s",
        "--max-workers",
        "1",
        *(["--set", f"{endpoint.name}.fork_server=0s"] if args.spawn else []),
    ]
    with temporary_plane([args.endpoint], options) as found:
        plane = _Plane(found)
        if not args.spawn:
            # The first run notes what the handler imports, the second waits until the fork server has imported it.
            cold.measure(plane, endpoint.name, example.input, 2, lambda _: None)
        measured = cold.measure(plane, endpoint.name, example.input, args.n, lambda text: _progress(text, args.json))
    tree = _import_tree(args.endpoint, endpoint.name, example.input) if args.imports else []
    _show_cold(args, endpoint.name, measured, tree)
    if args.png:
        from zeroidle.bench.plot import draw

        draw(args.png, {"total": measured.total_s, **measured.phases_s}, f"Cold starts of {endpoint.name}, n={args.n}")
    return _within(measured.total_s, limit_s)


def _within(total_s: list[float], limit_s: float | None) -> int:
    from zeroidle.bench.stats import percentile

    worst_s = percentile(total_s, 95)
    if limit_s is not None and worst_s > limit_s:
        output.note(f"The 95th percentile is {span(worst_s)}; --max is {span(limit_s)}.")
        return FAILED_STATUS
    return 0


def _show_cold(args: argparse.Namespace, name: str, measured: Any, tree: list[str]) -> None:
    from zeroidle.bench.stats import histogram, percentile

    series = {"total": measured.total_s, **measured.phases_s}
    if args.json:
        quantiles = {key: {f"p{q}_s": percentile(values, q) for q in _QUANTILES} for key, values in series.items()}
        values = {"total_s": measured.total_s, "phases_s": dict(measured.phases_s)}
        about = {"endpoint": name, "n": args.n, "forked": measured.forked, "imports": tree}
        output.print_json(about | quantiles | values)
        return
    rows = [(key, len(values), *(span(percentile(values, q)) for q in _QUANTILES)) for key, values in series.items()]
    print(output.table(("phase", "n", "p50", "p95", "max"), rows))
    print("\n" + "\n".join(histogram(measured.total_s)))
    print(f"\n{measured.forked} of {args.n} workers were forked, the others started from a bare interpreter.")
    for note in measured.notes:
        print(f"Not forked because {note}.")
    if tree:
        print("\nImports:\n" + "\n".join(tree))


def _import_tree(target: str, name: str, example: Any) -> list[str]:
    from zeroidle.bench.imports import parse, render
    from zeroidle.cli.temporary import temporary_plane

    options = ["--set", f"{name}.fork_server=0s", "--env", "PYTHONPROFILEIMPORTTIME=1"]
    with temporary_plane([target], options) as found:
        plane = _Plane(found)
        job = plane.submit(name, {"input": example})
        assert found.data is not None
        log = found.data / "logs" / f"{job['workerId']}.log"
        return render(parse(log.read_text(errors="replace").splitlines()))


def bench_load(args: argparse.Namespace) -> int:
    """Loads an endpoint; 1 when an answer was wrong or missing."""
    from zeroidle.bench import load
    from zeroidle.examples.check import judge
    from zeroidle.project.values import seconds

    url, key = _place(args)
    example = _example(args, Path.cwd(), url.rsplit("/", 1)[-1])
    duration_s = None if args.duration is None else seconds(args.duration)
    n = args.n if args.n is not None or duration_s is not None else 1000
    plan = load.Plan(f"{url}/runsync", key, {"input": example.input}, args.concurrency, args.rate, n, duration_s)
    measured = asyncio.run(load.run(plan, lambda job: judge(example, job, None)))
    _show_load(args, measured)
    if args.png and measured.latencies_s:
        from zeroidle.bench.plot import draw

        draw(args.png, {"latency": measured.latencies_s}, f"{url}: {measured.rate:.0f} requests/s")
    return FAILED_STATUS if measured.errors or not measured.latencies_s else 0


def _show_load(args: argparse.Namespace, measured: Any) -> None:
    from zeroidle.bench.stats import histogram, percentile

    quantiles = {q: percentile(measured.latencies_s, q) for q in (50, 90, 95, 99, 100) if measured.latencies_s}
    failed = sum(measured.errors.values())
    if args.json:
        output.print_json({
            "n": len(measured.latencies_s), "errors": dict(measured.errors), "seconds": measured.seconds,
            "rate": measured.rate, **{f"p{q}_s": value for q, value in quantiles.items()},
        })  # fmt: skip
        return
    print(f"{len(measured.latencies_s)} right answers in {span(measured.seconds)}: {measured.rate:.1f} a second")
    if quantiles:
        head = [*(f"p{q}" for q in list(quantiles)[:-1]), "max"]
        print("\n" + output.table(head, [[span(value) for value in quantiles.values()]]))
        print("\n" + "\n".join(histogram(measured.latencies_s)))
    if failed:
        print(f"\n{failed} wrong:")
        for problem, count in measured.errors.most_common(10):
            print(f"  {count} x {output.clean(problem)}")


class _Plane:
    """A plane over HTTP, as the benchmark wants it."""

    def __init__(self, found: Found) -> None:
        self._api = Client(f"{found.url}/v2", found.key)
        self._admin = Client(f"{found.url}/admin", found.key)

    def submit(self, endpoint: str, body: Any) -> dict[str, Any]:
        """POST /runsync."""
        job: dict[str, Any] = self._api.post(endpoint, "runsync", body=body, wait=300_000)
        return job

    def ask(self, *path: str) -> Any:
        """GET of the admin API."""
        return self._admin.get(*path)


def _place(args: argparse.Namespace) -> tuple[str, str | None]:
    if "://" in args.endpoint:
        return args.endpoint.rstrip("/"), key_from_environment()
    found = find(args.data)
    return f"{found.url}/v2/{args.endpoint}", found.key


def _example(args: argparse.Namespace, folder: Path, endpoint: str) -> Any:
    """The input of --input, or the first example that is to succeed."""
    from zeroidle.examples.read import Example, read

    if args.input is not None:
        text = Path(args.input[1:]).read_text() if args.input.startswith("@") else args.input
        try:
            value = json.loads(text)
        except ValueError as exc:
            raise ConfigError(f"--input is not JSON: {exc}.") from exc
        wrapped = isinstance(value, Mapping) and set(value) == {"input"}
        return Example("--input", endpoint, value["input"] if wrapped else value)
    found = [e for e in read([folder, Path.cwd()], endpoint) if e.error is None]
    if not found:
        raise Error(f"There is no example for {endpoint}; give one: --input '{{...}}', or write tests.json.")
    return found[0]


def _progress(text: str, quiet: bool) -> None:
    if not quiet:
        output.note(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
