"""The spectrogram and the waveform of a recording as numbers and as a plain PNG, with numpy alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from .audio import RATE_HZ, Samples

_WINDOW = 400  # 25 ms, which shows formants rather than harmonics
_TOP_HZ = 8_000
_RANGE_DB = 60.0


def spectrogram(samples: Samples, columns: int = 1_200) -> NDArray[np.float64]:
    """Levels from 0 (60 dB below the loudest) to 1, as (bands from low to high, columns)."""
    hop = max(len(samples) // columns, 40)
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop] * np.hanning(_WINDOW)
    # Pre-emphasis in the spectrum: speech falls by 6 dB an octave, and s and f would not be seen.
    power = np.abs(np.fft.rfft(frames, 512)) * np.linspace(0.05, 1.0, 257)
    levels = 20 * np.log10(np.maximum(power.T, 1e-8))
    shown: NDArray[np.float64] = np.clip((levels - levels.max()) / _RANGE_DB + 1.0, 0.0, 1.0)
    return shown[: 257 * 2 * _TOP_HZ // RATE_HZ]


def envelope(samples: Samples, columns: int = 1_200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest sample of each column, relative to the loudest."""
    columns = min(columns, len(samples))
    edges = np.linspace(0, len(samples), columns, endpoint=False).astype(int)
    top = max(float(np.abs(samples).max()), 1e-9)
    return np.minimum.reduceat(samples, edges) / top, np.maximum.reduceat(samples, edges) / top


def grey_png(levels: NDArray[np.float64]) -> bytes:
    """A picture of values from 0 (white) to 1 (black), the first row at the bottom."""
    pixels = (255 * (1.0 - levels[::-1])).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    )
