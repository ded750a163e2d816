"""Text to IPA by espeak-ng: a word that espeak-ng would mispronounce silently is an error that names the word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import symbols
from . import text as texts
from .errors import InputError, UnsupportedText
from .espeak import MAX_LINE_BYTES, Pool, Voice, version, voices
from .writing import foreign_script, proposal, scripts_of

_SWITCH = re.compile(r"\(([a-z][a-z0-9-]*)\)")
_STRESS = str.maketrans("", "", "ˈˌ")
#: Languages whose rules in espeak-ng 1.51 give wrong sounds for ordinary words, with what was seen.
UNRELIABLE = {
    "chr": "it spells the code of every letter",
    "kok": "it reads the sign that mutes a vowel aloud",
    "my": "it drops most vowels",
    "th": "it drops vowels and reads written clusters letter by letter",
}
#: Tags that people write for languages that espeak-ng lists under another one.
_TAGS = {"en": "en-us", "fr": "fr-fr", "zh": "cmn", "zh-cn": "cmn", "zh-tw": "cmn", "zh-hk": "yue", "no": "nb",
         "nn": "nb", "pt-pt": "pt", "iw": "he", "in": "id", "fil": "tl", "es-es": "es", "es-us": "es-419",
         "english": "en-us", "french": "fr-fr"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WordIpa:
    """One word in its citation form. `error` is set instead of `ipa` when it cannot be pronounced; `switched_to`
    names the language whose rules espeak-ng used for it."""

    word: str
    ipa: str | None
    phones: tuple[str, ...] = ()
    error: str | None = None
    script: str | None = None
    switched_to: str | None = None


@dataclass(frozen=True, slots=True)
class TextIpa:
    """One text. `ipa` is in context (linking, weak forms) and None when a word cannot be pronounced."""

    text: str
    language: str
    ipa: str | None
    words: tuple[WordIpa, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors of the words, in order."""
        return tuple(word.error for word in self.words if word.error)


@dataclass(frozen=True, slots=True)
class Options:
    """How a text is transcribed: stress marks, loan words by foreign rules, languages with known faults."""

    stress: bool = True
    per_word: bool = False
    allow_language_switch: bool = False
    allow_unreliable: bool = False


def resolve(language: str) -> Voice:
    """The voice for a tag or an English name ("de_DE", "zh", "German"). Raises InputError that names similar tags."""
    known = voices()
    tag = language.strip().lower().replace("_", "-")
    while tag:
        for candidate in (tag, _TAGS.get(tag, "")):
            if candidate in known:
                return known[candidate]
        for voice in known.values():
            if tag in voice.aliases:
                return voice
        tag = tag.rpartition("-")[0]
    names = {voice.name.split(" (")[0].lower(): voice.language for voice in reversed(known.values())}
    wanted = language.strip().lower()
    if wanted in names:
        return known[_TAGS.get(names[wanted], names[wanted])]
    near = [names[name] for name in difflib.get_close_matches(wanted, names, 3)] or difflib.get_close_matches(
        wanted, known, 3, 0.5
    )
    hint = f"did you mean {', '.join(near)}?" if near else 'send {"list_languages": true} for all of them.'
    raise InputError(f'espeak-ng {version()} has no language "{language[:40]}"; {hint}')


