"""Which variables of the plane's environment a worker gets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from zeroidle.endpoint import Endpoint

_NAMES = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
})  # fmt: skip
_PREFIXES = (
    "LC_", "CUDA_", "NVIDIA_", "NCCL_", "ROCR_", "HIP_", "HSA_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_",
    "TORCH", "PYTORCH_", "TRITON_", "TF_", "JAX_", "XLA_", "HF_", "TRANSFORMERS_", "DIFFUSERS_", "TOKENIZERS_",
)  # fmt: skip
# A name that sounds like a secret is never passed on by itself: give it in the endpoint's `env`.
_SECRET = re.compile(r"TOKEN$|_TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|_KEY$|_KEY_|APIKEY", re.IGNORECASE)


def worker_environment(
    plane: Mapping[str, str], endpoint: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """The plane's harmless variables, then the endpoint's own, then what the plane sets for this worker."""
    passed = {
        name: value
        for name, value in plane.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and not _SECRET.search(name)
    }
    # Unbuffered, because the log is read while the worker runs and must be complete when it is killed.
    return {"PYTHONUNBUFFERED": "1"} | passed | dict(endpoint) | dict(given)


def declared_environment(endpoint: Endpoint) -> dict[str, str]:
    """What the worker of a declared endpoint needs of its settings: they win over the decorator's."""
    found = {
        "ZEROIDLE_FILE_LIMIT_BYTES": str(endpoint.file_limit_bytes),
        "ZEROIDLE_FILE_TIMEOUT_S": str(endpoint.file_timeout_s),
        "ZEROIDLE_PRIVATE_URLS": "1" if endpoint.private_urls else "0",
    }
    if endpoint.declared is not None:
        settings = {"batch": endpoint.batch, "files": endpoint.files, "weights": endpoint.weights}
        found["ZEROIDLE_SETTINGS"] = json.dumps(settings)
    return found
