"""Trains a small monophone model on recordings with texts and writes it as an archive of MFA's.

`python train.py CORPUS.json DICTIONARY MODEL.zip [--positions]`, in an environment with MFA, `_kalpy.py` beside this
file. CORPUS.json is a list of [WAV, TEXT]. It is Kaldi's recipe for monophones: equal parts first, then realigned and
split, again and again. With --positions, phones are named by their place in the word, as in many of MFA's models.
The phones are numbered from Z to A, so that only who reads the model's own table finds the right ones.
"""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import _kalpy
import kaldi_hmm_gmm as hmm_gmm
import kaldifst
import numpy as np
from kalpy.decoder.training_graphs import TrainingGraphCompiler
from kalpy.feat.cmvn import CmvnComputer
from kalpy.feat.mfcc import MfccComputer
from kalpy.fstext.lexicon import LexiconCompiler
from kalpy.utterance import Segment, Utterance

ROUNDS = 24
GAUSSIANS = 400
FEATURES = {
    "feature_type": "mfcc", "frame_shift": 10, "frame_length": 25, "snip_edges": False, "use_energy": True,
    "dither": 0.0, "sample_frequency": 16000, "low_frequency": 20, "high_frequency": 7800, "num_coefficients": 13,
    "uses_speaker_adaptation": False, "uses_splices": False, "uses_deltas": True,
}  # fmt: skip
_STATE = "<State> {0} <PdfClass> {0} <Transition> {0} 0.75 <Transition> {1} 0.25 </State>"


def topology(phones: list[int]) -> Any:
    """Three states for each phone."""
    states = " ".join(_STATE.format(n, n + 1) for n in range(3))
    entry = f"<ForPhones> {' '.join(map(str, phones))} </ForPhones> {states} <State> 3 </State>"
    made = hmm_gmm.HmmTopology()
    made.read(f"<Topology> <TopologyEntry> {entry} </TopologyEntry> </Topology>")
    return made


def features(path: str) -> Any:
    """What MFA computes of a recording: MFCCs less their mean, with deltas."""
    options = {name: FEATURES[name] for name in ("snip_edges", "use_energy", "dither")}
    spoken = Utterance(Segment(path), "")
    spoken.generate_mfccs(MfccComputer(**options))
    spoken.apply_cmvn(CmvnComputer().compute_cmvn_from_features([spoken.mfccs]))
    return _kalpy.compute_deltas(None, spoken.mfccs)


def _pronunciations(dictionary: Path) -> list[str]:
    return [line.split(" ", 1)[1] for line in dictionary.read_text().splitlines()]


