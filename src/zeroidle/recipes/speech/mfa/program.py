"""Aligns recordings with the Montreal Forced Aligner 3, in MFA's own environment; asked by lines of JSON.

    /opt/mfa/bin/python program.py ACOUSTIC_MODEL.zip DICTIONARY.dict

The protocol is that of external_aligner.py. Models and the compiled lexicon are kept in memory, so that a request
costs no start of Python, no database and no compilation. Nothing of ZeroIdle is imported here. The steps are those of
MFA's own command `align_one`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

_PARTS = re.compile(r"[-‐‑/]")
_POSITION = re.compile(r"_[BEIS]$")


class Aligner:
    """MFA with one acoustic model and one dictionary; `folder` takes the unpacked model."""

    def __init__(self, acoustic: Path, dictionary: Path, folder: Path) -> None:
        from kalpy.aligner import KalpyAligner
        from kalpy.fstext.lexicon import LexiconCompiler
        from montreal_forced_aligner.models import AcousticModel

        # In a folder of our own: in MFA's, each process that starts deletes what another has unpacked and still reads.
        self._model = AcousticModel(acoustic, folder)
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
        if self._model.phone_symbol_path.exists():  # the numbers that the model was trained with
            table = type(self._lexicon.phone_table).read_text(str(self._model.phone_symbol_path))
            self._lexicon.phone_table = table
        self._lexicon.load_pronunciations(dictionary)
        self._aligner = KalpyAligner(self._model, self._lexicon, beam=10, retry_beam=40)
        self._positions = known["position_dependent_phones"]

    def align(self, audio: Path, words: list[str]) -> dict[str, Any]:
        """The answer to one request."""
        from kalpy.exceptions import AlignerError
        from kalpy.feat.cmvn import CmvnComputer
        from kalpy.utterance import Segment, Utterance

        spoken = [self._entries(word) for word in words]
        unknown = [word for word, entries in zip(words, spoken, strict=True) if not entries]
        if unknown:
            return {"error": f"The dictionary does not have {', '.join(unknown[:5])}."}
        # From 0 and not from None: MFA adds the begin to the times that it found.
        utterance = Utterance(Segment(audio, 0.0), " ".join(entry for entries in spoken for entry in entries))
        utterance.generate_mfccs(self._model.mfcc_computer)
        utterance.apply_cmvn(CmvnComputer().compute_cmvn_from_features([utterance.mfccs]))
        try:
            found = self._aligner.align_utterance(utterance)
        except AlignerError:
            return {"error": "No alignment was found within the beam."}
        intervals = iter([interval for interval in found.word_intervals if interval.label not in ("", "<eps>")])
        return {
            "words": [
                {"word": word, "phones": [phone for _ in entries for phone in self._phones(next(intervals))]}
                for word, entries in zip(words, spoken, strict=True)
            ]
        }

    def _entries(self, word: str) -> list[str]:
        """What the dictionary has for a word: itself, or each of its parts; empty when it has not all of them."""
        plain = word.lower().replace("’", "'")
        for form in (plain, plain.strip(".,;:!?\"'()")):
            for entries in ([form], [part for part in _PARTS.split(form) if part]):
                if entries and all(self._lexicon.word_table.member(entry) for entry in entries):
                    return entries
        return []

    def _phones(self, interval: Any) -> list[tuple[str, float, float]]:
        """The phones of a word, named as in the dictionary; a model may tell "AH1_B" from "AH1_E"."""
        return [
            (_POSITION.sub("", phone.label) if self._positions else phone.label, phone.begin, phone.end)
            for phone in interval.phones
        ]


def main() -> None:
    """Answers requests until the input ends."""
    files = [Path(name) for name in sys.argv[1:3]]
    missing = [str(file) for file in files if not file.is_file()]
    if len(files) != 2 or missing:
        sys.exit(f"There is no {missing[0]}." if missing else "Usage: program.py ACOUSTIC_MODEL.zip DICTIONARY.dict")
    out = sys.stdout
    sys.stdout = sys.stderr  # what the libraries print must not get between the answers
    with tempfile.TemporaryDirectory(prefix="mfa-") as folder:
        os.environ.setdefault("MFA_ROOT_DIR", folder)  # else MFA wants to write to ~/Documents
        aligner = Aligner(files[0], files[1], Path(folder))
        print(json.dumps({"ready": f"MFA {files[0].stem}"}), file=out, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = aligner.align(Path(request["audio"]), request["words"])
            except Exception as exc:  # one recording must not end the program; the worker says what it was
                answer = {"error": f"{type(exc).__name__}: {exc}"}
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
