"""The ipa-generation service: checks a job's input, chooses the method, and shapes the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .errors import InputError, MissingProgram, UnsupportedText
from .espeak import version, voices
from .g2p import UNRELIABLE, Options, TextIpa, Transcriber, resolve
from .text import MAX_CHARS
from .writing import scripts_of

if TYPE_CHECKING:
    from .backends import Backends

MAX_TEXTS = 1_000
MAX_SPOKEN_CHARS = 2_000
_FLAGS = ("stress", "words", "allow_language_switch", "allow_unreliable", "list_languages")
_KEYS = {"text", "texts", "audio", "method", "language", *_FLAGS}
_TEXT_METHODS = ("auto", "espeak-ng", "dictionary", "byt5")
Progress = Callable[[dict[str, Any]], object]


class TextMethod(Protocol):
    """Text to IPA by one method."""

    def transcribe(self, text: str, language: str, options: Options) -> TextIpa:
        """The IPA of one text. Raises SpeechError."""


class IpaService:
    """Answers jobs of the ipa-generation endpoint. Not for several threads at once."""

    def __init__(self) -> None:
        self._transcriber = Transcriber()
        self._methods: dict[str, tuple[TextMethod, str]] = {}
        self._backends: Backends | None = None

    @property
    def backends(self) -> Backends:
        """What hears; made when the first audio comes, because text alone needs no numpy."""
        if self._backends is None:
            try:
                from .backends import Backends
            except ImportError as exc:
                raise MissingProgram(
                    f'Audio needs the package "{exc.name}" in this environment: '
                    f"pip install numpy pocketsphinx soundfile."
                ) from exc
            self._backends = Backends()
        return self._backends

    def run(self, body: Any, progress: Progress) -> dict[str, Any]:
        """The output of one job. Raises SpeechError with a sentence for the caller."""
        fields = _checked(body)
        if fields.get("list_languages"):
            return {"engine": f"espeak-ng {version()}", "languages": languages()}
        language = resolve(fields.get("language", "en-us")).language
        options = Options(
            stress=fields.get("stress", True),
            per_word=fields.get("words", False),
            allow_language_switch=fields.get("allow_language_switch", False),
            allow_unreliable=fields.get("allow_unreliable", False),
        )
        name = fields.get("method", "auto")
        if "audio" in fields:
            backends = self.backends
            from .ipa_audio import transcribe

            return transcribe(backends, Path(fields["audio"]), fields.get("text"), language, name)
        method, engine = self._method(name)
        head = {"method": "espeak-ng" if name == "auto" else name, "engine": engine}
        if "texts" in fields:
            return head | self._batch(method, fields["texts"], language, options, progress)
        result = method.transcribe(fields["text"], language, options)
        if result.ipa is None and not options.per_word:
            raise UnsupportedText(" ".join(dict.fromkeys(result.errors)))
        return head | _shaped(result, options)

    def _method(self, name: str) -> tuple[TextMethod, str]:
        """The method of that name and the engine behind it, loaded once."""
        if name in ("auto", "espeak-ng"):
            return self._transcriber, f"espeak-ng {version()}"
        if name not in _TEXT_METHODS:
            raise InputError(f'"method" is "{name}"; for text it must be one of {", ".join(_TEXT_METHODS)}.')
        if name not in self._methods:
            from . import ipa_words

            if name == "dictionary":
                self._methods[name] = ipa_words.DictionaryG2p(self._transcriber), f"cmudict, espeak-ng {version()}"
            else:
                from .backends import needed_folder
                from .neural.byt5 import ByT5G2p

                model = ByT5G2p(needed_folder("byt5"))
                self._methods[name] = ipa_words.NeuralG2p(model.pronounce), model.name
        return self._methods[name]

    def _batch(
        self, method: TextMethod, items: list[str], language: str, options: Options, progress: Progress
    ) -> dict[str, Any]:
        results: list[dict[str, Any]] = []
        for count, text in enumerate(items, 1):
            try:
                results.append(_shaped(method.transcribe(text, language, options), options))
            except (InputError, UnsupportedText) as exc:  # one bad text must not cost the others their answer
                results.append({"text": text, "ipa": None, "errors": [exc.message]})
            if count % 100 == 0:
                progress({"done": count, "of": len(items)})
        return {
            "language": language,
            "results": results,
            "failed": sum(result["ipa"] is None for result in results),
        }


def languages() -> list[dict[str, Any]]:
    """All languages of the installed espeak-ng, with the scripts they are read in and known faults."""
    return [
        {
            "language": voice.language,
            "name": voice.name,
            "scripts": [script.capitalize() for script in scripts_of(voice.language)],
            **({"unreliable": UNRELIABLE[base]} if (base := voice.language.split("-", 1)[0]) in UNRELIABLE else {}),
        }
        for voice in sorted(voices().values(), key=lambda voice: voice.language)
    ]


def _shaped(result: TextIpa, options: Options) -> dict[str, Any]:
    shaped: dict[str, Any] = {"text": result.text, "language": result.language, "ipa": result.ipa}
    if options.per_word:
        shaped["words"] = [
            {"word": word.word, "error": word.error, **({"script": word.script} if word.script else {})}
            if word.error
            else {"word": word.word, "ipa": word.ipa, "phones": list(word.phones)}
            | ({"switched_to": word.switched_to} if word.switched_to else {})
            for word in result.words
        ]
    if result.errors:
        shaped["errors"] = list(dict.fromkeys(result.errors))
    if result.warnings:
        shaped["warnings"] = list(result.warnings)
    return shaped


def _checked(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise InputError('The input must be an object such as {"text": "hello", "language": "en-us"}.')
    if unknown := sorted(set(body) - _KEYS):
        raise InputError(f'Unknown input "{unknown[0]}"; known are {", ".join(sorted(_KEYS))}.')
    for name in _FLAGS:
        if not isinstance(body.get(name, False), bool):
            raise InputError(f'"{name}" must be true or false, not {body[name]!r:.40}.')
    if body.get("list_languages"):
        return body
    if not isinstance(body.get("language", ""), str):
        raise InputError(f'"language" must be a tag such as "de", not {body["language"]!r:.40}.')
    if not isinstance(body.get("method", ""), str):
        raise InputError(f'"method" must be the name of a method, not {body["method"]!r:.40}.')
    if "audio" in body:
        return _with_audio(body)
    if ("text" in body) == ("texts" in body):
        raise InputError('Send "text" (one text), "texts" (a list of texts) or "audio" (a recording).')
    if "text" in body and not isinstance(body["text"], str):
        raise InputError(f'"text" must be a string, not {type(body["text"]).__name__}.')
    if "texts" in body:
        items = body["texts"]
        if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
            raise InputError('"texts" must be a list of strings with at least one entry.')
        if len(items) > MAX_TEXTS:
            raise InputError(f'"texts" holds {len(items)} texts; at most {MAX_TEXTS} are taken in one job.')
    size = len(body["text"]) if "text" in body else sum(len(item) for item in body["texts"])
    if size > MAX_CHARS:
        raise InputError(f"The text has {size} characters; at most {MAX_CHARS} are taken in one job.")
    return body


def _with_audio(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Audio alone, or with the one text that was spoken. The file is already on this worker."""
    if not isinstance(body["audio"], Path):
        raise InputError('"audio" must be a sound file: a URL, a data URL or base64 text.')
    if "texts" in body:
        raise InputError('"texts" is for text alone; with "audio" send the one "text" that was spoken, or none.')
    if not isinstance(body.get("text", ""), str):
        raise InputError(f'"text" must be a string, not {type(body["text"]).__name__}.')
    if "text" in body and not body["text"].strip():
        raise InputError('"text" is empty; leave it out to have the audio alone transcribed.')
    if len(body.get("text", "")) > MAX_SPOKEN_CHARS:
        raise InputError(f"The text has {len(body['text'])} characters; with audio at most {MAX_SPOKEN_CHARS}.")
    return body
