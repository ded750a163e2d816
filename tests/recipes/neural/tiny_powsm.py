"""Builds a tiny random POWSM in ESPnet's format and loads it by the product's own code.

Run in an environment with torch and ESPnet: `python tiny_powsm.py FOLDER CLIP`; prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

PHONES = ["p", "b", "t", "d", "k", "ɡ", "m", "n", "ŋ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ", "h", "t͡ʃ", "d͡ʒ", "l",
          "ɹ", "w", "j", "i", "ɪ", "e", "ɛ", "æ", "ɑ", "ɔ", "o", "ʊ", "u", "ʌ", "ə", "ɚ", "a", "tʰ", "kʰ"]  # fmt: skip


def build(folder: Path) -> None:
    """Trains a sentencepiece model, builds random weights through ESPnet's task and writes the packed layout."""
    import sentencepiece
    import torch
    import yaml

    from zeroidle.recipes.speech.neural.powsm import _spare_g2p_en

    _spare_g2p_en()
    from espnet2.tasks.s2t import S2TTask

    times = [f"<{0.02 * at:.2f}>" for at in range(1001)]
    symbols = ["<na>", "<nospeech>", "<eng>", "<deu>", "<asr>", "<pr>", "<g2p>", "<p2g>",
               "<notimestamps>", *times, *(f"/{phone}/" for phone in PHONES)]  # fmt: skip
    pieces = folder / "data" / "bpe.model"
    pieces.parent.mkdir(parents=True)
    corpus = folder / "corpus.txt"
    corpus.write_text("front center\nthe quick brown fox jumps over the lazy dog\n" * 20, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(pieces.with_suffix("")), vocab_size=len(symbols) + 40,
        user_defined_symbols=symbols, character_coverage=1.0, hard_vocab_limit=False, model_type="unigram",
        minloglevel=2,
    )  # fmt: skip
    known = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    learnt = [known.id_to_piece(at) for at in range(known.get_piece_size())]
    rest = [piece for piece in learnt if piece not in ("<unk>", "<s>", "</s>", *symbols)]
    tokens = ["<blank>", "<unk>", *symbols, *rest, "<sos>", "<eos>", "<sop>"]
    config = S2TTask.get_default_config() | {
        "token_list": tokens, "token_type": "bpe", "bpemodel": "data/bpe.model", "input_size": None,
        "frontend": "default", "frontend_conf": {"fs": "16k", "n_fft": 512, "win_length": 400, "hop_length": 160},
        "specaug": None, "normalize": None, "encoder": "e_branchformer",
        "encoder_conf": {"output_size": 32, "attention_heads": 2, "cgmlp_linear_units": 64, "linear_units": 64,
                         "num_blocks": 1, "cgmlp_conv_kernel": 7, "merge_conv_kernel": 7, "input_layer": "conv2d",
                         "positional_dropout_rate": 0.0, "dropout_rate": 0.0},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 64, "num_blocks": 1, "input_layer": "embed"},
        "model_conf": {"ctc_weight": 0.3, "sym_sos": "<sos>", "sym_eos": "<eos>", "sym_sop": "<sop>",
                       "sym_na": "<na>"},
        "preprocessor": "s2t",
        "preprocessor_conf": {"fs": 16000, "speech_length": 20, "notime_symbol": "<notimestamps>",
                              "first_time_symbol": times[0], "last_time_symbol": times[-1], "na_symbol": "<na>"},
    }  # fmt: skip
    torch.manual_seed(3)
    model = S2TTask.build_model(Namespace(**config))
    (folder / "exp").mkdir()
    (folder / "exp" / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    torch.save(model.state_dict(), folder / "exp" / "valid.acc.ave.pth")


def use(folder: Path, clip: Path) -> dict[str, Any]:
    """What the backend makes of the clip, for all four tasks."""
    import numpy as np

    from zeroidle.recipes.speech import audio
    from zeroidle.recipes.speech.assess_service import AssessService, Request
    from zeroidle.recipes.speech.errors import SpeechError
    from zeroidle.recipes.speech.ipa_service import IpaService
    from zeroidle.recipes.speech.neural.powsm import Powsm

    recording = audio.load(clip)
    powsm = Powsm(folder, beam=1)
    powsm._model.maxlenratio = -12  # random weights never end a sentence
    posteriors = powsm.score(recording.samples, "en-us")
    long = np.tile(recording.samples, 40)[: 16_000 * 45]
    best = np.concatenate([posteriors.of_phones(), posteriors.rest[:, None]], axis=1)
    found: dict[str, Any] = {
        "seconds": recording.duration_s,
        "shape": posteriors.scores.shape,
        "sums": [float(np.exp(best).sum(axis=1).min()), float(np.exp(best).sum(axis=1).max())],
        "frames of 45 s": powsm.score(long, "en-us").frames,
        "pr": powsm.heard_phones(recording.samples, "en-us"),
        "pr of 45 s": len(powsm.heard_phones(long, "en-us")),
        "g2p": powsm.heard_as(recording.samples, "Front, center!", "en-us"),
        "asr": [word.text for word in powsm.words(recording.samples, "xx")],
    }
    try:
        powsm.heard_as(long, "front", "en-us")
    except SpeechError as exc:
        found["g2p refuses"] = exc.message
    os.environ["POWSM_MODEL"] = str(folder)
    service = AssessService()
    found["assessed"] = service.run(Request(clip, "front center", miscue=False)).body
    ipa = IpaService()
    ipa.backends.powsm()._model.maxlenratio = -12
    found["ipa pr"] = ipa.run({"audio": clip}, lambda event: None)
    found["ipa g2p"] = ipa.run({"audio": clip, "text": "front center"}, lambda event: None)
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not target.exists():
        target.mkdir(parents=True)
        build(target)
    print(json.dumps(use(target, Path(sys.argv[2]))))
