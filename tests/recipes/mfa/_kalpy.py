"""The part of kalpy that is compiled against Kaldi, for aligning one recording, on Kaldi's ports from PyPI.

kalpy's own `_kalpy` needs Kaldi's libraries, which are on conda-forge only. Everything above it is MFA's and kalpy's
own Python, unchanged. Below it the decoder, the graphs, the Gaussians and the features are the C++ of Kaldi as ported
by kaldi-hmm-gmm, kaldifst and kaldi-native-fbank; models are pickled, not in Kaldi's format. Names that aligning does
not need exist, so that MFA can be imported, and fail when they are called.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO

import kaldi_hmm_gmm as hmm_gmm
import kaldi_native_fbank as fbank
import kaldifst
import numpy as np

__path__: list[str] = []  # so that `from _kalpy.gmm import ...` looks for the submodules made below


class Matrix:
    """A matrix of floats or doubles."""

    def __init__(self, values: Any = None) -> None:
        self.values = np.zeros((0, 0)) if values is None else np.asarray(values)

    def NumRows(self) -> int:
        return int(self.values.shape[0])

    def NumCols(self) -> int:
        return int(self.values.shape[1])

    def numpy(self) -> Any:
        return self.values


class Mfcc:
    """Kaldi's MFCCs by kaldi-native-fbank."""

    def __init__(self, options: SimpleNamespace) -> None:
        self._options = fbank.MfccOptions()
        _fill(self._options, options)

    def compute(self, wave: Any) -> Matrix:
        online = fbank.OnlineMfcc(self._options)
        online.accept_waveform(self._options.frame_opts.samp_freq, np.asarray(wave, np.float32).tolist())
        online.input_finished()
        return Matrix(np.stack([np.array(online.get_frame(n)) for n in range(online.num_frames_ready)]))


def _fill(real: Any, wanted: SimpleNamespace) -> None:
    for name, value in vars(wanted).items():
        if isinstance(value, SimpleNamespace):
            _fill(getattr(real, name), value)
        elif hasattr(real, name):
            setattr(real, name, value)


def InitCmvnStats(dimensions: int, stats: Matrix) -> None:
    stats.values = np.zeros((2, dimensions + 1))


def AccCmvnStats(features: Matrix, weights: None, stats: Matrix) -> None:
    stats.values = stats.values + fbank.compute_cmvn_stats(features.values)


def ApplyCmvn(stats: Matrix, norm_vars: bool, features: Matrix) -> None:
    features.values = fbank.apply_cmvn(stats.values, fbank.CmvnOptions(norm_vars=norm_vars), features.values)


def compute_deltas(options: Any, features: Matrix) -> Matrix:
    return Matrix(fbank.compute_deltas(fbank.DeltaOptions(), features.values))


class _Read:
    """An object that is read from a file of pickled ones."""

    real: Any = None

    def Read(self, stream: BinaryIO, binary: bool) -> None:
        self.real = pickle.load(stream)  # the test's own files


class TransitionModel(_Read):
    """Which states and transitions belong to which phone."""

    def TransitionIdToPhone(self, transition: int) -> int:
        return int(self.real.transition_id_to_phone(transition))


class AmDiagGmm(_Read):
    """The Gaussians of all states."""


class ContextDependency(_Read):
    """The tree; kept as sets of phones that share states, and their number, as the port cannot read one."""

    def Read(self, stream: BinaryIO, binary: bool) -> None:
        super().Read(stream, binary)
        self.real = hmm_gmm.monophone_context_dependency_shared(*self.real)


class Input:
    """An open file."""

    def Open(self, path: str, binary: bool) -> None:
        self._file = Path(path).open("rb")  # noqa: SIM115  closed in Close()

    def Stream(self) -> BinaryIO:
        return self._file

    def Close(self) -> None:
        self._file.close()


def ReadKaldiObject(path: str, found: _Read) -> None:
    with Path(path).open("rb") as file:
        found.Read(file, True)


class VectorFst:
    """A transducer of Kaldi's OpenFst."""

    def __init__(self, real: Any = None) -> None:
        self.real = real

    @staticmethod
    def from_pynini(fst: Any) -> VectorFst:
        with tempfile.NamedTemporaryFile() as file:
            fst.write(file.name)
            return VectorFst(kaldifst.StdVectorFst.read(file.name))

    def Start(self) -> int:
        return int(self.real.start)


