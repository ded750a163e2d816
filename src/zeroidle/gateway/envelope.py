"""Reads the body of /run and /runsync: checks the envelope and cuts the input out of it without decoding it."""

from __future__ import annotations

import codecs
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from zeroidle.errors import RequestError
from zeroidle.job import USUAL, Payload, Policy, Spooled

_T = TypeVar("_T")

_MAX_WEBHOOK_CHARS = 2048
_BLOCK_BYTES = 1 << 20
_MAX_TAIL_BYTES = 64 * 1024
_INPUT_FIRST = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"input"[ \t\r\n]*:[ \t\r\n]*')

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
#: Any escape of JSON; in the group: half of a surrogate pair that is alone.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(%b)|\\." % _SURROGATE.pattern, re.DOTALL
)
#: Stands for the backslash of such an escape while a body is decoded. UTF-8 never has this byte.
_MARK = b"\xff"


#: The value of a key that is not there: the decoder gives this very object, so `is` finds it out.
_NOTHING = msgspec.Raw()


class _PolicyFields(msgspec.Struct, forbid_unknown_fields=True):
    """The `policy` object; None in a field means the same as leaving it out."""

    executionTimeout: int | float | None = None
    ttl: int | float | None = None
    lowPriority: bool | None = None


class _Envelope(msgspec.Struct):
    """The keys we know. RunPod drops all others."""

    input: msgspec.Raw = _NOTHING
    webhook: str | None = None
    policy: _PolicyFields | None = None
    s3Config: msgspec.Raw = _NOTHING


class _Envelopes(msgspec.Struct, forbid_unknown_fields=True):
    """A batch's requests, and what can be said when it is made. A key that is not known is a slip: it would make an
    empty batch."""

    requests: list[_Envelope] = []
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    webhook: str | None = None


_decoder = msgspec.json.Decoder(_Envelope)
_batch_decoder = msgspec.json.Decoder(_Envelopes)
_list_decoder = msgspec.json.Decoder(list[_Envelope])


class Submission(msgspec.Struct, frozen=True, gc=False):
    """What a client asked for, checked. `envelope` is the JSON object of the keys that go to the worker too."""

    input: Payload
    policy: Policy
    webhook: str | None
    envelope: bytes | None


class Submissions(NamedTuple):
    """Requests of a batch, checked, with the name and the webhook of the batch itself. `named`: a name was given,
    perhaps none."""

    requests: list[Submission]
    name: str | None = None
    webhook: str | None = None
    named: bool = False


def read_many(body: bytes) -> Submissions:
    """The requests in a body: an array of what /run takes, or an object that has it as `requests`. Raises
    RequestError with one sentence, which names the request that is wrong."""
    _check_utf8(iter((body,)))
    if body.lstrip(b" \t\r\n")[:1] == b"[":
        batch = _Envelopes(_decoded(body, _list_decoder))
    else:
        batch = _decoded(body, _batch_decoder)
    if batch.webhook:
        _check_webhook(batch.webhook)
    submissions: list[Submission] = []
    for n, envelope in enumerate(batch.requests):
        try:
            submissions.append(_submission(envelope, _unmarked(_with_input(envelope))))
        except RequestError as exc:
            raise RequestError(f"requests[{n}]: {exc.message}") from exc
    named = batch.name is not msgspec.UNSET
    return Submissions(submissions, batch.name or None, batch.webhook or None, named)


def read_small(body: bytes) -> Submission:
    """The submission in a body in memory. Raises RequestError with one sentence."""
    if not body.isascii():
        _check_utf8(iter((body,)))
    try:
        envelope = _decoder.decode(body)
    except Exception:  # the long way says what is wrong, or knows how to read it
        envelope = _decode(body)
        return _submission(envelope, _unmarked(envelope.input))
    payload = bytes(_with_input(envelope))
    if envelope.policy is None and not envelope.webhook and envelope.s3Config is _NOTHING:
        return Submission(payload, USUAL, None, None)
    return _submission(envelope, payload)


def read_large(spool: Path, body: Spooled) -> Submission:
    """The submission in a spooled body, whose file becomes the input's. Blocks on the disk: call it in a thread."""
    path = spool / body.path
    with path.open("r+b") as file:
        # Marks are set in the map alone: the file stays as it is.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as data:
            _check_utf8(data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES))
            envelope = _decode(data)
            submission = _submission(envelope, body)
            start, size_bytes = _keep_input(file.fileno(), data, envelope, path)
            # The raw values look into the map, which cannot be closed before they are gone.
            del envelope
        if start >= 0:
            os.pwrite(file.fileno(), b" " * start, 0)
            os.ftruncate(file.fileno(), size_bytes)
    return Submission(Spooled(body.path, size_bytes), submission.policy, submission.webhook, submission.envelope)


