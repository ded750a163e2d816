"""Assessment of real human speech: Debian's pocketsphinx-testdata with its transcripts, and the alsa-utils clips."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.recipes.clips import SpeechClip
from zeroidle.recipes.speech import audio
from zeroidle.recipes.speech.align import align
from zeroidle.recipes.speech.assess import INSERTION, OMISSION, Assessment, Wish, assess
from zeroidle.recipes.speech.errors import SpeechError
from zeroidle.recipes.speech.lexicon import Lexicon
from zeroidle.recipes.speech.posteriors import Posteriors
from zeroidle.recipes.speech.sphinx import Sphinx

Heard = dict[SpeechClip, tuple[audio.Recording, Posteriors]]
#: How far the aligner inside pocketsphinx and ours may differ, in frames of 10 ms.
WITHIN_FRAMES = 5


@pytest.fixture(scope="module")
def lexicon(espeak: None) -> Lexicon:
    return Lexicon()


@pytest.fixture(scope="module")
def heard(clips: list[SpeechClip], sphinx: Sphinx) -> Heard:
    """Each clip, read and scored once."""
    found = {}
    for clip in clips:
        recording = audio.load(clip.path)
        found[clip] = recording, sphinx.score(recording.samples)
    return found


def judged(
    clip: SpeechClip, text: str, heard: Heard, lexicon: Lexicon,
    sphinx: Sphinx, miscue: bool = False,
) -> Assessment:  # fmt: skip
    recording, posteriors = heard[clip]
    return assess(recording, lexicon.words(text), sphinx, Wish(miscue), posteriors=posteriors)


def test_there_are_enough_clips(clips: list[SpeechClip]) -> None:
    assert len(clips) >= 20


def test_the_right_text_and_wrong_texts_separate_on_every_clip(
    clips: list[SpeechClip], heard: Heard, lexicon: Lexicon, sphinx: Sphinx
) -> None:
    tried = 0
    for clip in clips:
        right = judged(clip, clip.text, heard, lexicon, sphinx)
        assert right.matches, clip
        assert right.accuracy > 45, (str(clip), right.accuracy)
        others = [other for other in clips if 0.3 < len(other.text) / len(clip.text) < 2.5]
        for other in others[:12]:
            if set(other.text.split()) & set(clip.text.split()):
                continue  # partly right
            try:
                wrong = judged(clip, other.text, heard, lexicon, sphinx)
            except SpeechError:
                continue  # too long a text for so short a clip is refused, which is right as well
            tried += 1
            assert not wrong.matches, (str(clip), other.text)
            assert wrong.match_posterior < right.match_posterior - 1.0, (str(clip), other.text)
            assert wrong.accuracy < right.accuracy - 15, (str(clip), other.text)
    assert tried > 100


def test_a_missing_word_of_the_text_is_an_omission_where_it_stands(
    clips: list[SpeechClip], heard: Heard, lexicon: Lexicon, sphinx: Sphinx
) -> None:
    hits = falsely = words = 0
    for number, clip in enumerate(clips):
        said = clip.text.split()
        at = number % (len(said) + 1)
        text = " ".join([*said[:at], "umbrella", *said[at:]])
        found = [word.text for word in judged(clip, text, heard, lexicon, sphinx, miscue=True).words
                 if word.error == OMISSION]  # fmt: skip
        hits += "umbrella" in found
        falsely += len([word for word in found if word != "umbrella"])
        words += len(said)
    assert hits >= 0.9 * len(clips)
    assert falsely <= 0.02 * words


def test_a_word_that_the_text_lacks_is_an_insertion(
    clips: list[SpeechClip], heard: Heard, lexicon: Lexicon, sphinx: Sphinx
) -> None:
    long = [clip for clip in clips if len(clip.text.split()) >= 4]
    hits = falsely = 0
    for clip in long:
        said = clip.text.split()
        at = max(range(1, len(said) - 1), key=lambda n: len(said[n]))
        less = judged(clip, " ".join(said[:at] + said[at + 1 :]), heard, lexicon, sphinx, miscue=True)
        hits += any(word.error == INSERTION for word in less.words)
        whole = judged(clip, clip.text, heard, lexicon, sphinx, miscue=True)
        falsely += any(word.error == INSERTION for word in whole.words)
    assert hits >= 0.9 * len(long)
    assert falsely <= 0.2 * len(long)


def built_in(recording: audio.Recording, text: str) -> list[tuple[str, int, int]] | None:
    """Phones with first and past-the-last frame by pocketsphinx's own aligner; None where that fails."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(samprate=16000, lm=None, loglevel="FATAL")
    pcm = (recording.samples * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(text)
        for second in (False, True):
            if second:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
        return [
            (phone.name, phone.start, phone.start + phone.duration)
            for word in decoder.get_alignment() for phone in word if phone.name not in ("SIL", "+NSN+", "+SPN+")
        ]  # fmt: skip
    except RuntimeError:
        return None


def test_phone_times_agree_with_the_built_in_aligner(clips: list[SpeechClip], heard: Heard, lexicon: Lexicon) -> None:
    """Where both chose the same phones, half of all edges within 20 ms, and nearly all within 50 ms."""
    distances: list[int] = []
    compared = 0
    for clip in clips:
        recording, posteriors = heard[clip]
        theirs = built_in(recording, clip.text)
        ours = align([word.variants for word in lexicon.words(clip.text)], posteriors).phones()
        if theirs is None or [name for name, _, _ in theirs] != [span.label for span in ours]:
            continue
        compared += 1
        distances += [abs(span.start - start) for span, (_, start, _) in zip(ours, theirs, strict=True)]
    assert compared >= 10
    assert np.median(distances) <= 2
    assert np.mean(np.array(distances) <= WITHIN_FRAMES) >= 0.95


def test_no_clip_fails_and_all_times_are_in_order(
    clips: list[SpeechClip], heard: Heard, lexicon: Lexicon, sphinx: Sphinx
) -> None:
    for clip in clips:
        found = judged(clip, clip.text, heard, lexicon, sphinx, miscue=True)
        phones = [phone for word in found.words for phone in word.phones]
        assert phones
        edges = [edge for phone in phones for edge in (phone.start_s, phone.end_s)]
        assert edges == sorted(edges)
        assert edges[-1] <= heard[clip][0].duration_s + 0.02
        assert all(0 <= phone.accuracy <= 100 for phone in phones)


def test_every_recording_of_the_package_can_be_assessed(testdata: Path, sphinx: Sphinx, lexicon: Lexicon) -> None:
    for raw in (testdata / "numbers.raw", testdata / "tidigits" / "dhd.2934z.raw"):
        samples = np.frombuffer(raw.read_bytes(), "<i2").astype(np.float32) / 32768
        recording = audio.check(samples, 16_000)
        found = assess(recording, lexicon.words("two nine three four"), sphinx, Wish(miscue=True))
        assert found.words


@pytest.mark.parametrize(
    ("said", "text", "expected", "heard_as"),
    [
        ("s ih ng k", "think", "TH", "S"),
        ("l eh dh er", "weather", "W", "L"),
        ("t ey b ax l", "cable", "K", "T"),
        ("f aa dh er", "mother", "M", "F"),
        ("s ih t iy", "kitty", "K", "S"),
    ],
)
def test_a_wrong_sound_is_named(
    flite: None, tmp_path: Path, sphinx: Sphinx, lexicon: Lexicon, said: str, text: str, expected: str, heard_as: str
) -> None:
    import subprocess

    path = tmp_path / "said.wav"
    subprocess.run(["flite", "-voice", "slt", "-p", f"pau {said} pau", "-o", str(path)], check=True)
    found = assess(audio.load(path), lexicon.words(text), sphinx, Wish(miscue=False))
    worst = min(found.words[0].phones, key=lambda phone: phone.accuracy)
    assert (worst.label, worst.score.alternative) == (expected, heard_as)
    assert worst.accuracy < 30
    assert found.words[0].error == "Mispronunciation"


def test_stereo_and_other_rates_give_the_same_scores(alsa: Path, sphinx: Sphinx, lexicon: Lexicon) -> None:
    words = lexicon.words("front center")
    with wave.open(str(alsa / "Front_Center.wav")) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
    base = assess(audio.load(alsa / "Front_Center.wav"), words, sphinx)
    for name, data, at in (
        ("stereo", np.column_stack([samples, samples]), rate),
        ("one channel silent", np.column_stack([samples, np.zeros_like(samples)]), rate),
        ("opposite phase", np.column_stack([samples, -samples]), rate),
        ("16 kHz", audio.resample(samples.astype(np.float32), rate), 16_000),
        ("44.1 kHz", audio.resample(samples.astype(np.float32), rate, 44_100), 44_100),
    ):  # fmt: skip
        found = assess(audio.check(data.astype(np.float32) / 32768, at), words, sphinx)
        assert found.accuracy == pytest.approx(base.accuracy, abs=6), name
        assert found.matches, name
