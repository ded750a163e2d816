"""Mending a volume by what a verification found."""

from __future__ import annotations

from collections.abc import Sequence

from zeroidle.volume import markers
from zeroidle.volume.manifest import Marker
from zeroidle.volume.progress import Progress
from zeroidle.volume.pull import mend
from zeroidle.volume.store import Volume
from zeroidle.volume.usage import contents_of
from zeroidle.volume.verify import Report, relink


def repair(volume: Volume, report: Report, chosen: Sequence[Marker], progress: Progress) -> int:
    """Fetches what is broken, makes the names anew, and returns how many bytes were fetched. Raises as `pull` when a
    source no longer has it."""
    bad = frozenset(broken.sha256 for broken in report.broken)
    fetched = 0
    for marker in chosen:
        mine = bad & contents_of(marker)
        if mine:
            fetched += mend(volume, marker.manifest, mine, progress).fetched_bytes
            bad -= mine
    # Trees that share a content which was replaced still have its old names.
    relink(volume, markers.all_of(volume.layout))
    return fetched
