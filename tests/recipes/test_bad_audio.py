"""What cannot be assessed is refused with a sentence that names the cause, and the service goes on."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from zeroidle.recipes.speech import audio
from zeroidle.recipes.speech.assess_service import AssessService, Request
from zeroidle.recipes.speech.errors import InputError, SpeechError, UnsupportedText

RATE = 16_000


@pytest.fixture(scope="module")
def service(espeak: None) -> AssessService:
    return AssessService()


@pytest.fixture
def speech(alsa: Path) -> np.ndarray:
    return audio.load(alsa / "Front_Center.wav").samples


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    data = np.clip(samples, -1, 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if data.ndim == 1 else data.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((data * 32767).astype("<i2").tobytes())
    return path


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return level * np.random.default_rng(1).standard_normal(int(seconds * RATE))


def tone(seconds: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize(
    ("samples", "rate", "says"),
    [
        (np.zeros(RATE), RATE, "is silent"),
        (np.full(RATE, 0.3), RATE, "is silent"),
        (noise(2), RATE, "no speech that can be told from noise"),
        (tone(2), RATE, "no speech that can be told from noise"),
        (tone(0.1), RATE, r"0\.10 s long; at least 0\.2 s"),
        (np.zeros(0), RATE, r"0\.00 s long"),
        (tone(130), RATE, r"130\.0 s long; at most 120 s"),
        (tone(1), 4_000, "sample rate of 4000 Hz"),
    ],
)
def test_what_is_no_speech_is_named(
    service: AssessService, tmp_path: Path, samples: np.ndarray, rate: int, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        service.run(Request(write(tmp_path / "x.wav", samples, rate), "front center"))


def test_clipping_is_refused_when_heavy_and_told_when_light(
    service: AssessService, tmp_path: Path, speech: np.ndarray
) -> None:
    with pytest.raises(InputError, match=r"is clipped: .* at full scale"):
        service.run(Request(write(tmp_path / "heavy.wav", speech * 60), "front center"))
    light = service.run(Request(write(tmp_path / "light.wav", speech / np.abs(speech).max() * 2.0), "front center"))
    assert any("clipped" in warning for warning in light.body["Warnings"])


def test_noise_quiet_and_telephone_recordings_are_told(
    service: AssessService, tmp_path: Path, speech: np.ndarray
) -> None:
    def warnings(name: str, samples: np.ndarray, rate: int = RATE) -> str:
        body = service.run(Request(write(tmp_path / name, samples, rate), "front center")).body
        return " ".join(body.get("Warnings", []))

    assert "noisy" in warnings("noisy.wav", speech + 0.05 * np.random.default_rng(1).standard_normal(len(speech)))
    assert "very quiet" in warnings("quiet.wav", speech / np.abs(speech).max() * 0.01)
    assert "8000 Hz" in warnings("telephone.wav", audio.resample(speech, RATE, 8_000), 8_000)
    assert warnings("clean.wav", speech) == ""


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("text.wav", b"this is a text file, and no sound at all\n" * 100, "no sound that can be read"),
        ("empty.wav", b"", "has no bytes"),
        ("random.wav", bytes(np.random.default_rng(1).integers(0, 256, 50_000, dtype=np.uint8)), "no sound that can"),
        ("head.wav", b"RIFF\x24\x00\x00\x00WAVE", "no sound that can be read"),
        ("page.mp3", b"<!doctype html><html>" * 200, "no sound that can be read"),
        ("broken.m4a", b"\x00\x00\x00\x20ftypM4A " + b"\0" * 4000, "no sound that can be read"),
        ("broken.webm", b"\x1aE\xdf\xa3" + b"\xff" * 4000, "no sound that can be read"),
    ],
)
def test_what_is_no_sound_file_is_named(
    service: AssessService, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        service.run(Request(path, "front center"))


def test_a_huge_file_is_refused_without_being_read(service: AssessService, tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(2 * 1024**3)  # a file of holes: takes no space
    with pytest.raises(InputError, match="has 2147 MB; at most"):
        service.run(Request(path, "front center"))


def test_a_header_that_lies_about_the_length_takes_no_memory(
    service: AssessService, tmp_path: Path, speech: np.ndarray
) -> None:
    path = write(tmp_path / "liar.wav", speech)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 40, 0xFFFFFF00)
    struct.pack_into("<I", data, 4, 0xFFFFFFF0)
    path.write_bytes(data)
    try:
        answer = service.run(Request(path, "front center"))
    except InputError as exc:
        assert "at most 120 s" in exc.message
    else:
        assert answer.assessment.matches


def test_samples_that_are_no_numbers_are_refused() -> None:
    for value in (np.nan, np.inf):
        samples = np.full(RATE, 0.1, np.float32)
        samples[100] = value
        with pytest.raises(InputError, match="not numbers"):
            audio.check(samples, RATE)
    with pytest.raises(InputError, match="must stay between -1 and 1"):
        audio.check(np.full(RATE, 30_000, np.float32), RATE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("...", "no word that can be pronounced"),
        ("🙂", "no word that can be pronounced"),
        ("привет", "Cyrillic"),
        ("<speak>front</speak>", "SSML is not read"),
        ("front " * 500, "at most 2000"),
        ("many more words than one and a half seconds can hold however fast they are spoken " * 3, "too short"),
    ],
)
def test_a_text_that_cannot_be_spoken_is_named(service: AssessService, alsa: Path, text: str, says: str) -> None:
    with pytest.raises((InputError, UnsupportedText), match=says):
        service.run(Request(alsa / "Front_Center.wav", text, miscue=False))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"language": "de"}, "knows English only"),
        ({"language": "de", "text": ""}, "knows English only"),
        ({"backend": "wav2vec2"}, "set WAV2VEC2_MODEL"),
        ({"backend": "nothing"}, "must be one of"),
        ({"recogniser": "whisper", "text": ""}, "set WHISPER_MODEL"),
        ({"granularity": "letter"}, "must be one of"),
        ({"alphabet": "sampa"}, "must be one of"),
        ({"candidates": 11}, "must be 0 to 10"),
        ({"pronunciations": {"front": ["F R QQ N T"]}}, "is no sound of English"),
    ],
)
def test_wishes_that_cannot_be_met_are_named(service: AssessService, alsa: Path, changed: dict, says: str) -> None:
    with pytest.raises(SpeechError, match=says):
        service.run(Request(**{"audio": alsa / "Front_Center.wav", "text": "front center", **changed}))


def test_noise_bursts_do_not_pass_for_the_text(service: AssessService, tmp_path: Path) -> None:
    bursts = noise(2, 0.2) * np.repeat([1.0, 0.01] * 4, RATE // 4)
    answer = service.run(Request(write(tmp_path / "bursts.wav", bursts), "front center"))
    assert not answer.body["TextMatchesAudio"]
    assert "does not match" in answer.body["Warnings"][0]
    assert answer.body["RecognitionStatus"] == "NoMatch"


def test_the_noise_clip_of_alsa_is_no_speech(service: AssessService, alsa: Path) -> None:
    with pytest.raises(InputError, match="no speech that can be told from noise"):
        service.run(Request(alsa / "Noise.wav", "front center"))


def test_after_all_of_that_the_service_still_works(service: AssessService, alsa: Path) -> None:
    assert service.run(Request(alsa / "Front_Center.wav", "front center")).assessment.matches


@pytest.mark.parametrize(
    ("suffix", "codec"), [("flac", None), ("ogg", None), ("mp3", None), ("m4a", "aac"), ("webm", "libopus")]
)
def test_all_formats_are_read(
    service: AssessService, tmp_path: Path, speech: np.ndarray, suffix: str, codec: str | None
) -> None:
    path = tmp_path / f"x.{suffix}"
    if codec is None:
        import soundfile

        soundfile.write(path, speech, RATE)
    else:
        _encode(path, speech, codec)
    answer = service.run(Request(path, "front center"))
    assert answer.assessment.matches
    assert answer.recording.duration_s == pytest.approx(len(speech) / RATE, abs=0.15)


def test_without_pyav_the_program_ffmpeg_reads_or_the_error_says_what_to_install(
    tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    path = tmp_path / "x.m4a"
    _encode(path, speech, "aac")
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpeechError, match="pip install av"):
        audio.load(path)


def _encode(path: Path, samples: np.ndarray, codec: str) -> None:
    import av

    rate = 48_000 if codec == "libopus" else 44_100
    sound = audio.resample(samples, RATE, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1).astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
