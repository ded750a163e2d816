"""Posts one webhook and says in words what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import aiohttp

#: A receiver that answers this wants no more of it (Standard Webhooks).
GONE = 410

CONNECT_S = 10.0

#: A receiver may take so long, and this much longer for each MiB that it is sent.
ANSWER_S, PER_MIB_S = 15.0, 1.0

#: An unused connection is kept for so long; many servers close theirs after 5 s.
_KEEP_ALIVE_S = 4.0

#: So much of an answer is read, and not for long, so that its connection can be used again.
_ANSWER_BYTES, _DRAIN_S = 64 * 1024, 1.0


class Answer(Struct, frozen=True):
    """`status` is None when there was no answer; `error` then says why. `retry_after` is the header. `final` says
    that there is no use in another try."""

    status: int | None
    error: str | None = None
    retry_after: str | None = None
    final: bool = False

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}"


class Client:
    """Keeps connections alive. Follows no redirect: it might lead elsewhere, and a POST may not be repeated there.

    aiohttp is imported with the first webhook, so that a plane that sends none does not carry it in memory.
    """

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def post(self, url: str, headers: dict[str, str], body: bytes | Path, size_bytes: int) -> Answer:
        """Posts JSON once (a second time when a kept connection turned out to be closed). Raises FileNotFoundError
        when `body` is a file that is gone; every other failure is in the answer."""
        session = await self._open()
        import aiohttp

        limit_s = self._answer_s + PER_MIB_S * size_bytes / (1 << 20)
        for last in (False, True):
            try:
                return await self._post(session, url, headers, body, limit_s)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError) as exc:
                if last:
                    return Answer(None, f"the connection was closed before an answer: {exc}")
            except TimeoutError:
                return Answer(None, f"no answer within {limit_s:.3g} s")
            except ValueError:  # aiohttp.InvalidURL is one
                return Answer(None, "the URL is not valid", final=True)
            except (aiohttp.ClientError, OSError) as exc:
                if isinstance(exc, FileNotFoundError):
                    raise
                return Answer(None, str(exc) or type(exc).__name__)
        raise AssertionError("not reached")

    async def _post(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes | Path, limit_s: float
    ) -> Answer:
        import aiohttp
        from yarl import URL

        data = body if isinstance(body, bytes) else await asyncio.to_thread(body.open, "rb")
        target = URL(url, encoded=url.isascii())
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=CONNECT_S)
        async with session.post(target, data=data, headers=headers, allow_redirects=False, timeout=timeout) as answer:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await answer.content.read(_ANSWER_BYTES)
            error = None
            if 300 <= answer.status < 400:
                error = f"HTTP {answer.status}: redirects are not followed; give the final URL as webhook"
            return Answer(answer.status, error, answer.headers.get("Retry-After"), final=answer.status == GONE)

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                # In a thread: it takes a few tenths of a second, in which the plane goes on answering.
                aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
                from importlib.metadata import version

                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=30),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    headers={"User-Agent": f"zeroidle/{version('zeroidle')}", "Content-Type": "application/json"},
                )
            return self._session

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
