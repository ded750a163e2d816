"""The scoring core on made-up posteriors: the best path, left-out words, extra speech, CTC, and goodness scores."""

from __future__ import annotations

import itertools
from itertools import pairwise

import numpy as np
import pytest

from zeroidle.recipes.speech.align import Alignment, align
from zeroidle.recipes.speech.errors import InputError, UnsupportedText
from zeroidle.recipes.speech.gop import DELETED, score_phones
from zeroidle.recipes.speech.graph import FILLER, REST, Miscue
from zeroidle.recipes.speech.phone_loop import recognise
from zeroidle.recipes.speech.posteriors import Posteriors

PHONES = ("A", "B", "C", "D")


def spoken(plan: str, states: int = 3, blank: bool = False, noise: float = 0.0, seed: int = 0) -> Posteriors:
    """Posteriors of a plan such as "AAAABBB__CCC": one frame for each letter, "_" is rest."""
    drawn = np.random.default_rng(seed)
    logits = noise * drawn.standard_normal((len(plan), len(PHONES), states))
    rest = noise * drawn.standard_normal(len(plan))
    run = 0
    for t, letter in enumerate(plan):
        run = run + 1 if t and plan[t - 1] == letter else 0
        if letter == "_":
            rest[t] += 6.0
            continue
        length = len(plan[t - run :]) - len(plan[t - run :].lstrip(letter))
        logits[t, PHONES.index(letter), min(states - 1, states * run // length)] += 6.0
    best = np.concatenate([logits.max(axis=2), rest[:, None]], axis=1)
    total = np.log(np.exp(best).sum(axis=1))
    return Posteriors(logits - total[:, None, None], rest - total, PHONES, 0.01, blank)


def shown(alignment: Alignment) -> str:
    """The alignment in the form of a plan."""
    letters = {REST: "_", FILLER: "*"}
    return "".join(letters.get(span.word, span.label) * (span.end - span.start) for span in alignment.spans)


@pytest.mark.parametrize("plan", ["AAAABBBBCCC", "__AAAABBBB___CCC__", "AAAAAAAABBBCCCCCCCCC"])
def test_times_follow_the_sound(plan: str) -> None:
    found = align([[("A", "B")], [("C",)]], spoken(plan, noise=0.3))
    assert shown(found) == plan
    assert found.variants == (0, 0)


def test_the_variant_that_fits_is_chosen() -> None:
    found = align([[("A", "D"), ("A", "C")], [("B",), ("D",)]], spoken("AAAACCCCDDDD"))
    assert found.variants == (1, 1)


def brute_force(words: list[list[tuple[str, ...]]], posteriors: Posteriors) -> float:
    """The best score by trying every segmentation, with optional rests between words."""
    states = posteriors.scores.shape[2]
    best = -np.inf
    for choice in itertools.product(*words):
        for rests in itertools.product((False, True), repeat=len(words) + 1):
            rows = []
            for at, variant in enumerate(choice):
                rows += [posteriors.rest] * rests[at]
                rows += [posteriors.scores[:, PHONES.index(p), s] for p in variant for s in range(states)]
            rows += [posteriors.rest] * rests[-1]
            for cuts in itertools.combinations(range(1, posteriors.frames), len(rows) - 1):
                edges = [0, *cuts, posteriors.frames]
                best = max(best, sum(row[a:b].sum() for row, (a, b) in zip(rows, pairwise(edges), strict=True)))
    return float(best)


@pytest.mark.parametrize("seed", range(6))
def test_no_better_path_exists(seed: int) -> None:
    posteriors = spoken("AABB_CDD", states=1, noise=3.0, seed=seed)
    words = [[("A", "B"), ("B",)], [("C", "D"), ("D",)]]
    assert align(words, posteriors).score == pytest.approx(brute_force(words, posteriors))


def test_a_left_out_word_is_found_and_an_extra_one_too() -> None:
    miscue = Miscue(omit_per_phone=10.0, insert=5.0, insert_per_frame=0.5)
    words = [[("A", "B")], [("D", "D")], [("C", "A")]]
    left_out = align(words, spoken("AAAABBBB__CCCCAAAA"), miscue)
    assert left_out.variants == (0, None, 0)
    extra = align([words[0], words[2]], spoken("AAAABBBB" + "DDDDBBBBDDDD" + "CCCCAAAA"), miscue)
    assert extra.variants == (0, 0)
    assert shown(extra) == "AAAABBBB" + "*" * 12 + "CCCCAAAA"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_the_first_and_the_last_word_can_be_left_out(missing: int) -> None:
    miscue = Miscue(omit_per_phone=8.0, insert=50.0, insert_per_frame=2.0)
    parts = ["AAAABBBB", "DDDDCCCC", "BBBBDDDD"]
    words = [[("A", "B")], [("D", "C")], [("B", "D")]]
    plan = "_".join(part for at, part in enumerate(parts) if at != missing)
    assert align(words, spoken(plan), miscue).variants == tuple(None if at == missing else 0 for at in range(3))


def test_with_miscue_all_words_may_be_left_out() -> None:
    found = align([[("A",)], [("B",)]], spoken("____________"), Miscue(5.0, 50.0, 2.0))
    assert found.variants == (None, None)
    assert score_phones(spoken("____________"), found.spans) == []


def test_audio_too_short_for_the_text_is_a_sentence() -> None:
    with pytest.raises(InputError, match=r"too short for the text: 0\.05 s of audio"):
        align([[("A", "B", "C")]], spoken("AABBC"))


def test_an_unknown_phone_is_named() -> None:
    with pytest.raises(UnsupportedText, match='no phone "X"'):
        align([[("A", "X")]], spoken("AAABBB"))


def test_ctc_needs_a_blank_between_equal_phones_and_gives_pauses_back() -> None:
    posteriors = spoken("__A__A___________B___", states=1, blank=True)
    found = align([[("A", "A")], [("B",)]], posteriors)
    phones = found.phones()
    assert [(span.label, span.start) for span in phones] == [("A", 2), ("A", 5), ("B", 17)]
    assert phones[1].heard == 6
    assert phones[1].end == 12  # 60 ms of blank still belong to the word; the rest is a pause
    assert all(score.posterior > -0.1 for score in score_phones(posteriors, found.spans))


def test_ctc_does_not_merge_two_phones_into_one_spike() -> None:
    one_spike = spoken("__A__B___", states=1, blank=True)
    two_spikes = spoken("__A_AB___", states=1, blank=True)
    words = [[("A", "A", "B")]]
    assert align(words, two_spikes).score - align(words, one_spike).score > 5.0


def test_scores_name_what_was_said_instead() -> None:
    posteriors = spoken("AAAADDDDCCCC", noise=0.3)
    scores = score_phones(posteriors, align([[("A", "B", "C")]], posteriors).spans)
    assert [score.alternative for score in scores][1] == "D"
    assert scores[1].substitution_gop < -10 < 0 < min(scores[0].substitution_gop, scores[2].substitution_gop)
    assert scores[1].frame_gop < -3
    assert scores[0].frame_gop == scores[2].frame_gop == 0
    assert scores[1].candidates[0][0] == "D"


def test_a_phone_that_is_not_there_is_called_deleted() -> None:
    posteriors = spoken("AAAAAACCCCCC", noise=0.1)
    scores = score_phones(posteriors, align([[("A", "B", "C")]], posteriors).spans)
    assert scores[1].alternative == DELETED
    assert scores[1].substitution_gop < -5


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_distance_to_an_alternative_is_that_of_aligning_again(seed: int, blank: bool) -> None:
    """Local re-alignment by running maxima gives what a whole new Viterbi search gives."""
    states = 1 if blank else 3
    posteriors = spoken("AAAABBBBCCCCAAAA", states=states, blank=blank, noise=2.0, seed=seed)
    word = ("A", "B", "C", "A")
    found = align([[word]], posteriors)
    canonical = align([[word]], posteriors).score
    for at, score in enumerate(score_phones(posteriors, found.spans)):
        others = [
            align([[(*word[:at], other, *word[at + 1 :])]], posteriors).score
            for other in PHONES
            # Two equal phones in a row are one to CTC, which is the case of leaving one out.
            if other != word[at] and not (blank and other in (word[max(at - 1, 0)], word[min(at + 1, 3)]))
        ]
        others.append(align([[word[:at] + word[at + 1 :]]], posteriors).score)
        # A pause that the first alignment has not may be in another one, so the distance is at least this.
        assert score.substitution_gop >= canonical - max(others) - 1e-6
        if not blank:
            assert score.substitution_gop == pytest.approx(canonical - max(others), abs=2.0)


@pytest.mark.parametrize("plan", ["AAAABBBBBCCCC", "_____AAAAAABBBBBB_____DDDDDD_____", "AAAAAA"])
def test_the_phone_loop_hears_what_was_said(plan: str) -> None:
    found = recognise(spoken(plan, noise=0.5))
    assert "".join(("_" if span.word == REST else span.label) * (span.end - span.start) for span in found) == plan


def test_the_phone_loop_of_ctc_collapses_repeats_and_blanks() -> None:
    found = recognise(spoken("__AA_A__BB_", states=1, blank=True))
    assert [span.label for span in found if span.word >= 0] == ["A", "A", "B"]
