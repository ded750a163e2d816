"""Reads a recording into 16 kHz mono samples, or says in one sentence why it cannot be assessed."""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, MissingProgram

RATE_HZ = 16_000
MIN_S = 0.2
MAX_S = 120.0
MAX_BYTES = 100 * 1024 * 1024
_LOWEST_RATE_HZ = 8_000
_MAX_CHANNELS = 8
#: Peak below which there is nothing to hear, and frame levels relative to the loudest.
_SILENT_PEAK = 1e-3
_FRAME = RATE_HZ // 50
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """16 kHz mono samples from -1 to 1, and what is known of the original. `snr_db` is an estimate: the level of the
    loud frames over that of the quiet ones. `clipped` is the share of samples at full scale."""

    samples: Samples
    source_rate_hz: int
    channels: int
    peak: float
    clipped: float
    snr_db: float
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Its length."""
        return len(self.samples) / RATE_HZ


def load(path: str | Path, max_s: float = MAX_S) -> Recording:
    """Reads and checks a sound file. Raises InputError or MissingProgram."""
    size = Path(path).stat().st_size
    if size == 0:
        raise InputError("The audio is empty: the file has no bytes.")
    if size > MAX_BYTES:
        raise InputError(
            f"The audio file has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are taken. "
            f"Send at most {max_s:g} s, best as 16 kHz mono."
        )
    samples, rate = _decode(Path(path), max_s)
    return check(samples, rate, max_s)


def check(samples: NDArray[Any], rate_hz: int, max_s: float = MAX_S) -> Recording:
    """Makes a recording of decoded samples, (frames,) or (frames, channels). Raises InputError."""
    if rate_hz < _LOWEST_RATE_HZ:
        raise InputError(f"The audio has a sample rate of {rate_hz} Hz; speech needs at least {_LOWEST_RATE_HZ} Hz.")
    duration_s = len(samples) / rate_hz
    if duration_s > max_s:
        raise InputError(f"The audio is {duration_s:.1f} s long; at most {max_s:g} s are taken. Send it in parts.")
    if duration_s < MIN_S:
        raise InputError(f"The audio is {duration_s:.2f} s long; at least {MIN_S:g} s are needed.")
    data = samples.reshape(len(samples), -1).astype(np.float32)
    if not np.isfinite(data).all():
        raise InputError("The audio holds samples that are not numbers (NaN or infinity); record it again.")
    peak = float(np.abs(data).max())
    if peak > 8.0:
        raise InputError(f"The audio's samples reach {peak:.3g}; floating-point audio must stay between -1 and 1.")
    clipped = _clipped(data, peak)
    mono = resample(_mono(data), rate_hz)
    if peak < _SILENT_PEAK or float(np.abs(mono - mono.mean()).max()) < _SILENT_PEAK:
        raise InputError("The audio is silent: nothing is louder than -60 dB of full scale. Is the microphone on?")
    if clipped > 0.1:
        raise InputError(
            f"The audio is clipped: {clipped:.0%} of its samples are at full scale. Lower the recording level."
        )
    snr_db = _snr_db(mono)
    _refuse_steady(mono, snr_db)
    warnings = _warnings(clipped, snr_db, rate_hz, peak)
    return Recording(mono, rate_hz, data.shape[1], peak, clipped, snr_db, warnings)


def resample(samples: Samples, rate_hz: int, target_hz: int = RATE_HZ) -> Samples:
    """The same sound at another rate, by Fourier transform: exact within the band that both rates have."""
    if rate_hz == target_hz:
        return samples
    # The transform sees the sound as a ring; a little silence keeps its end out of its beginning. Its length is
    # rounded up to a multiple of the rate's step so that both lengths are whole.
    step = rate_hz // math.gcd(rate_hz, target_hz)
    padded = -(-(len(samples) + rate_hz // 20) // step) * step
    spectrum = np.fft.rfft(samples.astype(np.float64), padded)
    length = padded // step * (target_hz // math.gcd(rate_hz, target_hz))
    kept = np.zeros(length // 2 + 1, complex)
    bins = min(len(kept), len(spectrum))
    kept[:bins] = spectrum[:bins]
    sound = np.fft.irfft(kept, length) * (length / padded)
    result: Samples = sound[: round(len(samples) * target_hz / rate_hz)].astype(np.float32)
    return result


def _mono(data: Samples) -> Samples:
    if data.shape[1] == 1:
        return data[:, 0]
    levels = np.sqrt((data.astype(np.float64) ** 2).mean(axis=0))
    mean: Samples = data.mean(axis=1)
    # Channels in opposite phase cancel, and a silent one halves the level: then the loudest alone is better.
    if float(np.sqrt((mean.astype(np.float64) ** 2).mean())) < 0.6 * float(levels.max()):
        return data[:, int(levels.argmax())]
    return mean


def _clipped(data: Samples, peak: float) -> float:
    """The share of samples in runs of at least two at the largest value: a lone peak is no clipping."""
    if peak < 0.5:
        return 0.0
    at_top = np.abs(data) >= 0.995 * peak
    runs = at_top[1:] & at_top[:-1] & (np.sign(data[1:]) == np.sign(data[:-1]))
    return float(runs.any(axis=1).mean()) if len(runs) else 0.0


def _levels_db(mono: Samples) -> NDArray[np.float64]:
    frames = mono[: len(mono) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    power = ((frames - frames.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-10))
    return levels


def _snr_db(mono: Samples) -> float:
    levels = np.sort(_levels_db(mono))
    return float(levels[int(0.95 * (len(levels) - 1))] - levels[int(0.1 * (len(levels) - 1))])


def _refuse_steady(mono: Samples, snr_db: float) -> None:
    """Speech rises and falls; a hum, a tone and noise do not."""
    if snr_db >= 5.0 or len(mono) < RATE_HZ // 2:
        return
    raise InputError(
        f"The audio holds no speech that can be told from noise: its level stays the same within {snr_db:.1f} dB. "
        f"Record nearer to the microphone or in a quieter place."
    )


def _warnings(clipped: float, snr_db: float, rate_hz: int, peak: float) -> tuple[str, ...]:
    found = []
    if clipped > 0.001:
        found.append(f"{clipped:.1%} of the samples are clipped; scores may be too low.")
    if snr_db < 15.0:
        found.append(f"The recording is noisy (about {snr_db:.0f} dB); scores may be too low.")
    if rate_hz < RATE_HZ:
        found.append(f"The audio was recorded at {rate_hz} Hz; sounds such as s and f cannot be judged well.")
    if peak < 0.02:
        found.append("The recording is very quiet; scores may be too low.")
    return tuple(found)


def _decode(path: Path, max_s: float) -> tuple[NDArray[Any], int]:
    try:
        import soundfile
    except ImportError as exc:
        raise MissingProgram('The package "soundfile" is not installed: run "pip install soundfile".') from exc
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(file.frames / file.samplerate, file.channels, max_s)
            # Never trust a header: read no more than is taken.
            samples = file.read(int((max_s + 1) * file.samplerate), dtype="float32")
            return samples, int(file.samplerate)
    except (soundfile.SoundFileError, RuntimeError) as exc:
        return _decode_other(path, max_s, str(exc).rsplit(":", 1)[-1].strip())


def _check_header(duration_s: float, channels: int, max_s: float) -> None:
    if duration_s > max_s:
        raise InputError(f"The audio is {duration_s:.1f} s long; at most {max_s:g} s are taken. Send it in parts.")
    if channels > _MAX_CHANNELS:
        raise InputError(f"The audio has {channels} channels; at most {_MAX_CHANNELS} are taken.")


def _decode_other(path: Path, max_s: float, reason: str) -> tuple[NDArray[Any], int]:
    """What libsndfile does not read (WebM, M4A): by PyAV, else by the program ffmpeg."""
    with path.open("rb") as file:
        head = file.read(64)
    container = head[4:8] == b"ftyp" or head[:4] == b"\x1aE\xdf\xa3" or head[:2] in (b"\xff\xf1", b"\xff\xf9")
    if not container:
        raise InputError(
            f"The file is no sound that can be read ({reason.rstrip('.')}); send wav, flac, ogg, mp3, webm or m4a."
        )
    try:
        import av  # noqa: F401
    except ImportError:
        program = shutil.which("ffmpeg")
        if program is None:
            raise MissingProgram(
                "This worker cannot read webm and m4a: install the package av (pip install av) or the program ffmpeg; "
                "or send wav, flac, ogg or mp3."
            ) from None
        return _by_ffmpeg(program, path, max_s), RATE_HZ
    return _by_av(path, max_s), RATE_HZ


def _by_av(path: Path, max_s: float) -> NDArray[np.float32]:
    import av

    pieces: list[NDArray[np.float32]] = []
    length = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError("The file holds no sound track.")
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
            for frame in container.decode(audio=0):
                for out in resampler.resample(frame):
                    pieces.append(out.to_ndarray().reshape(-1).astype(np.float32))
                    length += len(pieces[-1])
                if length > (max_s + 1) * RATE_HZ:
                    break
            else:
                pieces += [out.to_ndarray().reshape(-1).astype(np.float32) for out in resampler.resample(None)]
    except (av.FFmpegError, ValueError) as exc:
        raise InputError(f"The file is no sound that can be read ({exc}).") from exc
    if not pieces:
        raise InputError("The sound track of the file is empty.")
    return np.concatenate(pieces)


def _by_ffmpeg(program: str, path: Path, max_s: float) -> NDArray[np.float32]:
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path}", "-vn",
               "-t", str(max_s + 1), "-ac", "1", "-ar", str(RATE_HZ), "-f", "f32le", "-"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired as exc:
        raise InputError("The file could not be decoded within 120 s.") from exc
    if done.returncode or not done.stdout:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InputError(f"The file is no sound that can be read ({reason[-1] if reason else 'no sound track'}).")
    return np.frombuffer(done.stdout, "<f4")
