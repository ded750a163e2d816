"""The ipa-generation endpoint: text or speech in, IPA out; text by espeak-ng in its own process, nothing downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import runpod

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the modules both speech services share

from speech.errors import InputError, MissingProgram, SpeechError
from speech.ipa_service import IpaService

service = IpaService()


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """One job: see README.md for its input and output."""
    body = job["input"]
    try:
        sound = _sound(body)
        if sound is not None:
            body = {**body, "audio": Path(sound.path)}
        output: dict[str, Any] = service.run(body, lambda event: runpod.serverless.progress_update(job, event))
    except SpeechError as exc:
        return {"error": exc.message}
    return output


def _sound(body: Any) -> Any:
    """The recording that a job sends by URL, data URL or base64, as a file that lives as long as the answer."""
    if not isinstance(body, dict) or body.get("audio") is None:
        return None
    try:
        import zeroidle
    except ImportError as exc:
        raise MissingProgram('Audio needs the package "zeroidle" in this environment: pip install zeroidle.') from exc
    _, load = zeroidle.Audio.__zeroidle_kind__()
    try:
        return load(body["audio"], "audio")
    except zeroidle.InputError as exc:
        raise InputError(str(exc)) from exc


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
