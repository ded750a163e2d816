"""GET /docs: a page on which every endpoint can be tried, and the list of endpoints that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from zeroidle.endpoint import Endpoint
from zeroidle.errors import NotFound
from zeroidle.gateway.auth import Auth
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.reply import failure

_FOLDER = Path(__file__).parent / "pages"
_FILES = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/": ("docs.html", "text/html; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
    "/docs/form.js": ("form.js", "text/javascript; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
}
# Results show files from anywhere as media, but no script, style or frame comes from elsewhere.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src * data: blob:; media-src * data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Docs:
    """Mount it public: the page holds nothing of the user's, and its list of endpoints asks for a key itself."""

    def __init__(self, endpoints: Mapping[str, Endpoint], auth: Auth) -> None:
        self._endpoints = endpoints
        self._auth = auth

    async def handle(self, request: Request) -> Response:
        """Answers with the page, one of its parts, or the endpoints as JSON."""
        if request.method not in ("GET", "HEAD"):
            return failure(405, f"/docs takes GET, HEAD, not {request.method}.", {"allow": "GET, HEAD"})
        if request.path == "/docs/endpoints.json":
            await self._auth.check(request)
            return Response(200, msgspec.json.encode([_described(e) for e in self._sorted()]))
        found = _FILES.get(request.path)
        if found is None:
            raise NotFound(f"There is nothing at {request.path[:100]!r}; the page is at /docs.")
        name, content_type = found
        return Response(200, (_FOLDER / name).read_bytes(), content_type, dict(_HEADERS))

    def _sorted(self) -> list[Endpoint]:
        return sorted(self._endpoints.values(), key=lambda e: e.name)


def _described(endpoint: Endpoint) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "doc": endpoint.doc,
        "input": endpoint.input_schema,
        "output": endpoint.output_schema,
    }
