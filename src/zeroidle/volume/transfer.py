"""Fetching the files of one manifest that are missing, under a lease."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from zeroidle.errors import VolumeFull
from zeroidle.volume.contents import Contents
from zeroidle.volume.fetch import Fetch
from zeroidle.volume.filejob import FileJob, Verified, small
from zeroidle.volume.lease import Lease
from zeroidle.volume.manifest import File, Manifest
from zeroidle.volume.part import Part
from zeroidle.volume.progress import Progress
from zeroidle.volume.sources import origin_of
from zeroidle.volume.space import full
from zeroidle.volume.store import Volume


def transfer(
    volume: Volume,
    manifest: Manifest,
    known: Mapping[str, File],
    home: Path,
    contents: Contents,
    progress: Progress,
    lease: Lease,
) -> Manifest:
    """Fetches what is not `known` and returns the manifest with all hashes and sizes. Errors as `pull` says."""
    done: dict[str, Verified] = {}
    lock = threading.Lock()

    def publish(job: FileJob, found: Verified) -> None:
        job.part.finish(found.size)
        contents.publish(job.part.path, job.file, found)
        with lock:
            done[job.file.key] = found
        progress.file_done()

    jobs: list[FileJob] = []
    origin = origin_of(manifest.weights.parsed)
    try:
        try:
            jobs = _jobs(volume, manifest, known, home, progress)
            Fetch(
                jobs, volume.options, progress, volume.cancel,
                locate=lambda job: origin.locate(manifest, job.file),
                publish=publish, advice=origin.advice, lost=lease.lost,
            ).run()  # fmt: skip
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise VolumeFull() from exc
            raise
    except VolumeFull as exc:
        raise full(volume, manifest, {**known, **_by_path(manifest, done)}, home) from exc
    finally:
        for job in jobs:
            job.part.close()
    complete = {**known, **_by_path(manifest, done)}
    return msgspec.structs.replace(manifest, files=tuple(complete[file.path] for file in manifest.files))


def _jobs(
    volume: Volume, manifest: Manifest, known: Mapping[str, File], home: Path, progress: Progress
) -> list[FileJob]:
    """One job for each content; two files of one content are fetched once."""
    jobs: dict[str, FileJob] = {}
    for file in manifest.files:
        if file.path in known:
            continue
        if file.key in jobs:
            progress.found(file.size or 0)
            progress.file_done()
            continue
        part = Part(home / f"{file.key}.part", journaled=not small(file))
        jobs[file.key] = FileJob(file, part, volume.options, progress)
    return list(jobs.values())


def _by_path(manifest: Manifest, done: Mapping[str, Verified]) -> dict[str, File]:
    return {
        file.path: msgspec.structs.replace(file, sha256=done[file.key].sha256, size=done[file.key].size)
        for file in manifest.files
        if file.key in done
    }
