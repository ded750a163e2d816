"""pocketsphinx's own aligner behind the protocol of external aligners: `python builtin_aligner.py [--slow|--talk]`."""

from __future__ import annotations

import json
import sys
import time
import wave

import pocketsphinx


def align(path: str, words: list[str]) -> dict[str, object]:
    """Two passes, as pocketsphinx wants it."""
    with wave.open(path) as file:
        pcm = file.readframes(file.getnframes())
    decoder = pocketsphinx.Decoder(samprate=16000, lm=None, loglevel="FATAL")
    decoder.set_align_text(" ".join(words).lower())
    for second in (False, True):
        if second:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
    found = [
        {"word": word.name, "phones": [[p.name, p.start / 100, (p.start + p.duration) / 100] for p in word]}
        for word in decoder.get_alignment() if word.name not in ("<s>", "</s>", "<sil>")
    ]  # fmt: skip
    return {"words": found}


if __name__ == "__main__":
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    print(json.dumps({"ready": "built-in"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if mode == "--slow":
            time.sleep(60)
        if mode == "--die":
            sys.exit("the aligner had enough")
        if mode == "--talk":
            print("not json", flush=True)
            continue
        try:
            answer = align(request["audio"], request["words"])
        except RuntimeError as exc:
            answer = {"error": str(exc)}
        print(json.dumps(answer), flush=True)
