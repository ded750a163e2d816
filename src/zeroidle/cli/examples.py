"""`zeroidle test`: sends a project's examples, locally or to a deployed endpoint, and checks the answers."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeroidle.cli import output
from zeroidle.cli.http import Client
from zeroidle.cli.plane import KEY_VARIABLES, Found, find, key_from_environment
from zeroidle.errors import ConfigError, Error
from zeroidle.insight.spans import span

FAILED_STATUS = 1


def add_test(parser: argparse.ArgumentParser) -> None:
    """The arguments of `test`."""
    parser.add_argument(
        "endpoint",
        nargs="*",
        metavar="ENDPOINT|URL",
        help="endpoints of the project (default: all), or the URL of one, like https://api.runpod.ai/v2/ID; "
        f"the key is taken from {' or '.join(KEY_VARIABLES)}",
    )
    parser.add_argument(
        "--examples", metavar="DIR", help="the folder with tests.json, .runpod/tests.json or test_input.json"
    )
    parser.add_argument("--as", dest="local", metavar="NAME", help="which endpoint of the project the URL is")
    parser.add_argument("--data", metavar="DIR", help="use the plane with this data folder")
    parser.add_argument("--fresh", action="store_true", help="start a plane for the test, also when one runs here")
    output.add_json(parser)
    parser.set_defaults(run=test)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is tested: where it answers, under which name, and what its output must look like."""

    client: Client
    name: str
    local: str | None
    folder: Path
    schema: Mapping[str, Any] | None


def test(args: argparse.Namespace) -> int:
    """Runs all examples of all subjects; 1 when one of them did not go as expected."""
    from zeroidle.examples.check import Verdict, check
    from zeroidle.examples.read import FILES, read

    verdicts: list[tuple[str, Verdict]] = []
    with _subjects(args) as subjects:
        for subject in subjects:
            folders = [Path(args.examples)] if args.examples else [Path.cwd(), subject.folder]
            examples = read(folders, subject.local)
            if not examples:
                where = " or ".join(dict.fromkeys(str(folder) for folder in folders))
                raise ConfigError(f"There is no example for {subject.name}: no {', '.join(FILES)} in {where} names it.")
            for example in examples:
                verdict = check(subject.client, subject.name, example, subject.schema)
                verdicts.append((subject.name, verdict))
    failed = [v for _, v in verdicts if v.problem is not None]
    if args.json:
        output.print_json([_json(name, verdict) for name, verdict in verdicts])
    else:
        print(_table(verdicts))
        for verdict in failed:
            print(f"\n{verdict.example.name}: {output.clean(verdict.problem or '')}")
        print(f"\n{len(verdicts) - len(failed)} of {len(verdicts)} as expected.")
    return FAILED_STATUS if failed else 0


def _table(verdicts: list[Any]) -> str:
    rows = [
        (name, v.example.name, v.status, "ok" if v.problem is None else "WRONG", span(v.total_s),
         "" if v.delay_s is None else span(v.delay_s), "" if v.run_s is None else span(v.run_s))
        for name, v in verdicts
    ]  # fmt: skip
    return output.table(("endpoint", "example", "state", "answer", "total", "queued", "ran"), rows)


def _json(name: str, verdict: Any) -> dict[str, Any]:
    return {
        "endpoint": name, "example": verdict.example.name, "status": verdict.status, "problem": verdict.problem,
        "total_s": verdict.total_s, "delay_s": verdict.delay_s, "run_s": verdict.run_s,
    }  # fmt: skip


@contextlib.contextmanager
def _subjects(args: argparse.Namespace) -> Iterator[list[_Subject]]:
    urls = [name for name in args.endpoint if "://" in name]
    if urls and len(urls) != len(args.endpoint):
        raise ConfigError("Test endpoints of the project or URLs, not both in one call.")
    local = _local_endpoints([] if urls else args.endpoint, needed=not urls)
    if urls:
        yield [_remote(url, args.local, local) for url in urls]
        return
    with contextlib.ExitStack() as stack:
        found = None if args.fresh else _running(args.data, local)
        if found is None:
            from zeroidle.cli.temporary import temporary_plane

            output.note("Starting a plane for the test ...")
            found = stack.enter_context(temporary_plane(args.endpoint))
        client = Client(f"{found.url}/v2", found.key)
        yield [_Subject(client, e.name, e.name, e.root, e.output_schema) for e in local.values()]


def _local_endpoints(targets: list[str], needed: bool) -> dict[str, Any]:
    from zeroidle.project import Flags, load

    try:
        return dict(load(targets, Flags(), Path.cwd()))
    except Error:
        if needed:
            raise
        return {}  # a URL can be tested from anywhere


def _running(data: str | None, local: Mapping[str, Any]) -> Found | None:
    """The plane that runs here, when it serves what is to be tested."""
    try:
        found = find(data)
    except Error:
        if data is not None:
            raise
        return None
    names = Client(f"{found.url}/admin", found.key).get("plane")["endpoints"]
    return found if set(local) <= set(names) else None


def _remote(url: str, named: str | None, local: Mapping[str, Any]) -> _Subject:
    base, _, endpoint = url.rstrip("/").rpartition("/")
    if not base.partition("://")[2].strip("/"):
        raise ConfigError(f"{url} names no endpoint; write https://HOST/v2/ENDPOINT.")
    if named is not None and named not in local:
        raise ConfigError(f"The project has no endpoint {named}; there is: {', '.join(local) or 'none'}.")
    same = local.get(named or endpoint) or (next(iter(local.values())) if len(local) == 1 else None)
    return _Subject(
        Client(base, key_from_environment()), endpoint, None if same is None else same.name,
        Path.cwd() if same is None else same.root, None if same is None else same.output_schema,
    )  # fmt: skip
