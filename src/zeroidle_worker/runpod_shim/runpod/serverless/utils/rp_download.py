"""Downloads the files that a job's input names."""

from __future__ import annotations

import os
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Union
from urllib.parse import urlparse

from .rp_ssrf import iter_content_capped, max_download_bytes, safe_get

HEADERS = {"User-Agent": "runpod-python/0.0.0 (https://runpod.io; support@runpod.io)"}

_TRIES = 3


def calculate_chunk_size(file_size: int) -> int:
    """Bytes per piece for a file of that many bytes."""
    if file_size <= 1024 * 1024:
        return 1024
    return 1024 * 1024 if file_size <= 1024 * 1024 * 1024 else 1024 * 1024 * 10


def extract_disposition_params(content_disposition: str) -> Dict[str, str]:
    """The parameters of a Content-Disposition header."""
    pairs = (part.split("=", 1) for part in content_disposition.split(";") if "=" in part)
    return {key.strip().lower(): value.strip().strip('"') for key, value in pairs}


def download_files_from_urls(job_id: str, urls: Union[str, List[str]]) -> List[Optional[str]]:
    """Downloads one or several URLs at once into jobs/<job id>/downloaded_files; answers their absolute paths in
    order, None for those that failed three times. Raises SSRFError for a URL that is refused."""
    folder = os.path.abspath(os.path.join("jobs", job_id, "downloaded_files"))
    os.makedirs(folder, exist_ok=True)
    with ThreadPoolExecutor() as executor:
        return list(executor.map(lambda url: _into(folder, url), [urls] if isinstance(urls, str) else urls))


def _into(folder: str, url: Optional[str]) -> Optional[str]:
    if url is None:
        return None
    stem = os.path.join(folder, str(uuid.uuid4()))
    for attempt in range(_TRIES):
        try:
            with safe_get(url, timeout=5, headers=HEADERS) as response:
                response.raise_for_status()
                extension = os.path.splitext(_disposition_name(response))[1] or os.path.splitext(urlparse(url).path)[1]
                _save(response, stem + extension)
                return stem + extension
        except OSError as exc:  # `requests`' exceptions are OSErrors
            if attempt == _TRIES - 1:
                print("Failed to download %s: %s" % (url, exc))
                return None
            time.sleep(2**attempt * 0.5)
    return None


def file(file_url: str) -> Dict[str, Any]:
    """Downloads one URL into job_files under a random name; answers file_path, type (its extension), original_name
    and extracted_path: the folder that a zip file was unpacked into, else None."""
    os.makedirs("job_files", exist_ok=True)
    with safe_get(file_url, timeout=30, headers=HEADERS) as response:
        response.raise_for_status()
        original_name = _disposition_name(response) or os.path.basename(urlparse(file_url).path)
        kind = os.path.splitext(original_name)[1].replace(".", "")
        name = str(uuid.uuid4())
        path = os.path.join("job_files", "%s.%s" % (name, kind))
        _save(response, path)
    unpacked = None
    if kind == "zip":
        unpacked = os.path.abspath(os.path.join("job_files", name))
        os.makedirs(unpacked, exist_ok=True)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(unpacked)
    return {
        "file_path": os.path.abspath(path), "type": kind, "original_name": original_name, "extracted_path": unpacked,
    }  # fmt: skip


def _disposition_name(response: Any) -> str:
    return extract_disposition_params(response.headers.get("Content-Disposition") or "").get("filename", "")


def _save(response: Any, path: str) -> None:
    declared = response.headers.get("Content-Length") or ""
    size = calculate_chunk_size(int(declared) if declared.isdigit() else 0)
    with open(path, "wb") as out:
        for chunk in iter_content_capped(response, size, max_download_bytes()):
            out.write(chunk)
