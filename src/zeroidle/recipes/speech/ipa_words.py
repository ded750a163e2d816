"""Text to IPA word by word: the CMU dictionary, or CharsiuG2P; each word in citation form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import text as texts
from .arpabet import IPA, VOWELS, from_ipa, syllables
from .errors import InputError, UnsupportedText
from .g2p import Options, TextIpa, Transcriber, WordIpa, resolve
from .lexicon import Dictionary, dictionary_path
from .neural.codes import charsiu
from .writing import foreign_script, scripts_of


class DictionaryG2p:
    """English by the CMU dictionary; espeak-ng gives the stress, and the words that the dictionary does not have."""

    name = "dictionary"

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._dictionary: Dictionary | None = None

    def transcribe(self, text: str, language: str, options: Options) -> TextIpa:
        """The IPA of one text. Raises UnsupportedText for a language that is not English."""
        voice = resolve(language)
        if voice.language.split("-", 1)[0] != "en":
            raise UnsupportedText(f'The method "dictionary" knows English only, not "{language}".')
        if self._dictionary is None:
            self._dictionary = Dictionary(dictionary_path())
        spoken = self._transcriber.transcribe(text, voice.language, Options(True, True, options.allow_language_switch))
        words = tuple(self._word(word, options) for word in spoken.words)
        return TextIpa(text, voice.language, _joined(words), words)

    def _word(self, word: WordIpa, options: Options) -> WordIpa:
        assert self._dictionary is not None
        variants = self._dictionary.variants(word.word.lower().replace("’", "'"))
        if not variants:
            return word if options.stress else _without_stress(word)
        if word.error is None:
            try:
                if _plain(word.phones) in variants:  # both say the same: espeak-ng's form has the stress
                    return word if options.stress else _without_stress(word)
            except UnsupportedText:
                pass  # a sound that English lacks: the dictionary knows better
        phones = list(variants[0])
        marked = [IPA[phone] for phone in phones]
        parts = syllables(phones)
        if options.stress and len(parts) == 1:
            nucleus = next((at for at, phone in enumerate(phones) if phone in VOWELS), None)
            if nucleus is not None:
                marked[nucleus] = "ˈ" + marked[nucleus]
        return WordIpa(word.word, "".join(marked), tuple(marked))


class NeuralG2p:
    """Any language of CharsiuG2P."""

    name = "byt5"

    def __init__(self, pronounce: Callable[[Sequence[str], str], Sequence[str]]) -> None:
        self._pronounce = pronounce

    def transcribe(self, text: str, language: str, options: Options) -> TextIpa:
        """The IPA of one text. Raises UnsupportedText for a language that the model does not know."""
        voice = resolve(language)
        if not charsiu(voice.language):
            raise UnsupportedText(f'CharsiuG2P does not know {voice.name} ({voice.language}); use "espeak-ng".')
        found = texts.words(texts.clean(text))
        if not found:
            raise InputError("The text is empty: it holds no letter and no number.")
        readable = [word for word in dict.fromkeys(found) if not _refusal(word, voice.language)]
        spoken = dict(zip(readable, self._pronounce(readable, voice.language), strict=True)) if readable else {}
        words = tuple(self._word(word, spoken.get(word), voice.language, options) for word in found)
        return TextIpa(text, voice.language, _joined(words), words)

    def _word(self, word: str, ipa: str | None, language: str, options: Options) -> WordIpa:
        if ipa is None:
            return WordIpa(word, None, error=_refusal(word, language))
        if not ipa:
            return WordIpa(word, None, error=f'CharsiuG2P gives no sound for "{word[:40]}".')
        made = WordIpa(word, ipa, tuple(ipa))
        return made if options.stress else _without_stress(made)


def _refusal(word: str, language: str) -> str:
    script = foreign_script(word, language)
    if script is None:
        return "" if any(char.isalpha() for char in word) else f'"{word[:40]}" holds no letter; write numbers as words.'
    allowed = " or ".join(name.capitalize() for name in scripts_of(language))
    return f'The word "{word[:40]}" is in {script.capitalize()} script, but "{language}" is read in {allowed} script.'


def _plain(phones: Sequence[str]) -> tuple[str, ...]:
    return tuple(plain for phone in phones for plain in from_ipa(phone))


def _without_stress(word: WordIpa) -> WordIpa:
    plain = str.maketrans("", "", "ˈˌ")
    return WordIpa(
        word.word, word.ipa.translate(plain) if word.ipa else None, tuple(p.translate(plain) for p in word.phones),
        word.error, word.script, word.switched_to,
    )  # fmt: skip


def _joined(words: Sequence[WordIpa]) -> str | None:
    return None if any(word.ipa is None for word in words) else " ".join(str(word.ipa) for word in words)