class Trainer:
    """A model and what it is trained on."""

    def __init__(self, corpus: list[list[str]], dictionary: Path, folder: Path, positions: bool) -> None:
        self.positions = positions
        self.lexicon = LexiconCompiler(position_dependent_phones=positions)
        table = self.lexicon.phone_table
        self.phones = sorted({phone for spoken in _pronunciations(dictionary) for phone in spoken.split()})
        for phone in reversed(self.phones):
            for place in ("_B", "_E", "_I", "_S") if positions else ("",):
                table.add_symbol(phone + place)
        ids = list(range(1, table.num_symbols()))
        self.lexicon.load_pronunciations(dictionary)
        shared: dict[str, list[int]] = {}
        for number in ids:
            shared.setdefault(table.find(number).split("_")[0], []).append(number)
        counts = [-1] + [3] * max(ids)
        tree = (list(shared.values()), counts)
        self.tree = hmm_gmm.monophone_context_dependency_shared(*tree)
        self.transitions = hmm_gmm.TransitionModel(self.tree, topology(ids))
        self.folder = folder
        folder.mkdir()
        (folder / "tree").write_bytes(pickle.dumps(tree))
        (folder / "phones.txt").write_text("".join(f"{table.find(n)}\t{n}\n" for n in [0, *ids]))
        self.features = [features(path) for path, _ in corpus]
        everything = np.concatenate([one.values for one in self.features])
        first = hmm_gmm.DiagGmm(1, everything.shape[1])
        first.set_weights(np.ones(1, np.float32))
        first.set_invvars_and_means(1 / everything.var(0, keepdims=True), everything.mean(0, keepdims=True))
        first.compute_gconsts()
        self.gaussians = hmm_gmm.AmDiagGmm()
        self.gaussians.init(first, self.transitions.num_pdfs)
        self.save()
        compiler = TrainingGraphCompiler(folder / "final.mdl", folder / "tree", self.lexicon)
        self.graphs = [compiler.compile_fst(text) for _, text in corpus]

    def save(self) -> None:
        """Writes final.mdl as `_kalpy.py` reads it."""
        (self.folder / "final.mdl").write_bytes(pickle.dumps(self.transitions) + pickle.dumps(self.gaussians))

    def align(self, number: int, first: bool) -> list[int]:
        """The transition of each frame of a recording; empty when none was found."""
        graph, frames = self.graphs[number].real, self.features[number]
        if first:
            done, path = kaldifst.equal_align(graph, frames.NumRows(), number + 1)
            return list(kaldifst.get_linear_symbol_sequence(path)[1]) if done else []
        single = self.gaussians.num_gauss <= self.transitions.num_pdfs  # they tell little apart: search widely
        model, gaussians = _kalpy.TransitionModel(), _kalpy.AmDiagGmm()
        model.real, gaussians.real = self.transitions, self.gaussians
        return _kalpy.gmm_align_compiled(
            model, gaussians, _kalpy.VectorFst(graph.copy()), frames, acoustic_scale=0.1, transition_scale=1.0,
            self_loop_scale=0.1, beam=200 if single else 20, retry_beam=400, careful=False,
        )[0]  # fmt: skip

    def round(self, number: int) -> None:
        """Aligns, estimates again, and splits the Gaussians that have most frames."""
        flags = hmm_gmm.str_to_gmm_flags("mvw")
        sums = hmm_gmm.AccumAmDiagGmm()
        sums.init(self.gaussians, flags)
        stats, seen = self.transitions.init_stats(), np.zeros(self.transitions.num_pdfs, np.float32)
        for which, frames in enumerate(self.features):
            for transition, frame in zip(self.align(which, number == 0), frames.values, strict=False):
                state = self.transitions.transition_id_to_pdf(transition)
                sums.accumulate_for_gmm(self.gaussians, frame, state, 1.0)
                stats = self.transitions.accumulate(1.0, transition, stats)
                seen[state] += 1
        self.transitions.mle_update(stats, hmm_gmm.MleTransitionUpdateConfig())
        options = hmm_gmm.MleDiagGmmOptions(min_gaussian_occupancy=3.0)
        hmm_gmm.mle_am_diag_gmm_update(options, sums, flags, self.gaussians)
        wanted = self.transitions.num_pdfs + (GAUSSIANS - self.transitions.num_pdfs) * number // (ROUNDS - 4)
        if self.gaussians.num_gauss < wanted <= GAUSSIANS:
            self.gaussians.split_by_count(seen, wanted, 0.01, 0.25, 20.0)
        self.save()

    def archive(self, path: Path) -> None:
        """Packs the model as MFA does."""
        meta = {
            "version": "3.4.3", "architecture": "gmm-hmm", "phone_type": "monophone", "language": "unknown",
            "phones": self.phones, "phone_set_type": "ARPA",
            "oov_phone": "spn", "optional_silence_phone": "sil", "silence_probability": 0.5,
            "initial_silence_probability": 0.5, "final_silence_correction": None, "final_non_silence_correction": None,
            "dictionaries": {"position_dependent_phones": self.positions}, "features": FEATURES,
        }  # fmt: skip
        (self.folder / "meta.json").write_text(json.dumps(meta))
        shutil.make_archive(str(path.with_suffix("")), "zip", self.folder)


if __name__ == "__main__":
    target, positions = Path(sys.argv[3]), "--positions" in sys.argv
    corpus = json.loads(Path(sys.argv[1]).read_text())
    trainer = Trainer(corpus, Path(sys.argv[2]), target.with_suffix(".parts"), positions)
    for number in range(ROUNDS):
        trainer.round(number)
    trainer.archive(target)
    print(json.dumps({"phones": len(trainer.phones), "gaussians": trainer.gaussians.num_gauss}))
