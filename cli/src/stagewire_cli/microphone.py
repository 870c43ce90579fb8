"""A microphone that is always on: what is said, in a faint noise that never stops."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from stagekit.audio import Samples, to_pcm

HERTZ = 16_000
FRAME_SECONDS = 0.02
_FRAME = int(HERTZ * FRAME_SECONDS)
_NOISE = 2 / 32768  # -84 dBFS: a quiet room, and not the digital silence that no room has
_SPEECH_BELOW_PEAK_DECIBELS = 25.0
_RUN = 5
_WINDOW = HERTZ // 100


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording that is being said.

    Attributes:
        first_sample: Where it begins in the microphone's stream.
        last_speech: Where its last speech ends: see `last_speech`.
        end_sample: Where the recording ends.
    """

    first_sample: int
    last_speech: int
    end_sample: int


class Microphone:
    """Makes the frames of a 16 kHz stream.

    Args:
        seed: For the noise, so that a run can be repeated.
    """

    def __init__(self, seed: int = 0) -> None:
        """Silence, until something is said."""
        self._random = np.random.default_rng(seed)
        self._said: deque[Samples] = deque()
        self.sample = 0

    def say(self, samples: Samples) -> Utterance:
        """Says a recording from the next frame on (or after the one being said)."""
        first = self.sample + sum(len(waiting) for waiting in self._said)
        self._said.append(samples)
        return Utterance(first, first + last_speech(samples), first + len(samples))

    def frame(self) -> bytes:
        """The next 20 ms as 16-bit PCM."""
        mixed = self._random.uniform(-_NOISE, _NOISE, _FRAME).astype(np.float32)
        filled = 0
        while self._said and filled < _FRAME:
            part = self._said[0][: _FRAME - filled]
            mixed[filled : filled + len(part)] += part
            filled += len(part)
            rest = self._said.popleft()[len(part) :]
            if len(rest):
                self._said.appendleft(rest)
        self.sample += _FRAME
        return to_pcm(mixed)


def first_speech(samples: Samples) -> int:
    """Where the first speech of a recording begins, in samples; 0 when there is none."""
    spoken = _speech(samples)
    return int(spoken[0]) * _WINDOW if len(spoken) else 0


def last_speech(samples: Samples) -> int:
    """Where the last speech of a recording ends, in samples; its end when there is none."""
    spoken = _speech(samples)
    return (int(spoken[-1]) + _RUN) * _WINDOW if len(spoken) else len(samples)


def _speech(samples: Samples) -> npt.NDArray[np.intp]:
    """Which windows begin a run of 50 ms above -25 dB of the loudest.

    Recordings of people have a noise of -30 to -40 dB around what is said, and clicks.
    """
    above = _decibels(samples) > -_SPEECH_BELOW_PEAK_DECIBELS
    if len(above) < _RUN:
        return np.zeros(0, np.intp)
    return np.flatnonzero(np.convolve(above, np.ones(_RUN), "valid") == _RUN)


def _decibels(samples: Samples) -> npt.NDArray[np.float64]:
    """The power of each 10 ms relative to the loudest's, in decibels."""
    windows = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    power = np.square(windows, dtype=np.float64).mean(axis=1)
    floor = np.finfo(np.float64).tiny
    relative: npt.NDArray[np.float64] = (power + floor) / (power.max(initial=0.0) + floor)
    return 10 * np.log10(relative)