def _keep_input(fd: int, data: mmap.mmap, envelope: _Envelope, path: Path) -> tuple[int, int]:
    """Where the input begins and the file's new size, when the input can stay where it is: what stands before it
    becomes white space, which JSON allows, and what follows is cut off. Otherwise copies it over: start -1."""
    with memoryview(envelope.input) as raw:
        size_bytes = len(raw)
        match = _INPUT_FIRST.match(data)
        if match is not None and len(data) - match.end() - size_bytes <= _MAX_TAIL_BYTES:
            start = match.end()
            tail = data[start + size_bytes :]
            # With a second "input" in the tail, the first one would not count.
            if bytes(_decode(b'{"input":null' + tail).input) == b"null":
                return start, start + size_bytes
        copy = path.with_name(path.name + ".input")
        with copy.open("wb") as file:
            for at in range(0, size_bytes, _BLOCK_BYTES):
                file.write(_unmarked(raw[at : at + _BLOCK_BYTES]))
        copy.replace(path)
        return -1, size_bytes


def _decode(body: bytes | mmap.mmap) -> _Envelope:
    """The envelope, whose raw values may hold marks (`_unmarked`). Raises RequestError."""
    envelope = _decoded(body, _decoder)
    _with_input(envelope)
    return envelope


def _with_input(envelope: _Envelope) -> msgspec.Raw:
    if envelope.input is _NOTHING:
        raise RequestError('The body has no "input"; send {"input": ...}.')
    return envelope.input


def _decoded(body: bytes | mmap.mmap, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Half of a surrogate pair is well-formed JSON (RFC 8259, 8.2), and Python's and JavaScript's clients send
            # it; this decoder refuses it also where it skips over a value.
            marked = _marked(body)
            if marked is None:
                raise
            return decoder.decode(marked)
    except msgspec.ValidationError as exc:
        hint = "; policy takes executionTimeout, ttl and lowPriority" if "$.policy" in str(exc) else ""
        raise RequestError(f"The request is not as it should be: {exc}{hint}.") from exc
    except msgspec.DecodeError as exc:
        raise RequestError(f"The body is not valid JSON: {exc}.") from exc
    except UnicodeDecodeError as exc:
        raise RequestError(
            "webhook, policy and the name of a batch cannot hold half of a surrogate pair: a \\u escape from \\ud800 "
            "to \\udfff that stands alone; only the input can."
        ) from exc
    except RecursionError as exc:
        raise RequestError("The body is nested too deeply.") from exc


def _marked(body: bytes | mmap.mmap) -> bytearray | mmap.mmap | None:
    """The body with a mark in the place of the backslash of each half of a surrogate pair; None without any."""
    if not _SURROGATE.search(body):
        return None
    marked = body if isinstance(body, mmap.mmap) else bytearray(body)
    found = False
    for escape in _ESCAPE.finditer(body):
        if escape[1]:
            marked[escape.start() : escape.start() + 1] = _MARK
            found = True
    return marked if found else None


def _unmarked(raw: msgspec.Raw | memoryview) -> bytes:
    value = bytes(raw)
    return value.replace(_MARK, b"\\") if _MARK in value else value


def _submission(envelope: _Envelope, payload: Payload) -> Submission:
    s3_config = _unmarked(envelope.s3Config)
    if s3_config == b"null":
        s3_config = b""
    if s3_config and not s3_config.startswith(b"{"):
        raise RequestError("s3Config must be an object with accessId, accessSecret, bucketName and endpointUrl.")
    if envelope.webhook:
        _check_webhook(envelope.webhook)
    return Submission(
        payload,
        USUAL if envelope.policy is None else _policy(envelope.policy),
        envelope.webhook or None,
        b'{"s3Config":%b}' % s3_config if s3_config else None,
    )


def _policy(fields: _PolicyFields) -> Policy:
    timeout_ms = _whole("executionTimeout", fields.executionTimeout)
    return Policy(timeout_ms, _whole("ttl", fields.ttl), bool(fields.lowPriority))


def _whole(key: str, value: float | None) -> int | None:
    """5000.0 is as whole as 5000 in JSON."""
    if isinstance(value, float):
        if not value.is_integer():
            raise RequestError(f"policy.{key} is {value} ms; it must be a whole number of milliseconds.")
        return int(value)
    return value


def _check_webhook(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(url) > _MAX_WEBHOOK_CHARS or any(c <= " " or c == "\x7f" for c in url):
        raise RequestError(
            f"webhook is {url[:100]!r}; it must be an http or https URL of at most {_MAX_WEBHOOK_CHARS} characters."
        )


def _check_utf8(blocks: Iterator[bytes]) -> None:
    """The decoder skips over the input without looking at its characters."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pending = False
    try:
        for block in blocks:
            if pending or not block.isascii():
                decoder.decode(block)
                pending = bool(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as exc:
        raise RequestError(f"The body is not valid JSON: it is not UTF-8 ({exc.reason}).") from exc
