"""The places that weights come from, one file each."""

from __future__ import annotations

from zeroidle.volume.sources.protocol import Origin
from zeroidle.volume.weights import Source


def origin_of(source: Source) -> Origin:
    """Who resolves and serves a source."""
    if source.kind == "hf":
        from zeroidle.volume.sources.hub import HubOrigin

        return HubOrigin(source)
    if source.kind == "s3":
        from zeroidle.volume.sources.s3 import S3Origin

        return S3Origin(source)
    if source.kind == "zenodo":
        from zeroidle.volume.sources.zenodo import ZenodoOrigin

        return ZenodoOrigin(source)
    if source.kind == "file":
        from zeroidle.volume.sources.local import LocalOrigin

        return LocalOrigin(source)
    from zeroidle.volume.sources.web import WebOrigin

    return WebOrigin(source)
