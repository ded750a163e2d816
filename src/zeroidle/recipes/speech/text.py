"""Cleans a text for pronunciation and cuts it into words and lines."""

from __future__ import annotations

import re
import unicodedata

from .errors import InputError

#: Longest text of one job, all texts of a batch together.
MAX_CHARS = 100_000
_MARKUP = re.compile(r"<[/?!]?[A-Za-z][^<>]{0,500}>|<!--")
_KEEP_FORMAT = "\u200c\u200d"  # the joiners are spelling in Persian and the Indic scripts
#: Spoken by espeak-ng, so not trimmed from a word although Unicode calls them punctuation.
_SPOKEN = "%&@#*°§€$£"
_INNER_BREAKS = re.compile(r"[\s\u3000-\u3003\u3008-\u3011\u3014-\u301b，。！？；：、…—–―]+")
_SENTENCE_END = re.compile(r"(?<=[.!?;:,。！？；：，、।؟؛،])\s+|(?<=[。！？；：，、।])|\n+")


def clean(text: str) -> str:
    """A text in composed form without control and invisible characters. Raises InputError for what is no text."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InputError("The text holds half a surrogate pair, which is no character; send valid Unicode.")
    if match := _MARKUP.search(text):
        raise InputError(f"The text contains markup ({match.group()[:40]}); send plain text, SSML is not read.")
    kept = []
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        if category in ("Cc", "Zl", "Zp", "Zs"):
            kept.append("\n" if char == "\n" else " ")
        elif category == "Cf":
            kept.append(char if char in _KEEP_FORMAT else "")
        elif _is_picture(char, category):
            kept.append(" ")
        elif unicodedata.name(char, "").split(" ", 1)[0] in ("FULLWIDTH", "HALFWIDTH", "MATHEMATICAL"):
            kept.append(unicodedata.normalize("NFKC", char))
        else:
            kept.append(char)
    return "".join(kept)


def _is_picture(char: str, category: str) -> bool:
    """Emoji and pictograms: espeak-ng would speak their names, which nobody wrote."""
    selector = "\ufe00" <= char <= "\ufe0f" or "\U0001f3fb" <= char <= "\U0001f3ff"
    return selector or (category == "So" and char > "\u2000")


def words(text: str) -> list[str]:
    """The words of a cleaned text, without the punctuation around them. What has no letter, digit or spoken symbol
    is no word. Scripts without blanks (Thai, Chinese, Japanese) give runs between punctuation."""
    found = []
    for run in _INNER_BREAKS.split(text):
        word = _trim(run)
        if any(_sounds(char) for char in word):
            found.append(word)
    return found


def _sounds(char: str) -> bool:
    return unicodedata.category(char)[0] in "LN" or char in _SPOKEN or unicodedata.category(char) in ("Sm", "Sc", "Co")


def _trim(run: str) -> str:
    start, end = 0, len(run)
    while start < end and _trimmed(run[start], leading=True):
        start += 1
    while end > start and _trimmed(run[end - 1], leading=False):
        end -= 1
    return run[start:end]


def _trimmed(char: str, *, leading: bool) -> bool:
    if char in _SPOKEN or (leading and char == "-"):  # "-5" is a number
        return False
    return unicodedata.category(char)[0] == "P"


def lines(text: str, max_bytes: int) -> list[str]:
    """A cleaned text as lines of at most `max_bytes` bytes, cut at sentences, then at blanks. A single run without a
    blank that is longer is cut nowhere: find those by `words` first."""
    result: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        line = ""
        for word in sentence.split():
            candidate = f"{line} {word}" if line else word
            if line and len(candidate.encode()) > max_bytes:
                result.append(line)
                candidate = word
            line = candidate
        if line:
            result.append(line)
    return result
