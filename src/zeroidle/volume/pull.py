"""Bringing weights onto the volume: once, whoever asks, and visible only when complete."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeroidle.errors import VolumeError
from zeroidle.volume import markers, tree
from zeroidle.volume.contents import Contents
from zeroidle.volume.fetch import Cancelled, LeaseLost, SourceChanged
from zeroidle.volume.flush import flush
from zeroidle.volume.inherit import inherit
from zeroidle.volume.lease import Holder, Lease, acquire
from zeroidle.volume.manifest import Manifest
from zeroidle.volume.progress import Progress
from zeroidle.volume.sources import origin_of
from zeroidle.volume.space import check_space
from zeroidle.volume.store import Tree, Volume
from zeroidle.volume.transfer import transfer
from zeroidle.volume.weights import Weights

#: How often a download is begun whose source changes meanwhile, or that is taken over.
_TRIES = 4


def resolve(volume: Volume, weights: Weights, upgrade: bool = False) -> Manifest:
    """The exact files of a request: what it is pinned to, else by the network, remembered. Raises SourceError."""
    if upgrade:
        return _look_up(volume, weights)
    options = volume.options
    while True:
        known = volume.pinned(weights)
        if known is not None:
            return known
        # The looking up is done once as well: many workers that start together would be refused by a hub's limits.
        found = acquire(volume.layout, f"look-{weights.key}", volume.owner, volume.beater, volume.watch,
                        options.ttl_s, dict)  # fmt: skip
        if isinstance(found, Lease):
            try:
                return volume.pinned(weights) or _look_up(volume, weights)
            finally:
                found.release()
        if volume.cancel.wait(options.poll_s):
            raise Cancelled()


def _look_up(volume: Volume, weights: Weights) -> Manifest:
    manifest = origin_of(weights.parsed).resolve(weights, volume.options.backoff())
    markers.remember(volume.layout, weights, manifest)
    return manifest


def pull(volume: Volume, weights: Weights, progress: Progress | None = None, upgrade: bool = False) -> Tree:
    """Makes sure that weights are complete on the volume and returns their tree.

    Of all processes on all hosts one fetches; the others wait for it, and go on from its bytes when it dies. Raises
    SourceError, DamagedError, VolumeFull or VolumeError, each with one sentence; what has arrived is kept.
    """
    seen = progress or Progress()
    seen.set(stage="resolve", source=weights.text)
    if weights.parsed.kind == "file" and weights not in volume.lock and os.path.exists(weights.parsed.name):
        upgrade = True  # to look whether local files have changed costs nothing
    if not upgrade and (warm := volume.ready(weights)) is not None:
        return _finish(volume, warm, seen)
    for _ in range(_TRIES):
        manifest = resolve(volume, weights, upgrade)
        seen.set(revision=manifest.revision)
        try:
            return _finish(volume, _pull(volume, weights, manifest, seen), seen)
        except SourceChanged as exc:
            if weights in volume.lock:
                raise VolumeError(
                    f"{weights.text!r} is no longer what zeroidle.lock pins ({exc}); see the change and run "
                    f'"zeroidle volume upgrade".'
                ) from exc
            upgrade = True
        except tree.BlobMissing:
            continue  # evicted between the look and the link
        except LeaseLost:
            continue  # the one that took over is waited for
        except OSError as exc:
            raise VolumeError(f"The volume {volume.layout.root} cannot be used: {exc}.") from exc
    raise VolumeError(
        f"{weights.text!r} changed, or was taken over or evicted, {_TRIES} times while it was fetched; pin a revision "
        "or a hash, and pull again."
    )


def _finish(volume: Volume, found: Tree, progress: Progress) -> Tree:
    progress.begin(found.manifest.size_bytes, len(found.manifest.files))
    progress.found(found.manifest.size_bytes)
    progress.set(stage="done", revision=found.manifest.revision, files_done=len(found.manifest.files))
    with contextlib.suppress(OSError):  # a read-only mount serves as well
        markers.touch_used(volume.layout, found.manifest.key)
    return found


def mend(volume: Volume, manifest: Manifest, broken: frozenset[str], progress: Progress) -> Tree:
    """Fetches the broken contents of a complete tree again, of large ones only the stretches that are wrong. Raises as
    `pull`."""
    try:
        return _pull(volume, manifest.weights, manifest, progress, broken)
    except (SourceChanged, LeaseLost, tree.BlobMissing) as exc:
        raise VolumeError(
            f"{manifest.source!r} could not be mended, because something else changed it meanwhile; verify again."
        ) from exc
    except OSError as exc:
        raise VolumeError(f"The volume {volume.layout.root} cannot be used: {exc}.") from exc


def _pull(
    volume: Volume, weights: Weights, manifest: Manifest, progress: Progress, broken: frozenset[str] = frozenset()
) -> Tree:
    if not broken and (warm := volume.holds(weights, manifest)) is not None:
        return warm
    begin = time.monotonic()
    lease = _lease(volume, weights, manifest, progress, wanted=not broken)
    if isinstance(lease, Tree):
        return lease
    try:
        if not broken and (warm := volume.holds(weights, manifest)) is not None:
            return warm
        return _work(volume, weights, manifest, progress, lease, begin, broken)
    except OSError:
        if lease.lost():  # whoever took over has cleared our folder away
            raise LeaseLost() from None
        raise
    finally:
        lease.release()


def _lease(volume: Volume, weights: Weights, manifest: Manifest, progress: Progress, wanted: bool) -> Lease | Tree:
    """The right to fetch; or the tree if it is wanted, when somebody else has fetched it meanwhile."""

    def payload() -> Mapping[str, Any]:
        now = progress.snapshot()
        return {"done": now.done_bytes, "total": now.total_bytes, "rate": int(now.rate), "stage": now.stage}

    options = volume.options
    while True:
        found = acquire(
            volume.layout, manifest.lease_key, volume.owner, volume.beater, volume.watch, options.ttl_s, payload
        )
        if isinstance(found, Lease):
            return found
        _show(progress, found)
        if volume.cancel.wait(options.poll_s):
            raise Cancelled()
        if wanted and (warm := volume.holds(weights, manifest)) is not None:
            return warm


def _show(progress: Progress, holder: Holder) -> None:
    says = holder.says
    who = f"process {holder.owner.pid}" if holder.owner is not None else "another process"
    here = holder.owner is not None and holder.owner.alive() is not None
    done, total = int(says.get("done", 0)), int(says.get("total", 0))
    progress.begin(total, 0)
    progress.found(done)
    progress.set(stage="wait", waits_for=who if here else f"{who} on another host")


def _work(
    volume: Volume,
    weights: Weights,
    manifest: Manifest,
    progress: Progress,
    lease: Lease,
    begin: float,
    broken: frozenset[str],
) -> Tree:
    layout = volume.layout
    markers.want(layout, manifest)
    progress.begin(manifest.size_bytes, len(manifest.files))
    progress.set(stage="check", waits_for="")
    home = inherit(layout, lease)
    contents = Contents(volume, home, progress)
    known = contents.known(manifest, broken)
    for sha256 in broken:
        contents.seed(sha256)
    check_space(volume, manifest, known, home)
    progress.set(stage="fetch")
    complete = transfer(volume, manifest, known, home, contents, progress, lease)
    progress.set(stage="link")
    path = tree.build(layout, volume.links, complete)
    marker = markers.write(layout, complete, durable=False)
    if not all(layout.blob(str(file.sha256)).exists() for file in complete.files):
        # Evicted before the marker stood, which protects them from here on.
        layout.marker(complete.key).unlink(missing_ok=True)
        raise tree.BlobMissing
    markers.unwant(layout, manifest)
    lease.release()
    _remove_parts(home)
    progress.set(stage="flush")
    ready_at = time.monotonic()
    flush(layout, complete)
    markers.write(layout, complete, durable=True, made_at=marker.made_at)
    now = progress.snapshot()
    return Tree(weights, complete, path, now.fetched_bytes, ready_at - begin, time.monotonic() - ready_at)


def _remove_parts(home: Path) -> None:
    for path in home.glob("*"):
        path.unlink(missing_ok=True)
    for folder in (home, home.parent):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
