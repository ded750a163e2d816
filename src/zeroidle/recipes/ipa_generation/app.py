"""The ipa-generation endpoint: text in, IPA out, by espeak-ng in its own process; nothing is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import runpod

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the modules both speech services share

from speech.errors import SpeechError
from speech.ipa_service import IpaService

service = IpaService()


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """One job: see README.md for its input and output."""
    try:
        output: dict[str, Any] = service.run(job["input"], lambda event: runpod.serverless.progress_update(job, event))
    except SpeechError as exc:
        return {"error": exc.message}
    return output


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
