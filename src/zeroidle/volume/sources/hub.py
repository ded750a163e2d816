"""Hugging Face's hub, listed by its own client."""

from __future__ import annotations

import os
import time
from urllib.parse import quote

from zeroidle.errors import SourceError
from zeroidle.volume.http import Location
from zeroidle.volume.manifest import File, Manifest, select
from zeroidle.volume.retry import RETRYABLE, Backoff, TransferError, retry_after_s
from zeroidle.volume.weights import Source, Weights

_GATED = "If it is private or gated, ask for access on its page and set HF_TOKEN in the environment."


class HubOrigin:
    """A model repository. The endpoint is HF_ENDPOINT or huggingface.co, the token HF_TOKEN; the token goes to that
    host only."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")

    def resolve(self, weights: Weights, backoff: Backoff) -> Manifest:
        """Asks for the commit and its files with their sizes and hashes. SourceError in one sentence."""
        revision = self._source.revision or "main"
        while True:
            try:
                return self._list(weights, revision)
            except TransferError as exc:
                wait_s = backoff.next_s(exc)
                if wait_s is None:
                    raise SourceError(f"{weights.source!r} cannot be listed: {exc}.") from exc
                time.sleep(wait_s)

    def _list(self, weights: Weights, revision: str) -> Manifest:
        try:
            from huggingface_hub import HfApi
            from huggingface_hub.errors import (
                GatedRepoError,
                HfHubHTTPError,
                OfflineModeIsEnabled,
                RepositoryNotFoundError,
                RevisionNotFoundError,
            )
        except ImportError as exc:
            raise SourceError('hf: sources need one more package: pip install "zeroidle[volume]"') from exc
        name = self._source.name
        try:
            info = HfApi(endpoint=self._endpoint, token=_token() or False).model_info(
                name, revision=revision, files_metadata=True, timeout=30
            )
        except RevisionNotFoundError as exc:
            raise SourceError(f"The hub has no revision {revision!r} of {name}; name a branch, tag or commit.") from exc
        except GatedRepoError as exc:
            raise SourceError(f"The hub keeps {name} behind an agreement. {_GATED}") from exc
        except RepositoryNotFoundError as exc:
            raise SourceError(f"The hub shows no repository {name}. {_GATED}") from exc
        except OfflineModeIsEnabled as exc:
            raise SourceError(f"{weights.source!r} is not on the volume, and HF_HUB_OFFLINE forbids to ask.") from exc
        except HfHubHTTPError as exc:
            status = exc.response.status_code
            wait_s = retry_after_s(exc.response.headers.get("Retry-After"))
            raise TransferError(f"the hub answers HTTP {status}", status in RETRYABLE, wait_s) from exc
        except OSError as exc:
            raise TransferError(f"the hub does not answer: {type(exc).__name__}") from exc
        except Exception as exc:
            # The client's HTTP library has its own tree of errors, which changes with its major versions.
            if "http" not in type(exc).__module__:
                raise
            raise TransferError(f"the hub does not answer: {type(exc).__name__}") from exc
        files = [
            File(
                path=entry.rfilename,
                size=entry.lfs.size if entry.lfs is not None else entry.size,
                sha256=entry.lfs.sha256 if entry.lfs is not None else None,
                check=f"git-sha1:{entry.blob_id}" if entry.lfs is None and entry.blob_id else None,
                etag=entry.lfs.sha256 if entry.lfs is not None else entry.blob_id,
            )
            for entry in info.siblings or []
        ]
        return select(weights, str(info.sha), files)

    def locate(self, manifest: Manifest, file: File) -> Location:
        """The resolve address, which redirects large files to signed ones."""
        url = f"{self._endpoint}/{self._source.name}/resolve/{manifest.revision}/{quote(file.path)}"
        token = _token()
        return Location(url, {"Authorization": f"Bearer {token}"} if token else {})

    def advice(self, status_text: str) -> str:
        """What a refusal most often means."""
        return _GATED if any(code in status_text for code in ("401", "403")) else ""


def _token() -> str | None:
    return os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or None
