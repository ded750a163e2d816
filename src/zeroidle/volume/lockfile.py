"""zeroidle.lock: every source of a project pinned to its revision, files, sizes and hashes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zeroidle.errors import ConfigError, SourceError
from zeroidle.volume.manifest import File, Manifest, validated
from zeroidle.volume.weights import Weights

NAME = "zeroidle.lock"
_VERSION = 1


class _Lock(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    weights: list[Manifest]


def read(path: Path) -> dict[Weights, Manifest]:
    """What the lock file pins; empty when there is none. Raises ConfigError when it is not one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.") from exc
    try:
        lock = msgspec.json.decode(data, type=_Lock)
    except msgspec.MsgspecError as exc:
        raise ConfigError(f'{path} is not a lock file ({exc}); delete it and run "zeroidle volume lock".') from exc
    if lock.version != _VERSION:
        raise ConfigError(f"{path} has version {lock.version}, this zeroidle knows {_VERSION}; use a newer zeroidle.")
    try:
        return {validated(manifest).weights: manifest for manifest in lock.weights}
    except SourceError as exc:
        raise ConfigError(f"{path}: {exc.message}") from exc


def write(path: Path, manifests: Iterable[Manifest]) -> None:
    """Writes the lock file, in one order and one form, so that a change of it reads well."""
    ordered = sorted((_lean(m) for m in manifests), key=lambda m: m.weights.text)
    found = {"version": _VERSION, "weights": [msgspec.to_builtins(m) for m in ordered]}
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(found, indent=1) + "\n")
    os.replace(fresh, path)


def pinnable(manifest: Manifest) -> bool:
    """Whether every file has a hash, so that the lock file decides its content."""
    return all(file.sha256 or file.check for file in manifest.files)


def _lean(manifest: Manifest) -> Manifest:
    """Without what the hashes say already."""
    files = tuple(msgspec.structs.replace(f, etag=None) if f.sha256 or f.check else f for f in manifest.files)
    return msgspec.structs.replace(manifest, files=files)


@dataclass(frozen=True, slots=True)
class Change:
    """What an upgrade changes in one source; `old` is None for one that was not locked."""

    weights: Weights
    old: Manifest | None
    new: Manifest

    @property
    def is_one(self) -> bool:
        """Whether anything differs."""
        return self.old is None or self.old.revision != self.new.revision or bool(self.names)

    @property
    def names(self) -> list[tuple[str, str]]:
        """Pairs of what happened ("added", "removed", "changed") and a file name."""
        before = {f.path: f for f in self.old.files} if self.old else {}
        after = {f.path: f for f in self.new.files}
        found = [("added", p) for p in after if p not in before] if self.old else []
        found += [("removed", p) for p in before if p not in after]
        found += [("changed", p) for p in after if p in before and _differs(before[p], after[p])]
        return sorted(found, key=lambda pair: pair[1])


def _differs(old: File, new: File) -> bool:
    if old.sha256 and new.sha256:
        return old.sha256 != new.sha256
    if old.check and new.check:
        return old.check != new.check
    return old.size != new.size


def changes(old: Mapping[Weights, Manifest], new: Iterable[Manifest]) -> list[Change]:
    """What is different, source by source."""
    return [Change(m.weights, old.get(m.weights), m) for m in new]
