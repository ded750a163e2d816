"""The RUNPOD_* variables that make an unmodified `runpod` worker speak to this plane."""

from __future__ import annotations

from urllib.parse import quote

from zeroidle.endpoint import Endpoint
from zeroidle.worker import Worker

#: How often a worker pings. Two pings that no longer name a job end it, so this bounds how late a lost result is seen.
PING_INTERVAL_MS = 2000


def worker_env(url: str, endpoint: Endpoint, worker: Worker) -> dict[str, str]:
    """All RUNPOD_* variables for one worker; `url` is the plane's base URL.

    Every template has a `?` already, because the SDK only ever appends `&key=value` to it. The token is not in it: the
    SDK writes these addresses into its log.
    """
    base = f"{url.rstrip('/')}/worker/{quote(endpoint.name, safe='')}"
    query = f"?worker={quote(worker.id, safe='')}"
    # The SDK's own checks want 4 GB of free memory, 10 % of free disk and a public DNS server.
    checks = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true"}
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID{query}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID{query}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID{query}",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID{query}",
        "RUNPOD_PING_INTERVAL": str(PING_INTERVAL_MS),
        "RUNPOD_AI_API_KEY": worker.token,
        "RUNPOD_POD_ID": worker.id,
        "RUNPOD_POD_HOSTNAME": worker.id,
        "RUNPOD_ENDPOINT_ID": endpoint.name,
        **{name: value for name, value in checks.items() if name not in endpoint.env},
    }
