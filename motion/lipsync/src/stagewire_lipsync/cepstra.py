"""Mel-frequency cepstra of a stream, as CMU Sphinx makes them, at whatever sample rate.

Sphinx' front end (sphinxbase, fe_sigproc.c) works at 16 kHz. Here the same mel filters stand on the
spectrum of the voice's own rate, so nothing is resampled and nothing waits for a resampler.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stagewire_lipsync.frames import Floats

Array = npt.NDArray[np.float64]

RATE = 100
"""Frames per second. Frame n is of the audio around n / RATE seconds, half a window each way."""
_WINDOW = 410 / 16_000  # seconds
_FILTERS, _LOWEST, _HIGHEST = 25, 130.0, 6_800.0  # of the model's feat.params
_CEPSTRA, _LIFTER, _EMPHASIS = 13, 22, 0.97
_FULL_SCALE = 32_768.0
# White noise (rms) that every recording is taken to have, as digital silence has no logarithm; and
# noise of which nobody hears more than silence.
_NOISE, _INAUDIBLE = 1e-5, 10 ** (-96 / 20)


class Cepstra:
    """Turns audio into frames as it comes.

    Attributes:
        silence: A frame whose first number, its loudness, is below this is silent.

    Args:
        sample_rate: Of the audio, in hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        """Builds the tables."""
        self._rate = sample_rate
        self._size = round(_WINDOW * sample_rate)
        self._fft = 1 << (self._size - 1).bit_length()
        self._window = np.hamming(self._size)
        self._mel, self._cosines = self._filters(), _cosines()
        white = float((self._window**2).sum()) * self._mel.sum(0)
        self._noise = _NOISE**2 * white
        self.silence = float(np.log(_INAUDIBLE**2 * white) @ self._cosines[:, 0])
        self.start()

    def start(self) -> None:
        """A new stream begins."""
        self._samples: Floats = np.zeros(self._size // 2, np.float32)
        self._first = -(self._size // 2)
        self._frame = 0

    def push(self, samples: Floats) -> Array:
        """Takes the next audio.

        Returns:
            The frames that are complete, shape [n, 13].
        """
        self._samples = np.concatenate([self._samples, samples])
        end = self._first + len(self._samples)
        starts: list[int] = []
        while (start := self._start(self._frame + len(starts))) + self._size <= end:
            starts.append(start - self._first)
        if not starts:
            return np.zeros((0, _CEPSTRA))
        frames = self._samples[np.array(starts)[:, None] + np.arange(self._size)]
        self._frame += len(starts)
        keep = self._start(self._frame)
        self._samples, self._first = self._samples[keep - self._first :], keep
        return self._transform(frames)

    def _start(self, frame: int) -> int:
        return frame * self._rate // RATE - self._size // 2

    def _transform(self, frames: Floats) -> Array:
        spectrum = np.abs(np.fft.rfft(frames * self._window, self._fft)) ** 2
        cepstra: Array = np.log(spectrum @ self._mel + self._noise) @ self._cosines
        return cepstra

    def _filters(self) -> Array:
        """Shape [bins, filters]; includes the pre-emphasis and the scale of 16-bit samples.

        Where the rate has no such frequencies, a filter hears what the last one that has them does.
        """
        hertz = np.arange(self._fft // 2 + 1) * self._rate / self._fft
        edges = _hertz(np.linspace(_mel(_LOWEST), _mel(_HIGHEST), _FILTERS + 2))
        edges = np.round(edges / 31.25) * 31.25  # Sphinx rounds to bins of its 512 at 16 kHz
        filters = np.zeros((len(hertz), _FILTERS))
        for number, (low, middle, high) in enumerate(
            zip(edges, edges[1:], edges[2:], strict=False)
        ):
            if high > self._rate / 2 and number:
                filters[:, number] = filters[:, number - 1]
                continue
            rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
            shape = np.clip(np.minimum(rising, falling), 0.0, None)
            filters[:, number] = shape * 2 / (high - low)
        # A band's energy grows with the samples in a window and with the bins in the band.
        filters *= 16_000 / self._rate * 512 / self._fft
        emphasis = np.abs(1 - _EMPHASIS * np.exp(-2j * np.pi * hertz / 16_000)) ** 2
        scaled: Array = filters * emphasis[:, None] * _FULL_SCALE**2
        return scaled


def _cosines() -> Array:
    """Orthonormal cosine transform with Sphinx' lifter, shape [filters, cepstra]."""
    number = np.arange(_CEPSTRA)
    angles = np.pi / _FILTERS * (np.arange(_FILTERS)[:, None] + 0.5) * number
    scale = np.where(number == 0, np.sqrt(1 / _FILTERS), np.sqrt(2 / _FILTERS))
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * number / _LIFTER)
    table: Array = np.cos(angles) * scale * lifter
    return table


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: Array) -> Array:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))
