"""The ipa-generation service: checks a job's input, transcribes, and shapes the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import InputError, UnsupportedText
from .espeak import version, voices
from .g2p import UNRELIABLE, Options, TextIpa, Transcriber, resolve
from .text import MAX_CHARS
from .writing import scripts_of

MAX_TEXTS = 1_000
_FLAGS = ("stress", "words", "allow_language_switch", "allow_unreliable", "list_languages")
_KEYS = {"text", "texts", "language", *_FLAGS}
Progress = Callable[[dict[str, Any]], object]


class IpaService:
    """Answers jobs of the ipa-generation endpoint. Not for several threads at once."""

    def __init__(self) -> None:
        self._transcriber = Transcriber()

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
        if "texts" in fields:
            return self._batch(fields["texts"], language, options, progress)
        result = self._transcriber.transcribe(fields["text"], language, options)
        if result.ipa is None and not options.per_word:
            raise UnsupportedText(" ".join(dict.fromkeys(result.errors)))
        return {"method": "espeak-ng", "engine": f"espeak-ng {version()}", **_shaped(result, options)}

    def _batch(self, items: list[str], language: str, options: Options, progress: Progress) -> dict[str, Any]:
        results: list[dict[str, Any]] = []
        for count, text in enumerate(items, 1):
            try:
                results.append(_shaped(self._transcriber.transcribe(text, language, options), options))
            except (InputError, UnsupportedText) as exc:  # one bad text must not cost the others their answer
                results.append({"text": text, "ipa": None, "errors": [exc.message]})
            if count % 100 == 0:
                progress({"done": count, "of": len(items)})
        return {
            "method": "espeak-ng",
            "engine": f"espeak-ng {version()}",
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
    if ("text" in body) == ("texts" in body):
        raise InputError('Send either "text" (one text) or "texts" (a list of texts).')
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
