"""Aligns recordings with the Montreal Forced Aligner 3, in MFA's own environment; asked by lines of JSON.

    /opt/mfa/bin/python program.py ACOUSTIC_MODEL.zip DICTIONARY.dict

The protocol is that of external_aligner.py. Models and the compiled lexicon are kept in memory, so that a request
costs no start of Python, no database and no compilation. Nothing of ZeroIdle is imported here.

This program follows MFA 3's own `align_one` command; it was not run, because MFA cannot be installed by pip.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


class Aligner:
    """MFA with one acoustic model and one dictionary."""

    def __init__(self, acoustic: Path, dictionary: Path) -> None:
        from kalpy.aligner import KalpyAligner
        from kalpy.fstext.lexicon import LexiconCompiler
        from montreal_forced_aligner.models import AcousticModel

        self._model = AcousticModel(acoustic)
        known = self._model.parameters
        self._lexicon = LexiconCompiler(
            disambiguation=False,
            silence_probability=known["silence_probability"],
            initial_silence_probability=known["initial_silence_probability"],
            final_silence_correction=known["final_silence_correction"],
            final_non_silence_correction=known["final_non_silence_correction"],
            silence_phone=known["optional_silence_phone"],
            oov_phone=known["oov_phone"],
            position_dependent_phones=known["position_dependent_phones"],
            phones=known["non_silence_phones"],
            ignore_case=True,
        )
        self._lexicon.load_pronunciations(dictionary)
        self._aligner = KalpyAligner(self._model, self._lexicon, beam=10, retry_beam=40)

    def align(self, audio: Path, words: list[str]) -> dict[str, Any]:
        """The answer to one request."""
        from kalpy.feat.cmvn import CmvnComputer
        from kalpy.utterance import Segment, Utterance

        spoken = [word.lower().strip(".,;:!?\"'()") for word in words]
        unknown = [word for word in spoken if not self._lexicon.word_table.member(word)]
        if unknown:
            return {"error": f"The dictionary does not have {', '.join(unknown[:5])}."}
        utterance = Utterance(Segment(audio, None, None, 0), " ".join(spoken))
        utterance.generate_mfccs(self._model.mfcc_computer)
        utterance.apply_cmvn(CmvnComputer().compute_cmvn_from_features([utterance.mfccs]))
        found = self._aligner.align_utterance(utterance)
        if found is None:
            return {"error": "No alignment was found within the beam."}
        intervals = [interval for interval in found.word_intervals if interval.label not in ("", "<eps>")]
        return {
            "words": [
                {"word": interval.label, "phones": [[p.label, p.begin, p.end] for p in interval.phones]}
                for interval in intervals
            ]
        }


def main() -> None:
    """Answers requests until the input ends."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what the libraries print must not get between the answers
    aligner = Aligner(Path(sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps({"ready": f"MFA {Path(sys.argv[1]).stem}"}), file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = aligner.align(Path(request["audio"]), request["words"])
        except Exception as exc:  # one recording must not end the program; the worker says what it was
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
