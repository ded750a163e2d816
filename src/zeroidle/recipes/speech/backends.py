"""Which backend scores, recognises and spells for a language; each is loaded once, when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError, MissingProgram
from .g2p import Transcriber, resolve
from .lexicon import Lexicon, Word
from .phonemic import spell
from .posteriors import Scorer
from .recognise import Recogniser, SphinxWords

if TYPE_CHECKING:
    from .external_aligner import ExternalAligner
    from .neural.powsm import Powsm

SCORERS = ("auto", "sphinx", "wav2vec2", "powsm")
ALIGNERS = ("own", "mfa")
RECOGNISERS = ("auto", "sphinx", "whisper", "powsm")
#: The folders of models, by the environment variable that names each.
MODEL_VARIABLES = {"wav2vec2": "WAV2VEC2_MODEL", "powsm": "POWSM_MODEL", "whisper": "WHISPER_MODEL",
                   "byt5": "BYT5_G2P_MODEL"}  # fmt: skip


def model_folder(backend: str) -> Path | None:
    """Where a neural backend's model lies; None when this worker has none. Raises MissingProgram when it is gone."""
    value = os.environ.get(MODEL_VARIABLES[backend])
    if not value:
        return None
    path = Path(value)
    if not path.is_dir():
        raise MissingProgram(f"{MODEL_VARIABLES[backend]} names {path.name}, which is no folder on this worker.")
    return path


class Backends:
    """All that is loaded in this worker."""

    def __init__(self) -> None:
        self._transcriber = Transcriber()
        self._lexicon: Lexicon | None = None
        self._scorers: dict[str, Scorer] = {}
        self._recognisers: dict[str, Recogniser] = {}
        self._powsm: Powsm | None = None
        self._aligner: ExternalAligner | None = None

    def scorer(self, name: str, language: str) -> Scorer:
        """The acoustic backend of that name; "auto" takes wav2vec2, then POWSM, where the worker has their models."""
        if name not in SCORERS:
            raise InputError(f'"backend" is "{name}"; it must be one of {", ".join(SCORERS)}.')
        if name == "auto":
            name = next((neural for neural in ("wav2vec2", "powsm") if model_folder(neural)), "sphinx")
        if name not in self._scorers:
            self._scorers[name] = self._load(name)
        return self._scorers[name]

    def recogniser(self, name: str, language: str) -> Recogniser:
        """The recogniser of words of that name; "auto" takes Whisper where the worker has its model."""
        if name not in RECOGNISERS:
            raise InputError(f'"recogniser" is "{name}"; it must be one of {", ".join(RECOGNISERS)}.')
        if name == "auto":
            name = next((neural for neural in ("whisper", "powsm") if model_folder(neural)), "sphinx")
        if name not in self._recognisers:
            self._recognisers[name] = self._load_recogniser(name)
        return self._recognisers[name]

    def aligner(self, name: str) -> ExternalAligner | None:
        """The aligner of that name; None for our own. MFA_COMMAND says how MFA is started on this worker."""
        if name not in ALIGNERS:
            raise InputError(f'"aligner" is "{name}"; it must be one of {", ".join(ALIGNERS)}.')
        if name == "own":
            return None
        if self._aligner is None:
            command = os.environ.get("MFA_COMMAND")
            if not command:
                raise MissingProgram("This worker has no MFA: set MFA_COMMAND, as speech/mfa/Dockerfile does.")
            from .external_aligner import ExternalAligner

            self._aligner = ExternalAligner(command)
        return self._aligner

    def words(self, text: str, language: str, scorer: Scorer, extra: Mapping[str, Sequence[str]]) -> list[Word]:
        """The words of a text with their reference pronunciations in the phones of the scorer."""
        if scorer.alphabet == "arpabet":
            if self._lexicon is None:
                self._lexicon = Lexicon(self._transcriber)
            return self._lexicon.words(text, {word: list(items) for word, items in extra.items()})
        return spell(text, resolve(language), self._transcriber, scorer.phones, extra)

    def _load(self, name: str) -> Scorer:
        if name == "sphinx":
            from .sphinx import Sphinx

            return Sphinx()
        if name == "wav2vec2":
            from .neural.wav2vec2 import Wav2Vec2

            return Wav2Vec2(needed_folder(name))
        return self.powsm()

    def _load_recogniser(self, name: str) -> Recogniser:
        if name == "sphinx":
            return SphinxWords()
        if name == "whisper":
            from .neural.whisper import Whisper

            return Whisper(needed_folder(name))
        return self.powsm()

    def powsm(self) -> Powsm:
        """POWSM, loaded once for all of its tasks."""
        if self._powsm is None:
            from .neural.powsm import Powsm

            self._powsm = Powsm(needed_folder("powsm"))
        return self._powsm


def needed_folder(name: str) -> Path:
    """The folder of a neural backend's model. Raises MissingProgram when this worker has none."""
    folder = model_folder(name)
    if folder is None:
        raise MissingProgram(
            f'This worker has no model for "{name}": set {MODEL_VARIABLES[name]} to its folder on the volume.'
        )
    return folder
