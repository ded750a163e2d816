"""RunPod's two rules against a second implementation, request by request, on seeded traces."""

from __future__ import annotations

import math

import pytest

from tests.scaling.traces import Rule, World, run
from zeroidle.scaling.policy import Default, QueueDelay, RequestCount, ScalingPolicy

LIMITS = [(0, 3), (0, 1), (1, 4), (0, 20)]


def follow(policy: ScalingPolicy, limits: tuple[int, int], boot_s: float) -> Rule:
    def rule(world: World) -> tuple[int, float | None]:
        decision = policy.desired(world.view(limits, boot_s))
        return decision.n, decision.wake_at

    return rule


def queue_delay(delay_s: float, idle_s: float, limits: tuple[int, int]) -> Rule:
    """Marks each request that has added its worker."""

    def rule(world: World) -> tuple[int, float | None]:
        low, high = limits
        n, wakes = len(world.boxes), []
        if n == 0 and world.queue:
            n = 1
            next(ask for ask in world.queue if not ask.spent).spent = True
        for ask in world.queue:
            if not ask.spent and n < high:
                if world.now - ask.came >= delay_s:
                    ask.spent, n = True, n + 1
                else:
                    wakes.append(ask.came + delay_s)
        for box in world.boxes:
            if box.job is None and box.idle_since is not None and box.ready_at <= world.now:
                if world.now - box.idle_since >= idle_s:
                    n -= 1
                else:
                    wakes.append(box.idle_since + idle_s)
        return max(low, min(high, n)), min(wakes, default=None)

    return rule


def request_count(per_worker: int, limits: tuple[int, int]) -> Rule:
    def rule(world: World) -> tuple[int, float | None]:
        working = [b for b in world.boxes if b.job is not None]
        n = math.ceil((len(world.queue) + len(working)) / per_worker)
        return max(limits[0], min(limits[1], n)), None

    return rule


@pytest.mark.parametrize("seed", range(100))
def test_queue_delay_wants_the_same_number_at_every_instant(seed: int) -> None:
    limits, boot_s = LIMITS[seed % 4], (0.2, 2.0, 30.0)[seed % 3]
    policy = QueueDelay(4.0, 5.0)
    ours = run(seed, follow(policy, limits, boot_s), limits, boot_s, policy.arrived)
    theirs = run(seed, queue_delay(4.0, 5.0, limits), limits, boot_s, lambda now: None)
    assert ours == theirs
    assert ours[-1][1] == limits[0]


@pytest.mark.parametrize("seed", range(100))
def test_request_count_wants_the_same_number_at_every_instant(seed: int) -> None:
    limits, boot_s = LIMITS[seed % 4], (0.2, 2.0, 30.0)[seed % 3]
    ours = run(seed, follow(RequestCount(4), limits, boot_s), limits, boot_s, lambda now: None)
    assert ours == run(seed, request_count(4, limits), limits, boot_s, lambda now: None)


@pytest.mark.parametrize("seed", range(40))
def test_the_default_serves_every_request_and_goes_back_to_its_minimum(seed: int) -> None:
    limits, boot_s = LIMITS[seed % 4], (0.2, 2.0, 30.0)[seed % 3]
    trace = run(seed, follow(Default(5.0), limits, boot_s), limits, boot_s, lambda now: None)
    assert trace[0][1] >= 1
    assert trace[-1][1] == limits[0]
    assert all(limits[0] <= n <= limits[1] for _, n in trace)
