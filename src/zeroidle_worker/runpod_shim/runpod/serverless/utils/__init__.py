"""`runpod.serverless.utils`: the `rp_*` helpers."""

from __future__ import annotations

from zeroidle_worker.sdk_names import answer

__all__ = ["download_files_from_urls", "upload_file_to_bucket", "upload_in_memory_object"]

_UPLOAD = "runpod.serverless.utils.rp_upload"

__getattr__ = answer(
    "runpod.serverless.utils",
    __path__,
    {
        "download_files_from_urls": "runpod.serverless.utils.rp_download",
        "upload_file_to_bucket": _UPLOAD,
        "upload_in_memory_object": _UPLOAD,
    },
)
