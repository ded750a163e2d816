"""What weights in an image cost, and what they cost on a volume."""

from __future__ import annotations

from dataclasses import dataclass

#: RunPod's list prices of August 2026 for a network volume, in USD per GB and month: up to 1 TB, and what is above.
VOLUME_USD = 0.07
VOLUME_USD_ABOVE = 0.05
VOLUME_TB = 1000.0
#: The smallest volume, in GB.
VOLUME_LEAST_GB = 10.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Assumed speeds in bytes per second; set them to what you measure. `push` is an upload from a desk, `pull` a
    host that fetches and unpacks an image, `volume` a worker that reads its volume, `download` from the hub."""

    push: float = 12.5e6
    pull: float = 100e6
    volume: float = 400e6
    download: float = 100e6


@dataclass(frozen=True, slots=True)
class Cost:
    """Times in seconds, sizes in bytes, rent in USD per month. Weights hardly compress, so an image grows by their
    full size."""

    size_bytes: int
    push_s: float
    pull_s: float
    fill_s: float
    read_s: float
    rent_usd_month: float


def cost(size_bytes: int, rates: Rates, usd_gb_month: float | None = None) -> Cost:
    """The cost of so many bytes of weights. `usd_gb_month` replaces the list prices."""
    return Cost(
        size_bytes,
        size_bytes / rates.push,
        size_bytes / rates.pull,
        size_bytes / rates.download,
        size_bytes / rates.volume,
        rent(size_bytes, usd_gb_month),
    )


def rent(size_bytes: int, usd_gb_month: float | None = None) -> float:
    """A month of a volume that holds them with a fifth to spare, in whole GB, in USD."""
    if size_bytes == 0:
        return 0.0
    size_gb = max(VOLUME_LEAST_GB, float(-(-size_bytes * 12 // 10 // 10**9)))
    if usd_gb_month is not None:
        return size_gb * usd_gb_month
    return min(size_gb, VOLUME_TB) * VOLUME_USD + max(0.0, size_gb - VOLUME_TB) * VOLUME_USD_ABOVE
