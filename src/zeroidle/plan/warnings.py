"""Mistakes in the text of a guide, a Dockerfile or a handler of a speech service, each with the line and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from zeroidle.volume.environment import DEAD


@dataclass(frozen=True, slots=True)
class Warning:
    """One mistake. `code` is a short name for it, `line` its line in the text, from 1."""

    code: str
    line: int
    sentence: str


_ASSIGNED = re.compile(r"""(?:^|[\s`'"{(\[,;])([A-Z][A-Z0-9_]{3,})['"]?\]?\s*(?:=(?!=)|:|\s(?=[/$"'~]))""")
_ESPNET = re.compile(r"\b(espnet\w*|powsm\w*|owsm\w*)\b", re.IGNORECASE)
_DOWNLOADER = re.compile(r"(Speech2Text\w*\.from_pretrained\s*\(|ModelDownloader\s*\(\s*\))")
_TEXT_TO_IPA = re.compile(r"POWSM[^.\n|]{0,40}\bG2P\b[^.\n|]{0,20}\(?\s*text[- ]to[- ]ipa", re.IGNORECASE)
_TARGET_BY_G2P = re.compile(
    r"\b(?:target|reference|expected|canonical|gold)\w*\s*=\s*[^#\n]*(?:<g2p>|\bpowsm\w*[^#\n]*g2p|\bg2p\w*\([^#\n]*"
    r"(?:audio|speech|wav|samples))",
    re.IGNORECASE,
)
_JOINED_PHONES = re.compile(r"""\.replace\(\s*["']/["']\s*,\s*["']{2}\s*\)""")
_PRESENT = re.compile(r"""\bany\(\s*[\w.]*\w*\.(?:r?glob|iterdir)\(""")
#: Names that only look like variables because prose writes them in capitals.
_READ = frozenset({"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})


def warnings(text: str) -> list[Warning]:
    """All mistakes found in a text, in order of lines. Pure: nothing is read but the text."""
    lines = text.splitlines()
    found = [*_dead_variables(lines), *_ignored_cache(lines), *_by_line(lines)]
    return sorted(set(found), key=lambda warning: (warning.line, warning.code))


def _assigned(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Every variable that a line sets, as in ENV X=y, os.environ["X"] = y, `X=y`, or "X": "y"."""
    for number, line in enumerate(lines, 1):
        for match in _ASSIGNED.finditer(line):
            yield number, match.group(1)


def _dead_variables(lines: list[str]) -> Iterator[Warning]:
    for number, name in _assigned(lines):
        dead = DEAD.get(name)
        if dead is not None:
            instead = f"set {dead.instead} instead ({dead.reason})" if dead.instead else dead.reason
            yield Warning("dead-variable", number, f"{name} does nothing: {dead.library} does not read it; {instead}.")


def _ignored_cache(lines: list[str]) -> Iterator[Warning]:
    """ESPnet's downloader passes its own folder as cache_dir, so the hub's variables have no effect on it."""
    if not any(_ESPNET.search(line) for line in lines):
        return
    for number, name in _assigned(lines):
        if name in _READ:
            yield Warning(
                "espnet-ignores-hf-home",
                number,
                f"{name} does not move ESPnet's models: its downloader keeps them in its own package folder (in the "
                f"image layer, lost with the container) and ignores this variable; use ModelDownloader(cachedir=...) "
                f"or load from the path of the weights.",
            )


def _by_line(lines: list[str]) -> Iterator[Warning]:
    speaks_powsm = any(_ESPNET.search(line) for line in lines)
    for number, line in enumerate(lines, 1):
        if _DOWNLOADER.search(line):
            yield Warning(
                "espnet-downloads-into-its-package", number,
                "Speech2Text.from_pretrained and ModelDownloader() download into ESPnet's own package folder, again "
                "at every cold start; pass s2t_train_config=, s2t_model_file= and bpemodel= from the volume.",
            )  # fmt: skip
        if _TEXT_TO_IPA.search(line):
            yield Warning(
                "powsm-g2p-is-audio-guided", number,
                "POWSM's G2P needs audio: it writes how this speaker said the text. For text alone use a dictionary, "
                "espeak-ng or CharsiuG2P.",
            )  # fmt: skip
        if _TARGET_BY_G2P.search(line):
            yield Warning(
                "target-from-learner-audio", number,
                "The target pronunciation is taken from the learner's own audio: audio-guided G2P hears the mistake "
                "and writes it into the target, so that it scores as right. Take the target from a dictionary or from "
                "text-only G2P.",
            )  # fmt: skip
        if speaks_powsm and _JOINED_PHONES.search(line):
            yield Warning(
                "phones-joined", number,
                'replace("/", "") joins POWSM\'s phones, so that /t//ʃ/ and /tʃ/ become the same; take the parts '
                "between the slashes instead.",
            )  # fmt: skip
        if _PRESENT.search(line):
            yield Warning(
                "half-download-counts", number,
                "This check takes a half-finished download for a complete model; test for a marker that is written "
                "after the last file, or compare sizes and hashes.",
            )  # fmt: skip
