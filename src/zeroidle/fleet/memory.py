"""How much memory a process holds alone and how much it shares, as the kernel counts it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one process. `private`: pages of its own; `shared`: pages that others map as well;
    `pss`: its private pages and its part of the shared ones, so that the sum over all processes is what is used."""

    private_bytes: int
    shared_bytes: int
    pss_bytes: int


def read(pid: int) -> Memory | None:
    """The memory of a process of ours, or None when it has ended. Takes up to some milliseconds for a large one."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            lines = file.readlines()[1:]
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(
        private_bytes=1024 * (kib.get("Private_Clean", 0) + kib.get("Private_Dirty", 0)),
        shared_bytes=1024 * (kib.get("Shared_Clean", 0) + kib.get("Shared_Dirty", 0)),
        pss_bytes=1024 * kib.get("Pss", 0),
    )