class TrainingGraphCompiler:
    """The states that a text can run through."""

    def __init__(
        self, model: TransitionModel, tree: ContextDependency, lexicon: VectorFst, silent: list[int], options: Any
    ) -> None:
        self._kept = model, tree, lexicon  # the port keeps references only
        self._real = hmm_gmm.TrainingGraphCompiler(model.real, tree.real, lexicon.real, silent, options)

    def CompileGraphFromText(self, words: list[int]) -> VectorFst:
        return VectorFst(self._real.compile_graph_from_text(words))


def gmm_align_compiled(
    transitions: TransitionModel, gaussians: AmDiagGmm, graph: VectorFst, features: Matrix, *, acoustic_scale: float,
    transition_scale: float, self_loop_scale: float, beam: float, retry_beam: float, careful: bool,
) -> tuple[list[int], list[int], float, None, bool, bool]:  # fmt: skip
    """The states of the frames, the words, their likelihood; none by frame; found, and found at the second try."""
    hmm_gmm.add_transition_probs(
        trans_model=transitions.real, disambig_syms=[], transition_scale=transition_scale,
        self_loop_scale=self_loop_scale, fst=graph.real,
    )  # fmt: skip
    scores = hmm_gmm.DecodableAmDiagGmmScaled(
        gaussians.real, transitions.real, features.values.astype(np.float32), acoustic_scale
    )
    for width in (beam, retry_beam):
        decoder = hmm_gmm.FasterDecoder(graph.real, hmm_gmm.FasterDecoderOptions(beam=width))
        decoder.decode(scores)
        if decoder.reached_final():
            _, path = decoder.get_best_path()
            _, states, words, weight = kaldifst.get_linear_symbol_sequence(path)
            return states, words, -(weight.value1 + weight.value2) / acoustic_scale, None, True, width != beam
    return [], [], 0.0, None, False, True


def SplitToPhones(model: TransitionModel, transitions: Sequence[int]) -> list[list[int]]:
    """The transitions of each phone: it ends with its last state's way out and the self-loops that follow it."""
    found: list[list[int]] = [[]]
    ending = False
    for one in transitions:
        if ending and not (
            model.real.is_self_loop(one) and model.real.id2state[one] == model.real.id2state[found[-1][-1]]
        ):
            found.append([])
            ending = False
        found[-1].append(one)
        ending = ending or model.real.is_final(one)
    return found


@dataclass
class CtmInterval:
    """A phone and its time."""

    begin: float
    end: float
    label: str
    symbol: int = -1
    confidence: float = 0.0


@dataclass
class WordCtmInterval:
    """A word and its phones."""

    label: str
    symbol: int
    phones: list[CtmInterval] = field(default_factory=list)

    @property
    def begin(self) -> float:
        return self.phones[0].begin

    @property
    def end(self) -> float:
        return self.phones[-1].end


def _options(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace()


_NAMES: dict[str, dict[str, Any]] = {
    "matrix": {"FloatMatrix": Matrix, "DoubleMatrix": Matrix},
    "feat": {
        "Mfcc": Mfcc, "MfccOptions": _options, "MelBanksOptions": lambda bins: SimpleNamespace(num_bins=bins),
        "FrameExtractionOptions": _options, "DeltaFeaturesOptions": _options, "compute_deltas": compute_deltas,
    },
    "transform": {"InitCmvnStats": InitCmvnStats, "AccCmvnStats": AccCmvnStats, "ApplyCmvn": ApplyCmvn},
    "hmm": {"TransitionModel": TransitionModel, "SplitToPhones": SplitToPhones},
    "gmm": {"AmDiagGmm": AmDiagGmm, "gmm_align_compiled": gmm_align_compiled},
    "tree": {"ContextDependency": ContextDependency},
    "fstext": {"VectorFst": VectorFst},
    "decoder": {
        "TrainingGraphCompiler": TrainingGraphCompiler,
        "TrainingGraphCompilerOptions": hmm_gmm.TrainingGraphCompilerOptions,
    },
    "util": {
        "Input": Input, "ReadKaldiObject": ReadKaldiObject,
        "CtmInterval": CtmInterval, "WordCtmInterval": WordCtmInterval,
    },
    "lat": {}, "lm": {}, "ivector": {}, "chain": {}, "nnet3": {},
}  # fmt: skip


def _absent(module: str) -> Any:
    def find(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def fail(self: object, *arguments: Any, **options: Any) -> None:
            raise NotImplementedError(f"{module}.{name} is Kaldi's own and not here")

        return type(name, (), {"__init__": fail})

    return find


for _name, _contents in _NAMES.items():
    _module = ModuleType(f"{__name__}.{_name}")
    vars(_module).update(_contents, __getattr__=_absent(_module.__name__))
    sys.modules[_module.__name__] = globals()[_name] = _module
