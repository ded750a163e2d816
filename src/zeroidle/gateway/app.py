"""The gateway's root: finds the handler by the first piece of the path, checks keys, turns errors into answers."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from zeroidle.errors import NotFound
from zeroidle.gateway.auth import Auth
from zeroidle.gateway.body import LARGE_BYTES
from zeroidle.gateway.message import Handler, Later, Quick, Request, Response
from zeroidle.gateway.refusal import refusal

_CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after", "vary": "origin"}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
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


class _Mount(Struct, frozen=True):
    handler: Handler
    public: bool
    browser: bool
    admit: Admit
    quick: Quick | None


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
        quick: Quick | None = None,
    ) -> None:
        """Gives all paths that begin with `/segment` to `handler`, which sees the whole path.

        `public`: it checks its callers itself, or need not. `browser`: pages of other sites may call it (CORS).
        `admit` says how long a large body may be; without it none is taken. `quick` answers what it can at once.
        """
        self._mounts[segment] = _Mount(handler, public, browser, admit or _small, quick)

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
        except Exception as exc:
            response = refusal(exc, request)
        if "origin" in request.headers and mount is not None and mount.browser:
            response.headers.update(_CORS)
        return response

    def quick(self, request: Request) -> Response | Later | None:
        """The answer where it needs no coroutine; None: ask `handle`. Never raises an Error."""
        try:
            mount = self._find(request)
            # Pages of other sites and what they ask before, and keys that must be read again, go the long way.
            if mount.quick is None or self._auth.stale or "origin" in request.headers or request.method == "OPTIONS":
                return None
            if not mount.public:
                self._auth.check_now(request)
            return mount.quick(request)
        except Exception as exc:
            return refusal(exc, request)

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


def _small(request: Request) -> int:
    return LARGE_BYTES - 1


async def _healthz(request: Request) -> Response:
    return Response(200, b'{"status":"ok"}')
