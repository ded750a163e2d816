"""Reads what Python's import profile (-X importtime) says, as a tree."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


@dataclass(slots=True)
class Import:
    """One module: its own time and that with everything it imported, in seconds."""

    name: str
    self_s: float
    total_s: float
    children: list[Import] = field(default_factory=list)


def parse(lines: Iterable[str]) -> list[Import]:
    """The modules that the program imported itself, each with those below it. Other lines are passed over."""
    waiting: list[tuple[int, Import]] = []  # depth and module; a module is printed after those that it imported
    for line in lines:
        match = _LINE.search(line)
        if match is None:
            continue
        depth = len(match[3]) // 2
        module = Import(match[4], int(match[1]) / 1e6, int(match[2]) / 1e6)
        while waiting and waiting[-1][0] > depth:
            module.children.insert(0, waiting.pop()[1])
        waiting.append((depth, module))
    return [module for _, module in waiting]


def render(modules: list[Import], share: float = 0.05, depth: int = 4) -> list[str]:
    """The tree, without what takes less than `share` of all, slowest first."""
    total_s = sum(module.total_s for module in modules) or 1e-9
    lines: list[str] = []

    def show(found: list[Import], level: int) -> None:
        for module in sorted(found, key=lambda m: -m.total_s):
            if module.total_s >= share * total_s and level < depth:
                lines.append(f"{module.total_s * 1000:9.1f} ms  {'  ' * level}{module.name}")
                show(module.children, level + 1)

    show(modules, 0)
    return lines
