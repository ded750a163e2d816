"""Runs a plane in the foreground: says where it answers, drains at the first signal, ends at once at the second."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from zeroidle.cli.banner import banner, banner_json
from zeroidle.cli.output import note, style
from zeroidle.cli.reloading import Reloader
from zeroidle.endpoint import Endpoint
from zeroidle.insight.spans import plural
from zeroidle.serve import Plane, is_loopback
from zeroidle.worker import Worker, WorkerEventKind

log = logging.getLogger("zeroidle.plane")

#: How long an end "at once" may take before the process leaves without ceremony.
_HURRY_S = 5.0
#: Wrappers (timeout, uv run, make) hand on a signal that the process group has had as well: within this time it is
#: the same wish. `zeroidle stop --now` waits longer between its two.
_SAME_WISH_S = 0.1
_FORCED_STATUS = 130


def serve(
    endpoints: dict[str, Endpoint],
    data: Path,
    host: str,
    port: int,
    *,
    grace_s: float,
    quiet: bool = False,
    as_json: bool = False,
    reload: Callable[[], dict[str, Endpoint]] | None = None,
) -> int:
    """Serves until a signal comes; answers the exit status. `reload` reads the project anew when a file changes."""
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format=style("%(asctime)s %(message)s", "2", sys.stderr),
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    with contextlib.suppress(OSError, ValueError):  # standard error may be closed
        faulthandler.enable()  # a crash in native code leaves a trace
    plane = Plane(endpoints, data, host, port)
    main = _main(plane, grace_s, as_json, reload)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def _main(plane: Plane, grace_s: float, as_json: bool, reload: Callable[[], dict[str, Endpoint]] | None) -> int:
    signals = Signals()
    reloader = None if reload is None else Reloader(plane, reload, Path.cwd())
    await plane.start()
    try:
        needs_key = not is_loopback(plane.host) or bool(await plane.store.list_keys())
        print((banner_json if as_json else banner)(plane, needs_key), flush=True)
        Reporter(plane)
        watching = None if reloader is None else asyncio.create_task(reloader.run())
        await signals.wait()
        if watching is not None:
            watching.cancel()
    finally:
        await _close(plane, signals, grace_s)
    return 0 if signals.count < 2 else _FORCED_STATUS


class Signals:
    """Counts the wishes to end from now on: SIGINT, SIGTERM and, unless it is ignored (nohup), SIGHUP."""

    def __init__(self) -> None:
        self.count = 0
        self._last_at = -math.inf
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._came, number)

    def _came(self, number: signal.Signals) -> None:
        now = asyncio.get_running_loop().time()
        again = now - self._last_at < _SAME_WISH_S
        # The log must say why a plane ended, also when nobody remembers to have asked for it.
        log.info("plane.signal name=%s%s", number.name, " again=ignored" if again else "")
        if not again:
            self._last_at = now
            self.count += 1
            self._changed.set()

    async def wait(self) -> None:
        """Returns at the next signal that nobody has waited for."""
        await self._changed.wait()
        self._changed.clear()


async def _close(plane: Plane, signals: Signals, grace_s: float) -> None:
    running = sum(plane.store.counts(name).in_progress for name in plane.endpoints)
    if running:
        note(f"Waiting up to {grace_s:g} s for {plural(running, 'job')} to end; Ctrl-C again ends at once.")
    closing = asyncio.ensure_future(plane.close(grace_s))
    hurry = asyncio.ensure_future(signals.wait())
    await asyncio.wait({closing, hurry}, return_when=asyncio.FIRST_COMPLETED)
    if closing.done():
        hurry.cancel()
        return closing.result()
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    try:
        # Without a grace: the workers are killed and their jobs go back to the queue.
        await asyncio.wait_for(plane.close(0.0), _HURRY_S)
    except Exception as exc:
        # What was acknowledged is on the disk, and the next start puts the jobs back in the queue.
        log.warning("plane.forced_end reason=%r", exc)
        for worker in plane.fleet.list():
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)
        (plane.data / "plane.json").unlink(missing_ok=True)
        os._exit(_FORCED_STATUS)


class Reporter:
    """Says in words on standard error when an endpoint's workers fail."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._said: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        plane.registry.listen(self._heard)

    def _heard(self, kind: WorkerEventKind, worker: Worker) -> None:
        if kind == "ready":
            self._said.pop(worker.endpoint, None)
        if kind == "gone":
            task = asyncio.ensure_future(self._explain(worker.endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _explain(self, name: str) -> None:
        plane, endpoint = self._plane, self._plane.endpoints.get(name)
        state = plane.scaling.state(name)
        if endpoint is None or not (state.failures or state.crashes):
            return
        from zeroidle.insight.gather import Sources  # most planes never need the words for what went wrong
        from zeroidle.insight.why import crash_loop

        facts = await Sources(plane.store, plane.registry, plane.endpoints, plane.scaling).endpoint_facts(endpoint)
        verdict = crash_loop(facts)
        if verdict is None or self._said.get(name) == verdict.code:
            return
        self._said[name] = verdict.code  # once, not at every try
        lines = [style(f"{name}: {verdict.sentence}", "31", sys.stderr), *(f"  | {line}" for line in verdict.evidence)]
        note("\n".join([*lines, f"  {verdict.advice}"]))
