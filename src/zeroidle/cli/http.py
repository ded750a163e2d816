"""A small HTTP client for the commands: JSON in and out, errors as one sentence."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from zeroidle.errors import ConfigError, Error

TIMEOUT_S = 120.0


class Unreachable(Error):
    """The server cannot be reached."""


class Refused(Error):
    """The server refused the request. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Speaks to one server over a connection that is kept open. `key` is sent as a Bearer token and shown nowhere."""

    def __init__(self, url: str, key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is not a URL; write http://HOST:PORT or https://HOST/PATH.")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
        self._prefix = parts.path.rstrip("/")
        self._key = key
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        except ValueError as exc:
            raise ConfigError(f"{url!r} is not a URL: {exc}.") from exc

    def call(self, method: str, *path: str, body: Any = None, **query: object) -> Any:
        """The decoded JSON answer. Raises Unreachable or Refused."""
        target = self._prefix + "".join("/" + quote(piece, safe="") for piece in path)
        given = {name: value for name, value in query.items() if value is not None}
        if given:
            target += "?" + urlencode(given)
        data = None if body is None else json.dumps(body).encode()
        status, text = self._exchange(method, target, data)
        try:
            answer = json.loads(text) if text else None
        except ValueError:
            answer = None
            if status < 400:
                raise Error(f"{self.url} answered {method} {target} with something that is not JSON.") from None
        if status >= 400:
            raise Refused(_reason(answer, status, self.url), status)
        return answer

    def get(self, *path: str, **query: object) -> Any:
        """GET of a path given in pieces."""
        return self.call("GET", *path, **query)

    def post(self, *path: str, body: Any = None, **query: object) -> Any:
        """POST of a JSON body."""
        return self.call("POST", *path, body={} if body is None else body, **query)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _exchange(self, method: str, target: str, data: bytes | None) -> tuple[int, bytes]:
        headers = {"Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        fresh = self._connection.sock is None
        try:
            return self._once(method, target, data, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as exc:
            self._connection.close()
            # A kept connection may have been closed while it was idle. A POST is not sent twice: it may have arrived.
            if fresh or method != "GET":
                raise Unreachable(f"{self.url} closed the connection without an answer.") from exc
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            raise Unreachable(f"{self.url} cannot be reached: {_why(exc)}.") from exc
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._once(method, target, data, headers)
        raise Unreachable(f"{self.url} closed the connection without an answer.")

    def _once(self, method: str, target: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, target, data, headers)
        response = self._connection.getresponse()
        return response.status, response.read()


def _why(exc: Exception) -> str:
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return text[:1].lower() + text[1:].rstrip(".")


def _reason(answer: object, status: int, url: str) -> str:
    said = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(said, str) and isinstance(answer, dict):
        said = answer.get("message") or answer.get("detail")
    if isinstance(said, str) and said:
        return said
    words = {401: "the API key is missing or not known", 404: "there is nothing of that name", 429: "too many requests"}
    return f"{url} answered with HTTP {status}{': ' + words[status] if status in words else ''}."
