"""Whisper's log-mel spectrogram, which both the recognizer and the end-of-turn model take.

The numbers are those of ``whisper/audio.py`` (https://github.com/openai/whisper, MIT): 16 kHz, a
25 ms periodic Hann window every 10 ms, 80 mel bands on Slaney's scale (Auditory Toolbox, 1998:
linear below 1 kHz, logarithmic above, each triangle of unit area).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from stagekit.audio import Samples

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 160
"""Samples from one spectrogram frame to the next: 10 ms."""
BANDS = 80

_FFT = 400
_FLOOR = 1e-10
_DYNAMIC_RANGE = 8.0  # log10 of power: what is 80 dB below the loudest is cut

Spectrogram = npt.NDArray[np.float32]
"""Shape (80, frames), roughly -1 to 1."""


def log_mel(samples: Samples) -> Spectrogram:
    """The log-mel spectrogram of 16 kHz audio.

    Args:
        samples: At least 201 of them, -1 to 1; the edges are reflected, as Whisper does.

    Returns:
        One column for each whole 10 ms.
    """
    padded = np.pad(samples, _FFT // 2, mode="reflect")
    windows = sliding_window_view(padded, _FFT)[::FRAME_SAMPLES][:-1]
    spectrum = np.fft.rfft(windows * _WINDOW, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    levels = np.log10(np.maximum(_FILTERS @ power.T, _FLOOR))
    levels = np.maximum(levels, levels.max() - _DYNAMIC_RANGE)
    return np.asarray((levels + 4.0) / 4.0, dtype=np.float32)


def _slaney_hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's mel scale: 3 mel for each 200 Hz up to 1 kHz, then 27 mel for each factor 6.4."""
    linear = mels * (200.0 / 3.0)
    logarithmic = 1000.0 * np.exp(np.log(6.4) / 27.0 * (mels - 15.0))
    return np.where(mels < 15.0, linear, logarithmic)


def _filters() -> npt.NDArray[np.float32]:
    """Triangles of unit area, shape (80, 201): power per FFT bin to power per band."""
    top = 15.0 + np.log(SAMPLE_RATE / 2 / 1000.0) * 27.0 / np.log(6.4)
    edges = _slaney_hertz(np.linspace(0.0, top, BANDS + 2))
    bins = np.fft.rfftfreq(_FFT, 1.0 / SAMPLE_RATE)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None], dtype=np.float32)


_FILTERS = _filters()
_WINDOW = np.hanning(_FFT + 1)[:-1].astype(np.float32)
