"""The ipa-generation endpoint: text or speech in, IPA out; text by espeak-ng in its own process, nothing downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import runpod

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the modules both speech services share

from speech.errors import SpeechError
from speech.ipa_service import IpaService
from speech.sent import recording

service = IpaService()


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """One job: see README.md for its input and output."""
    body = job["input"]
    try:
        if isinstance(body, dict) and body.get("audio") is not None:
            sound = recording(body["audio"])  # its file lives until this function returns
            body = {**body, "audio": Path(sound.path)}
        output: dict[str, Any] = service.run(body, lambda event: runpod.serverless.progress_update(job, event))
    except SpeechError as exc:
        return {"error": exc.message}
    return output


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