class Transcriber:
    """Text to IPA over a pool of warm espeak-ng processes."""

    def __init__(self) -> None:
        self._pool = Pool()

    def close(self) -> None:
        """Ends the espeak-ng processes."""
        self._pool.close()

    def transcribe(self, text: str, language: str, options: Options = Options()) -> TextIpa:
        """The IPA of one text. Raises InputError for what is no text, MissingProgram and EngineError."""
        voice = resolve(language)
        cleaned = texts.clean(text)
        found = texts.words(cleaned)
        if not found:
            raise InputError("The text is empty: it holds no letter and no number." if text.strip() else
                             "The text is empty.")  # fmt: skip
        warnings = self._language_faults(voice, options)
        refused = {word: fault for word in dict.fromkeys(found) if (fault := _refusal(word, voice)) is not None}
        ipa = None
        if not refused:
            ipa, switched = self._whole(cleaned, voice, options)
            if ipa is not None and not switched and not options.per_word:
                return TextIpa(text, voice.language, ipa, (), warnings)
        spoken = self._words(found, refused, voice, options)
        if any(word.error for word in spoken):
            ipa = None
        elif ipa is None:
            raise UnsupportedText(f"espeak-ng gave no usable IPA for this text in {_name(voice)}.")
        return TextIpa(text, voice.language, ipa, tuple(spoken), warnings)

    def _language_faults(self, voice: Voice, options: Options) -> tuple[str, ...]:
        fault = UNRELIABLE.get(voice.language.split("-", 1)[0])
        if fault is None and self._pool.incomplete(voice):
            fault = "its full dictionary is not installed on this worker"
        if fault is None:
            return ()
        sentence = f"espeak-ng {version()} is not reliable for {_name(voice)}: {fault}"
        if not options.allow_unreliable:
            raise UnsupportedText(f'{sentence}; send "allow_unreliable": true to have its answer anyway.')
        return (f"{sentence}.",)

    def _ask(self, voice: Voice, lines: Sequence[str]) -> list[list[str]]:
        """What espeak-ng prints for each line, clause by clause."""
        answers = self._pool.ask(voice, lines)
        if not symbols.has_contours(voice.language):
            return answers
        named = self._pool.ask(voice, lines, names=True)
        return [
            [symbols.with_contours(*clause) for clause in zip(*pair, strict=True)]
            if len(pair[0]) == len(pair[1])
            else pair[0]
            for pair in zip(answers, named, strict=True)
        ]

    def _whole(self, cleaned: str, voice: Voice, options: Options) -> tuple[str | None, bool]:
        """The IPA of the text in context, and whether a word was read by the rules of another language."""
        lines = [_harmless(line) for line in texts.lines(cleaned, MAX_LINE_BYTES)]
        clauses = [clause for answer in self._ask(voice, lines) for clause in answer]
        switched = any(_SWITCH.search(clause) for clause in clauses)
        spoken = [" ".join("".join(phones) for phones in _phones(clause, voice)) for clause in clauses]
        ipa = _stressed(" ".join(part for part in spoken if part), options)
        return (ipa if ipa and not symbols.not_ipa(ipa) else None), switched

    def _words(
        self, found: Sequence[str], refused: dict[str, WordIpa], voice: Voice, options: Options
    ) -> list[WordIpa]:
        todo = [word for word in dict.fromkeys(found) if word not in refused]
        answers = self._ask(voice, [_harmless(word) for word in todo])
        spoken = {word: _word(word, answer, voice, options) for word, answer in zip(todo, answers, strict=True)}
        return [refused.get(word) or spoken[word] for word in found]


def _refusal(word: str, voice: Voice) -> WordIpa | None:
    """Why a word is not even sent to espeak-ng; None when it is."""
    script = foreign_script(word, voice.language)
    if script is not None:
        allowed = " or ".join(_title(name) for name in scripts_of(voice.language))
        other = proposal(script)
        advice = f'; for this word choose another language, such as "{other}"' if other else ""
        reason = f"is in {_title(script)} script, but {_name(voice)} is read in {allowed} script{advice}."
        return WordIpa(word, None, error=f'The word "{_short(word)}" {reason}', script=_title(script))
    if len(_harmless(word).encode()) > MAX_LINE_BYTES:
        return WordIpa(word, None, error=f'The word "{_short(word)}" is longer than {MAX_LINE_BYTES} bytes.')
    return None


def _word(word: str, clauses: Sequence[str], voice: Voice, options: Options) -> WordIpa:
    answer = " ".join(clauses)
    switch = next((tag for tag in _SWITCH.findall(answer) if tag != voice.language), None)
    if switch and not options.allow_language_switch:
        scripts = " or ".join(_title(name) for name in scripts_of(voice.language))
        reason = f'({scripts} script) would be read by the rules of "{switch}", not of {_name(voice)}'
        advice = 'send "allow_language_switch": true to accept that.'
        return WordIpa(word, None, error=f'The word "{_short(word)}" {reason}; {advice}', switched_to=switch)
    groups = _phones(answer, voice)
    ipa = _stressed(" ".join("".join(group) for group in groups), options)
    if not ipa:
        return WordIpa(word, None, error=f'espeak-ng gives no sound for "{_short(word)}" in {_name(voice)}.')
    if strange := symbols.not_ipa(ipa):
        reason = f'espeak-ng gives "{strange}" for "{_short(word)}" in {_name(voice)}, which is no IPA symbol.'
        return WordIpa(word, None, error=reason)
    phones = tuple(_stressed(phone, options) for group in groups for phone in group)
    return WordIpa(word, ipa, phones, switched_to=switch)


def _phones(clause: str, voice: Voice) -> list[list[str]]:
    """The phones of each spoken word of a clause that came with "_" between phones."""
    spoken = (_SWITCH.sub("_", clause)).split()
    words = [symbols.phones([phone for phone in word.split("_") if phone], voice.language) for word in spoken]
    return [phones for phones in words if phones]


def _stressed(ipa: str, options: Options) -> str:
    return ipa if options.stress else ipa.translate(_STRESS)


def _harmless(line: str) -> str:
    """Brackets start espeak-ng's own phoneme input and are never spoken."""
    return line.replace("[", " ").replace("]", " ").replace("\n", " ")


def _name(voice: Voice) -> str:
    return f"{voice.name} ({voice.language})"


def _title(script: str) -> str:
    return script.capitalize()


def _short(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:40]}..."
