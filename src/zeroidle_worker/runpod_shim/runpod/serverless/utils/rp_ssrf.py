"""Reads URLs that callers name, never from an address inside the network, with the SDK's rules and settings.

RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS (1, true, yes) lifts the address rule; RUNPOD_MAX_DOWNLOAD_BYTES bounds the size.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import urllib.request
from typing import Any, Dict, Iterator, List, Optional
from urllib.parse import urljoin, urlsplit

_ALLOW_PRIVATE = "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS"
_MAX_BYTES = "RUNPOD_MAX_DOWNLOAD_BYTES"
_MAX_BYTES_DEFAULT = 5 * 1024**3
_REDIRECTS = 5
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # of providers; not private for the standard library before 3.12.4


class SSRFError(ValueError):
    """The URL is refused: its scheme, its address or its size. Not an OSError, so that no retry hides it."""


def request_error(message: str) -> Exception:
    """What handlers expect of a failed download: `requests`' exception when that is installed (an OSError as well)."""
    try:
        from requests.exceptions import RequestException
    except ImportError:
        return OSError(message)
    error: Exception = RequestException(message)
    return error


def max_download_bytes() -> int:
    """The largest download, 5 GiB unless set."""
    text = os.environ.get(_MAX_BYTES, "")
    return int(text) if text.isdigit() and int(text) > 0 else _MAX_BYTES_DEFAULT


def is_safe_address(ip: str) -> bool:
    """Whether an address is out on the internet, also when it is an IPv4 one in IPv6 clothes."""
    try:
        address: Any = ipaddress.ip_address(ip)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 4 and address in _SHARED:
        return False
    return bool(address.is_global and not (address.is_multicast or address.is_reserved))


def resolve_and_validate(host: str, port: int) -> List[str]:
    """The addresses of a host. Raises SSRFError when there are none, or when any of them is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise SSRFError("could not resolve host %r: %s" % (host, exc)) from exc
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise SSRFError("no addresses resolved for host %r" % host)
    for ip in addresses:
        if not _private_allowed() and not is_safe_address(ip):
            raise SSRFError("host %r resolves to non-public address %s" % (host, ip))
    return addresses


def _private_allowed() -> bool:
    return os.environ.get(_ALLOW_PRIVATE, "").strip().lower() in ("1", "true", "yes")


class Answer:
    """An answer whose body is read in pieces; close it, or use it in a `with`."""

    def __init__(self, url: str, response: http.client.HTTPResponse, connection: Any) -> None:
        self.url = url
        self.status_code = response.status
        self.headers = response.headers
        self._response = response
        self._connection = connection

    def raise_for_status(self) -> None:
        """Raises a request error from status 400 on."""
        if self.status_code >= 400:
            raise request_error("%d %s for url: %s" % (self.status_code, self._response.reason, self.url))

    def iter_content(self, chunk_size: int) -> Iterator[bytes]:
        """The body in pieces. Raises a request error when it breaks off."""
        while True:
            try:
                chunk = self._response.read(chunk_size)
            except (OSError, http.client.HTTPException) as exc:
                raise request_error("%s broke off: %s" % (self.url, exc)) from exc
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        """Closes the connection."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *args: Any) -> None:
        self.close()


def iter_content_capped(response: Answer, chunk_size: int, max_bytes: Optional[int]) -> Iterator[bytes]:
    """The body in pieces. Raises SSRFError when it is larger than `max_bytes`."""
    total = 0
    for chunk in response.iter_content(chunk_size):
        total += len(chunk)
        if max_bytes is not None and total > max_bytes:
            raise SSRFError("download exceeds size cap: >%d bytes" % max_bytes)
        yield chunk


def safe_get(url: str, *, timeout: float = 30, headers: Optional[Dict[str, str]] = None, **_: Any) -> Answer:
    """Asks for a URL. Each hop's name is resolved once and its address checked. Raises SSRFError, or a request error
    when the server cannot be reached."""
    current = url
    for _hop in range(_REDIRECTS + 1):
        parts = urlsplit(current)
        if parts.scheme not in ("http", "https"):
            raise SSRFError("blocked URL scheme %r: %s" % (parts.scheme, current))
        if not parts.hostname:
            raise SSRFError("URL has no host: %s" % current)
        answer = _through_proxy(current, timeout, headers) or _ask(current, timeout, headers)
        location = answer.headers.get("Location")
        if answer.status_code in (301, 302, 303, 307, 308):
            answer.close()
            if not location:
                raise SSRFError("redirect without Location header: %s" % current)
            current = urljoin(current, location)
            continue
        declared = answer.headers.get("Content-Length") or ""
        if declared.isdigit() and int(declared) > max_download_bytes():
            answer.close()
            raise SSRFError("download exceeds size cap: %s > %d bytes" % (declared, max_download_bytes()))
        return answer
    raise SSRFError("exceeded maximum redirects (%d): %s" % (_REDIRECTS, url))


def _through_proxy(url: str, timeout: float, headers: Optional[Dict[str, str]]) -> Optional[Answer]:
    """The answer by way of the environment's proxy, where one is set and private addresses are allowed: a proxy
    resolves the name itself, so its address cannot be checked here."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    if not _private_allowed():
        raise SSRFError(
            "refusing to fetch %s through proxy %s: IP pinning cannot be enforced via a proxy; set %s=true to allow it"
            % (url, proxy, _ALLOW_PRIVATE)
        )
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=timeout)
    except OSError as exc:
        raise request_error("%s cannot be read: %s" % (url, exc)) from exc
    return Answer(url, response, response)


def _ask(url: str, timeout: float, headers: Optional[Dict[str, str]]) -> Answer:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    last: Optional[BaseException] = None
    for ip in resolve_and_validate(host, port):
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        if parts.scheme == "https":
            connection.default_port = 443  # so that the Host header names no port
        try:
            connection.sock = _dial(ip, port, timeout, host if parts.scheme == "https" else None)
            target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
            connection.request("GET", target, headers={"Accept-Encoding": "identity", **(headers or {})})
            return Answer(url, connection.getresponse(), connection)
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            last = exc
    raise request_error("%s cannot be read: %s" % (url, last)) from last


def _dial(ip: str, port: int, timeout: float, tls_name: Optional[str]) -> socket.socket:
    sock = socket.create_connection((ip, port), timeout)
    if tls_name is None:
        return sock
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=tls_name)
    except BaseException:
        sock.close()
        raise
