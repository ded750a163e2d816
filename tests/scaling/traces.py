"""A small event simulation of one endpoint, to drive a scaling rule over a seeded trace."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from zeroidle.scaling.policy import Starting, View


@dataclass(slots=True)
class Ask:
    """One request, with a mark that a rule may set."""

    came: float
    run_s: float
    spent: bool = False


@dataclass(slots=True)
class Box:
    """One simulated worker."""

    since: float
    ready_at: float
    idle_since: float | None = None
    job: Ask | None = None


@dataclass(slots=True)
class World:
    """What is so at an instant."""

    now: float = 0.0
    queue: list[Ask] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    def view(self, limits: tuple[int, int], boot_s: float) -> View:
        """The same, as a policy sees it."""
        ready = [b for b in self.boxes if b.ready_at <= self.now]
        return View(
            now=self.now,
            queued=len(self.queue),
            oldest_at=self.queue[0].came if self.queue else None,
            in_flight=sum(b.job is not None for b in self.boxes),
            ready=len(ready),
            starting=[Starting(b.since, b.ready_at) for b in self.boxes if b.ready_at > self.now],
            idle_since=sorted(b.idle_since for b in ready if b.job is None and b.idle_since is not None),
            min_workers=limits[0],
            max_workers=limits[1],
            boot_s=boot_s,
        )


#: A rule answers the wanted number of workers, and when it wants to be asked again.
Rule = Callable[[World], tuple[int, float | None]]


def arrivals(seed: int) -> Iterator[tuple[float, float]]:
    """(time, run time) of a seeded trace: quiet stretches, single requests and bursts."""
    rng = random.Random(seed)
    now = 0.0
    for _ in range(rng.randint(3, 12)):
        now += rng.expovariate(1 / 12)
        for _ in range(rng.choice([1, 1, 2, 8])):
            now += rng.expovariate(2.0)
            yield now, rng.expovariate(1 / 3)


def run(
    seed: int, rule: Rule, limits: tuple[int, int], boot_s: float, came: Callable[[float], None]
) -> list[tuple[float, int]]:
    """n(t): the wanted number at each instant at which the rule was asked, until all is done and quiet."""
    world, trace = World(), []
    events: list[tuple[float, int, Ask | None]] = [(t, i, Ask(t, s)) for i, (t, s) in enumerate(arrivals(seed))]
    heapq.heapify(events)
    number = len(events)
    while events and len(trace) < 5000:
        world.now, _, ask = heapq.heappop(events)
        if ask is not None:
            world.queue.append(ask)
            came(world.now)
        for at in _work(world):
            heapq.heappush(events, (at, number, None))
            number += 1
        wanted, wake = rule(world)
        trace.append((world.now, wanted))
        for at in _carry_out(world, wanted, boot_s):
            heapq.heappush(events, (at, number, None))
            number += 1
        if wake is not None:
            heapq.heappush(events, (max(wake, world.now + 1e-6), number, None))
            number += 1
    assert not world.queue and len(trace) < 5000
    return trace


def _work(world: World) -> Iterator[float]:
    for box in world.boxes:
        if box.job is not None and box.idle_since is not None and box.idle_since <= world.now:
            box.job = None  # while it works, `idle_since` is when it will be idle
        if box.ready_at <= world.now and box.idle_since is None:
            box.idle_since = box.ready_at
    for ask in list(world.queue):
        free = [b for b in world.boxes if b.ready_at <= world.now and b.job is None]
        if not free:
            return
        box = max(free, key=lambda b: b.idle_since or 0.0)  # the most recently used
        world.queue.remove(ask)
        box.job, box.idle_since = ask, world.now + ask.run_s
        yield box.idle_since


def _carry_out(world: World, wanted: int, boot_s: float) -> Iterator[float]:
    while wanted > len(world.boxes):
        box = Box(world.now, world.now + boot_s)
        world.boxes.append(box)
        yield box.ready_at
    idle = [b for b in world.boxes if b.job is None and b.ready_at <= world.now]
    idle.sort(key=lambda b: b.idle_since or 0.0)
    for box in idle[: len(world.boxes) - wanted]:
        world.boxes.remove(box)
