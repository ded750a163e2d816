"""Builds tiny random checkpoints in the real formats: wav2vec2 phoneme CTC, Whisper (both forms), ByT5 G2P.

Run in an environment with torch, transformers and faster-whisper: `python tiny_transformers.py FOLDER`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

PHONES = ["p", "b", "t", "d", "k", "ɡ", "m", "n", "ŋ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ", "h", "tʃ", "dʒ", "l",
          "ɹ", "w", "j", "iː", "i", "ɪ", "eɪ", "ɛ", "æ", "ɑː", "ɔː", "oʊ", "ʊ", "uː", "ʌ", "ə", "ɚ", "ɜː", "aɪ", "aʊ",
          "ɔɪ", "ɐ", "ᵻ", "ɾ", "ɑːɹ", "oːɹ", "əl"]  # fmt: skip


def wav2vec2(folder: Path) -> None:
    """A phoneme CTC model of the real layout: 20 ms per frame, vocab.json, preprocessor_config.json."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    tokens = ["<pad>", "<s>", "</s>", "<unk>", *PHONES]
    config = Wav2Vec2Config(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, do_stable_layer_norm=True, feat_extract_norm="layer",
    )  # fmt: skip
    torch.manual_seed(1)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: at for at, token in enumerate(tokens)}), encoding="utf-8")


def byt5(folder: Path) -> None:
    """A byte-level T5."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(1)
    config = T5Config(
        vocab_size=384, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_decoder_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    letters = torch.zeros(384, 1)
    letters[3 + ord("a") : 4 + ord("z")] = 1.0  # random weights would answer bytes that are no text
    model.lm_head.weight.data *= letters
    model.save_pretrained(folder)


def whisper(folder: Path) -> None:
    """A Whisper of the real vocabulary layout (large-v3's: 51,866 tokens, 128 mel bands)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizerFast,
    )
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE  # noqa: F401

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = "bcdfghjklmnprstvwz"
    filler = (f"Ġ{a}{v}{b}{w}" for a in letters for v in "aeiou" for b in letters for w in "aeiou")
    more = (f"{a}{v}{b}{w}{c}" for a in letters for v in "aeiou" for b in letters for w in "aeiou" for c in letters)
    vocabulary = {token: at for at, token in enumerate(alphabet)}
    for source in (filler, more):
        for token in source:
            if len(vocabulary) == 50_256:
                break
            vocabulary.setdefault(token, len(vocabulary))
    vocabulary[""] = 50_256  # CTranslate2 tells a multilingual model by this token
    codes = [*LANGUAGES]
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in codes), "<|translate|>",
               "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]  # fmt: skip
    times = [f"<|{0.02 * at:.2f}|>" for at in range(1501)]
    base = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    base.add_special_tokens(special)
    base.add_tokens(times)
    tokenizer = WhisperTokenizerFast(
        tokenizer_object=base, unk_token="<|endoftext|>", bos_token="<|endoftext|>", eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )  # fmt: skip
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (*special, *times)}
    assert (ids["<|endoftext|>"], ids["<|startoftranscript|>"], ids["<|en|>"]) == (50257, 50258, 50259), ids
    assert (ids["<|notimestamps|>"], ids["<|0.00|>"]) == (50364, 50365)
    config = WhisperConfig(
        vocab_size=51_866, num_mel_bins=128, d_model=16, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        pad_token_id=50257, bos_token_id=50257, eos_token_id=50257, decoder_start_token_id=50258,
    )  # fmt: skip
    torch.manual_seed(1)
    model = WhisperForConditionalGeneration(config)
    silenced = [number for token, number in ids.items() if token in special and token != "<|endoftext|>"]
    model.generation_config = GenerationConfig(
        is_multilingual=True, lang_to_id={f"<|{code}|>": ids[f"<|{code}|>"] for code in codes},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=50364, prev_sot_token_id=ids["<|startofprev|>"], alignment_heads=[[1, 0], [1, 1]],
        max_initial_timestamp_index=50, max_length=64, suppress_tokens=silenced, begin_suppress_tokens=[50257],
        pad_token_id=50257, eos_token_id=50257, bos_token_id=50257, decoder_start_token_id=50258,
        return_timestamps=False,
    )  # fmt: skip
    model.save_pretrained(folder)
    extractor = WhisperFeatureExtractor(feature_size=128)
    WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    extractor.save_pretrained(folder)  # faster-whisper reads preprocessor_config.json


def whisper_ct2(source: Path, folder: Path) -> None:
    """The same model converted for faster-whisper."""
    import shutil

    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(source)).convert(str(folder))
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(source / name, folder / name)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for build in (wav2vec2, byt5, whisper):
        build(root / build.__name__)
    whisper_ct2(root / "whisper", root / "whisper-ct2")
