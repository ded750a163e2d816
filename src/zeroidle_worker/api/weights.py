"""`Weights(...)`: which model files a handler needs, and where they are when it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple
from urllib.parse import quote, unquote

#: Where a worker finds the folders of its weights: a JSON object from the text of each to its path.
WEIGHTS_ENV = "ZEROIDLE_WEIGHTS"

_PATTERN_SAFE = "*?[]!/.-_~()+@=:;$ "


class WeightsError(LookupError):
    """The weights cannot be used as they were written, or are not prepared in this process."""


class Form(NamedTuple):
    """A source's text taken apart: `base` without its fragment, the fragment's `sha256`, and the patterns."""

    base: str
    sha256: str
    allow: Tuple[str, ...]
    deny: Tuple[str, ...]


def split(text: str) -> Form:
    """Takes "SOURCE#sha256=HEX&allow=PATTERN,PATTERN&deny=PATTERN" apart. Raises ValueError with a sentence."""
    base, _, fragment = text.partition("#")
    found: Dict[str, List[str]] = {"sha256": [], "allow": [], "deny": []}
    for part in fragment.split("&") if fragment else []:
        key, equals, value = part.partition("=")
        if key not in found or not equals or not value:
            raise ValueError(
                "%r ends in #%s; after # may stand sha256=HEX, allow=PATTERN,... and deny=PATTERN,... joined by &."
                % (text, fragment)
            )
        found[key].extend(unquote(v) for v in value.split(",") if v)
    if len(found["sha256"]) > 1:
        raise ValueError("%r has more than one sha256." % text)
    return Form(base, "".join(found["sha256"]), _tidy(found["allow"]), _tidy(found["deny"]))


def join(form: Form) -> str:
    """The one way to write a source with its patterns."""
    parts = ["sha256=" + form.sha256.lower()] if form.sha256 else []
    for key, patterns in (("allow", form.allow), ("deny", form.deny)):
        if patterns:
            parts.append(key + "=" + ",".join(quote(p, safe=_PATTERN_SAFE) for p in patterns))
    return form.base + ("#" + "&".join(parts) if parts else "")


def _tidy(patterns: Iterable[str]) -> Tuple[str, ...]:
    return tuple(sorted(set(patterns)))


class Weights:
    """Weights that a handler needs.

    `source` is one of "hf:org/repo@revision", "https://host/file#sha256=HEX", "s3://bucket/prefix", "zenodo:RECORD"
    and "file:/path". `allow` and `deny` are shell patterns over the file names of the source: a file is taken when
    it matches one of `allow` (all when empty) and none of `deny`.
    """

    __slots__ = ("allow", "deny", "source")

    def __init__(self, source: str, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        for key, value in (("allow", allow), ("deny", deny)):
            if isinstance(value, str):
                raise WeightsError("Weights: %s is %r; it must be a list of patterns, as [%r]." % (key, value, value))
        try:
            form = split(source)
        except ValueError as exc:
            raise WeightsError("Weights: %s" % exc) from None
        self.source = join(form._replace(allow=(), deny=()))
        self.allow = _tidy([*form.allow, *allow])
        self.deny = _tidy([*form.deny, *deny])

    def to_setting(self) -> str:
        """As a setting: one string, "SOURCE#allow=PATTERN,..."."""
        return join(split(self.source)._replace(allow=self.allow, deny=self.deny))

    @property
    def path(self) -> Path:
        """The folder with the files, inside a worker that was started with them. WeightsError elsewhere."""
        text = self.to_setting()
        folders = json.loads(os.environ.get(WEIGHTS_ENV) or "{}")
        if text not in folders:
            raise WeightsError(
                "The weights %r are not prepared in this process; name them in the endpoint's `weights`, or run "
                '"zeroidle volume pull %s" and use the path that it prints.' % (text, text)
            )
        return Path(folders[text])

    def file(self, name: str) -> Path:
        """One file of them. WeightsError when it is not among them."""
        path = self.path / name
        if not path.is_file():
            raise WeightsError("The weights %r have no file %r." % (self.to_setting(), name))
        return path

    def __fspath__(self) -> str:
        return str(self.path)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Weights) and self.to_setting() == other.to_setting()

    def __hash__(self) -> int:
        return hash(self.to_setting())

    def __repr__(self) -> str:
        return "Weights(%r)" % self.to_setting()
