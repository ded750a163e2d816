"""The gateway's root: finds the handler by the first piece of the path, checks keys, turns errors into answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from zeroidle.errors import NotFound, RequestError, StoreError, StoreFull
from zeroidle.gateway.auth import Auth
from zeroidle.gateway.body import LARGE_BYTES
from zeroidle.gateway.limits import LimitReached
from zeroidle.gateway.message import Handler, Request, Response
from zeroidle.gateway.reply import failure

log = logging.getLogger(__name__)

_STORE_RETRY_S = "5"
_CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after", "vary": "origin"}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, HEAD, POST, OPTIONS",
    "access-control-allow-headers": "authorization, content-type, idempotency-key, x-request-id",
    "access-control-max-age": "600",
}

Admit = Callable[[Request], int]


def later(make: Callable[[], Handler]) -> Handler:
    """A handler that is made at its first request: a plane that starts need not import what is seldom asked for."""
    made: list[Handler] = []

    async def handle(request: Request) -> Response:
        if not made:
            made.append(make())
        return await made[0](request)

    return handle


@dataclass(frozen=True, slots=True)
class _Mount:
    handler: Handler
    public: bool
    browser: bool
    admit: Admit


class App:
    """A handler made of handlers. Hand `handle` and `admit` to a server."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._mounts: dict[str, _Mount] = {}
        self.mount("healthz", _healthz, public=True, admit=_small)

    def mount(
        self,
        segment: str,
        handler: Handler,
        *,
        public: bool = False,
        browser: bool = False,
        admit: Admit | None = None,
    ) -> None:
        """Gives all paths that begin with `/segment` to `handler`, which sees the whole path.

        `public`: it checks its callers itself, or need not. `browser`: pages of other sites may call it (CORS).
        `admit` says how long a large body may be; without it none is taken.
        """
        self._mounts[segment] = _Mount(handler, public, browser, admit or _small)

    async def handle(self, request: Request) -> Response:
        """Answers one request; never raises an Error."""
        mount = None
        try:
            mount = self._find(request)
            if request.method == "OPTIONS" and mount.browser:
                return _preflight(request)
            if not mount.public:
                if self._auth.stale:
                    await self._auth.refresh()
                self._auth.check_now(request)
            response = await mount.handler(request)
        except RequestError as exc:
            response = _refusal(exc)
        except StoreError as exc:
            log.error("http.store_failed path=%s error=%s", request.path, exc)
            text = exc.message if isinstance(exc, StoreFull) else "The job store cannot be used; see the server's log."
            response = failure(503, text, {"retry-after": _STORE_RETRY_S})
        except Exception:
            log.exception("http.handler_failed method=%s path=%s", request.method, request.path)
            response = failure(500, "The server failed at this request; its log says why.")
        if "origin" in request.headers and mount is not None and mount.browser:
            response.headers.update(_CORS)
        return response

    def admit(self, request: Request) -> int:
        """How long this request's body may be, before it goes to disk.

        Raises RequestError, also to a caller without a key.
        """
        mount = self._find(request)
        if not mount.public:
            self._auth.check_now(request)
        return mount.admit(request)

    def _find(self, request: Request) -> _Mount:
        path = request.path
        mount = self._mounts.get(path.split("/", 2)[1]) if path.startswith("/") else None
        if mount is None:
            raise NotFound(f"There is nothing at {request.path[:100]!r}; jobs are sent to /v2/ENDPOINT/run.")
        return mount


def _preflight(request: Request) -> Response:
    """What a browser asks before a page of another site may call. The key is in a header, so no cookie is at stake:
    any page and any header may come."""
    headers = _CORS | _PREFLIGHT
    asked = request.headers.get("access-control-request-headers")
    if asked:
        headers["access-control-allow-headers"] = asked
    if "access-control-request-private-network" in request.headers:
        headers["access-control-allow-private-network"] = "true"
    return Response(204, headers=headers)


def _refusal(exc: RequestError) -> Response:
    headers = {"retry-after": str(exc.retry_after_s)} if isinstance(exc, LimitReached) else {}
    if exc.http_status == 401:
        headers["www-authenticate"] = "Bearer"
    return failure(exc.http_status, exc.message, headers)


def _small(request: Request) -> int:
    return LARGE_BYTES - 1


async def _healthz(request: Request) -> Response:
    return Response(200, b'{"status":"ok"}')
