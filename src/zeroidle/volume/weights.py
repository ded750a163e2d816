"""What a user asks for: a source of weights, as one string with its revision or hash."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from zeroidle.errors import ConfigError
from zeroidle_worker.api.weights import Weights as _Written
from zeroidle_worker.api.weights import WeightsError as _WrittenError
from zeroidle_worker.api.weights import join, split

Kind = Literal["hf", "https", "s3", "zenodo", "file"]

_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")
_REVISION = re.compile(r"[\w./+-]+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORMS = '"hf:org/repo@revision", "https://host/file#sha256=HEX", "s3://bucket/prefix", "zenodo:RECORD" or "file:/path"'


@dataclass(frozen=True, slots=True)
class Source:
    """A source, taken apart. `name` has no revision and no hash; `revision` is what was asked for, which may move;
    `sha256` is the promised content of a single file."""

    kind: Kind
    name: str
    revision: str | None = None
    sha256: str | None = None

    @property
    def url(self) -> str:
        """The name written as its source string, without a revision."""
        return self.name if self.kind in ("https", "s3") else f"{self.kind}:{self.name}"

    @property
    def slug(self) -> str:
        """One folder name for this source, readable, and different for different names."""
        if self.kind == "hf":
            return self.name.replace("/", "--")
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", self.name.split("://")[-1]).strip("-.")[:60]
        return f"{plain}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that a handler needs.

    `source` is one of "hf:org/repo@revision", "https://host/file#sha256=HEX", "s3://bucket/prefix", "zenodo:RECORD"
    and "file:/path". `allow` and `deny` are shell patterns over the file names of the source: a file is taken when
    it matches one of `allow` (all when empty) and none of `deny`. They may also stand in the source's text, as
    "#allow=*.json,*.safetensors&deny=onnx/*".
    """

    source: str
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    parsed: Source = field(init=False, repr=False, compare=False)

    def __init__(
        self, source: str, allow: Iterable[str] = (), deny: Iterable[str] = (), base: Path | None = None
    ) -> None:
        """A relative "file:" is taken from `base`, or from the current folder. Raises ConfigError."""
        try:
            written = _Written(source, allow, deny)
        except _WrittenError as exc:
            raise ConfigError(f"{str(exc)[:1].lower()}{str(exc)[1:]}") from exc
        parsed = parse(written.source, base)
        # The same folder is the same source, from wherever it is named.
        object.__setattr__(self, "source", f"file:{parsed.name}" if parsed.kind == "file" else written.source)
        object.__setattr__(self, "allow", written.allow)
        object.__setattr__(self, "deny", written.deny)
        object.__setattr__(self, "parsed", parsed)

    @property
    def text(self) -> str:
        """Source and patterns as one string, which `Weights` takes again."""
        return join(split(self.source)._replace(allow=self.allow, deny=self.deny))

    @property
    def key(self) -> str:
        """Names this request, with its patterns."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:24]

    def takes(self, path: str) -> bool:
        """Whether a file of the source is wanted."""
        if self.allow and not any(fnmatch.fnmatchcase(path, pattern) for pattern in self.allow):
            return False
        return not any(fnmatch.fnmatchcase(path, pattern) for pattern in self.deny)


def parse(text: str, base: Path | None = None) -> Source:
    """Takes a source string without patterns apart; a relative path is taken from `base`. Raises ConfigError with the
    forms that are allowed."""
    form = split(text)
    body, sha256 = form.base, _sha256(text, form.sha256) if form.sha256 else None
    if body.startswith(("https://", "http://")):
        return _web(text, body, sha256)
    if sha256 is not None:
        raise ConfigError(f"weights: {text!r} has a #sha256=, which only an https:// source may have.")
    if body.startswith("s3://"):
        return _s3(text, body)
    scheme, colon, rest = body.partition(":")
    if colon and rest and scheme == "hf":
        return _hub(text, rest)
    if colon and scheme == "zenodo" and re.fullmatch(r"[0-9]+", rest):
        return Source("zenodo", rest)
    if colon and rest and scheme == "file":
        path = rest.removeprefix("//") if rest.startswith("///") else rest
        return Source("file", os.path.abspath(os.path.join(base or "", os.path.expanduser(path))))
    raise ConfigError(f"weights: {text!r} is not a source; write {_FORMS}.")


def _sha256(text: str, value: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{64}", value) is None:
        raise ConfigError(f"weights: {text!r} has sha256={value}; write 64 hexadecimal digits.")
    return value.lower()


def _web(text: str, body: str, sha256: str | None) -> Source:
    parts = urlsplit(body)
    if parts.username or parts.password:
        raise ConfigError("weights: an https:// source has a user name or password in it; they do not belong there.")
    if not parts.hostname or parts.path in ("", "/"):
        raise ConfigError(f"weights: {text!r} names no file; write https://host/path/file#sha256=HEX.")
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and sha256 is None and not loopback:
        raise ConfigError(f"weights: {text!r} is not protected on its way; use https:// or add #sha256=HEX.")
    return Source("https", urlunsplit(parts), sha256=sha256)


def _s3(text: str, body: str) -> Source:
    bucket, _, prefix = body.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"weights: {text!r} names no bucket; write s3://bucket/prefix.")
    return Source("s3", f"s3://{bucket}/{prefix.strip('/')}".rstrip("/"))


def _hub(text: str, rest: str) -> Source:
    name, at, revision = rest.partition("@")
    strange = ".." in rest or revision.startswith(("/", "-")) or not _REVISION.fullmatch(revision or "main")
    if not _REPO.fullmatch(name) or (at and not revision) or strange:
        raise ConfigError(f"weights: {text!r} is not a repository; write hf:org/repo@revision.")
    return Source("hf", name, revision=revision or None)
