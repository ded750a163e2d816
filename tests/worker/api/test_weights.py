"""`Weights` as an author writes it, and as a handler reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroidle.volume.weights import Weights as VolumeWeights
from zeroidle_worker.api.weights import Weights, WeightsError, join, split

letters = st.characters(codec="utf-8", exclude_characters="\0\n")
patterns = st.lists(st.text(letters, min_size=1, max_size=12), max_size=4)


@given(patterns, patterns)
def test_a_setting_keeps_every_pattern(allow: list[str], deny: list[str]) -> None:
    weights = Weights("hf:acme/tiny@main", allow, deny)
    text = weights.to_setting()
    assert Weights(text) == weights
    assert set(Weights(text).allow) == set(allow) and set(Weights(text).deny) == set(deny)
    assert join(split(text)) == text
    plain = VolumeWeights(text)
    assert (plain.source, plain.allow, plain.deny) == ("hf:acme/tiny@main", weights.allow, weights.deny)
    assert plain.text == text


def test_a_hash_and_patterns_stand_side_by_side() -> None:
    text = f"https://example.org/x.zip#sha256={'A' * 64}"
    assert Weights(text).to_setting() == text.replace("A", "a")
    assert Weights(text, allow=["*.bin"]).to_setting().endswith("&allow=*.bin")


def test_the_path_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Weights("hf:acme/tiny", allow=["*.json"])
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("ZEROIDLE_WEIGHTS", json.dumps({weights.to_setting(): str(tmp_path)}))
    assert weights.path == tmp_path and os.fspath(weights) == str(tmp_path)
    assert weights.file("config.json").read_text() == "{}"
    with pytest.raises(WeightsError, match=r"no file 'model\.bin'"):
        weights.file("model.bin")
    with pytest.raises(WeightsError, match="zeroidle volume pull hf:acme/other"):
        _ = Weights("hf:acme/other").path


@pytest.mark.parametrize("bad", ["hf:a/b#", "hf:a/b#x", "hf:a/b#allow=", "hf:a/b#colour=red"])
def test_what_makes_no_sense_is_refused(bad: str) -> None:
    if bad.endswith("#"):
        assert Weights(bad).to_setting() == "hf:a/b"
        return
    with pytest.raises(WeightsError, match="after # may stand"):
        Weights(bad)


def test_a_pattern_alone_is_a_common_slip() -> None:
    with pytest.raises(WeightsError, match=r"list of patterns, as \['\*\.json'\]"):
        Weights("hf:a/b", allow="*.json")
