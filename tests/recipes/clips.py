"""Recordings of real speech with their texts, from Debian packages."""

from __future__ import annotations

import re
import wave
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SpeechClip:
    """A recording and what was said in it."""

    path: Path
    text: str

    def __str__(self) -> str:
        return self.path.stem[-16:]


def testdata_clips(folder: Path, scratch: Path) -> list[SpeechClip]:
    """The clips of pocketsphinx-testdata that have a transcript; raw ones as wav files in `scratch`."""
    found = []
    for name, listing in (("librivox", "transcription"), ("cards", "cards.transcription")):
        for line in (folder / name / listing).read_text().splitlines():
            match = re.fullmatch(r"<s>(.*)</s>\s*\((.*)\)", line)
            if match:
                found.append(SpeechClip(folder / name / f"{match.group(2)}.wav", match.group(1).strip()))
    # What pocketsphinx's own tests expect of these two.
    for stem, text in (("goforward", "go forward ten meters"), ("something", "go somewhere and do something")):
        found.append(SpeechClip(_wav(folder / f"{stem}.raw", scratch), text))
    found.append(SpeechClip(_wav(folder / "tidigits" / "dhd.2934z.raw", scratch), "two nine three four zero"))
    return found


def alsa_clips(folder: Path) -> list[SpeechClip]:
    """The spoken clips of alsa-utils, 48 kHz, named by their words."""
    return [SpeechClip(path, path.stem.replace("_", " ").lower()) for path in sorted(folder.glob("*_*.wav"))]


def _wav(raw: Path, scratch: Path) -> Path:
    path = scratch / f"{raw.stem}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(raw.read_bytes())
    return path
