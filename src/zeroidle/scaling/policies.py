"""Makes the scaling policy that an endpoint names."""

from __future__ import annotations

from collections.abc import Callable

from zeroidle.endpoint import Scaler
from zeroidle.errors import ConfigError
from zeroidle.scaling.policy import Default, QueueDelay, RequestCount, ScalingPolicy

#: Other packages add policies under this entry point group: name -> callable(scaler, idle_s) -> ScalingPolicy.
ENTRY_POINTS = "zeroidle.scaling"

Maker = Callable[[Scaler, float], ScalingPolicy]

BUILT_IN: dict[str, Maker] = {
    "default": lambda scaler, idle_s: Default(idle_s),
    "queue_delay": lambda scaler, idle_s: QueueDelay(scaler.value or 4.0, idle_s),
    "request_count": lambda scaler, idle_s: RequestCount(max(1, int(scaler.value or 4))),
}


def make_policy(scaler: Scaler, idle_s: float) -> ScalingPolicy:
    """A fresh policy for one endpoint; `idle_s` is its idle time-out in seconds. Raises ConfigError."""
    maker = BUILT_IN.get(scaler.kind) or _installed(scaler.kind)
    return maker(scaler, idle_s)


def _installed(name: str) -> Maker:
    from importlib.metadata import entry_points  # slow to import, and rarely needed

    found = entry_points(group=ENTRY_POINTS)
    for point in found:
        if point.name == name:
            maker: Maker = point.load()
            return maker
    known = ", ".join(sorted([*BUILT_IN, *(point.name for point in found)]))
    raise ConfigError(f"scaler is {name!r}; it must be one of {known}.")
