"""Makes tiny checkpoints with random weights: `make_checkpoints.py FOLDER`, in the loaders' environment."""

import json
import sys
from pathlib import Path

import ctranslate2
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

LANGUAGES = ("en", "de", "fr")


def bert(folder: Path) -> None:
    """A BERT with a tokenizer of five words, as safetensors."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(folder)
    tokenizer(["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "the", "quick", "fox"], "[UNK]").save_pretrained(folder)


def tokenizer(words: list, unknown: str) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token=unknown, pad_token=words[1])


def whisper(folder: Path, draft: Path) -> None:
    """A Whisper in CTranslate2's format, as faster-whisper loads it."""
    torch.manual_seed(0)
    words = ["<|endoftext|>", "!", "a", "b", "c", " a", " b", "<|startoftranscript|>"]
    words += [f"<|{language}|>" for language in LANGUAGES]
    words += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    words += [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    made = tokenizer(words, "<|endoftext|>")
    made.add_special_tokens({"additional_special_tokens": [w for w in words if w.startswith("<|")][1:]})
    config = WhisperConfig(
        vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=80,
        pad_token_id=1, bos_token_id=0, eos_token_id=0, decoder_start_token_id=words.index("<|startoftranscript|>"),
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config.lang_to_id = {f"<|{language}|>": words.index(f"<|{language}|>") for language in LANGUAGES}
    model.generation_config.alignment_heads = [[0, 0]]
    model.save_pretrained(draft)
    made.save_pretrained(draft)
    WhisperFeatureExtractor().save_pretrained(draft)
    ctranslate2.converters.TransformersConverter(str(draft)).convert(str(folder), force=True)
    made.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text((draft / "preprocessor_config.json").read_text())


if __name__ == "__main__":
    root = Path(sys.argv[1])
    bert(root / "bert")
    whisper(root / "whisper", root / "draft")
    print(json.dumps({name: sorted(p.name for p in (root / name).iterdir()) for name in ("bert", "whisper")}))
