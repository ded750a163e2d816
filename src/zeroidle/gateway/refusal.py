"""The answer to a request that failed: one sentence, the status that goes with it, and nothing of the inside."""

from __future__ import annotations

import logging

from zeroidle.errors import RequestError, StoreError, StoreFull
from zeroidle.gateway.limits import LimitReached
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.reply import failure

log = logging.getLogger(__name__)

_STORE_RETRY_S = "5"


def refusal(exc: Exception, request: Request) -> Response:
    """The answer to a request at which `exc` was raised."""
    if isinstance(exc, RequestError):
        headers = {"retry-after": str(exc.retry_after_s)} if isinstance(exc, LimitReached) else {}
        if exc.http_status == 401:
            headers["www-authenticate"] = "Bearer"
        return failure(exc.http_status, exc.message, headers)
    if isinstance(exc, StoreError):
        log.error("http.store_failed path=%s error=%s", request.path, exc)
        text = exc.message if isinstance(exc, StoreFull) else "The job store cannot be used; see the server's log."
        return failure(503, text, {"retry-after": _STORE_RETRY_S})
    log.error("http.handler_failed method=%s path=%s", request.method, request.path, exc_info=exc)
    return failure(500, "The server failed at this request; its log says why.")
