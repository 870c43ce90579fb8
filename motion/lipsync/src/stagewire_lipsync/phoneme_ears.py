"""Hears English, every 10 ms, as the audio comes.

Each step's cepstra are scored by the phoneme model, and a forward pass over the loop of all phones
joins the scores to what went before; a look at the steps just after settles it (forward-backward:
Rabiner, 1989, A tutorial on hidden Markov models, going back over a few steps only).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stagewire_lipsync.articulation import NAMES, SILENCE, SYMBOLS, Array, presence
from stagewire_lipsync.cepstra import Cepstra
from stagewire_lipsync.frames import Floats
from stagewire_lipsync.sphinx import CEPSTRA, PHONES, STATES, SphinxModel

_LAG = 2
"""Frames after one that settle it: with _REACH and half a window, 63 ms of audio."""
_REACH = 3
"""Frames to each side from which the differences of one are taken (Sphinx' 1s_c_d_dd)."""

# Where the mean that is subtracted begins: that of three voices at usual levels. It counts as much
# as `_TRUST` frames; the mean of a session's speech goes on over `_MEMORY`.
_TYPICAL_MEAN = np.array([51, 0, 4, 15, -2, 0, 3, 0, -1, -1, 2, 3, 1], np.float64)
_TRUST, _MEMORY = 50, 500
# A frame this far below the loudest tells nothing of the voice; the loudest fades (units of the
# first cepstrum: 5 nats of mean energy, so 1 dB is 1.15).
_SPEECH_RANGE, _FADE = 45.0, 0.05
_SILENCE = PHONES.index("SIL") * STATES
_UNLIKELY = 1e-6
_MOST_SECONDS = 0.08  # that are worked on at once; see SphinxModel


class PhonemeEars:
    """Hears English; see :class:`stagewire_lipsync.ears.Ears`.

    Args:
        sample_rate: Of the audio, in hertz.
        model: What sounds sound like.
    """

    def __init__(self, sample_rate: int, model: SphinxModel) -> None:
        """Has heard nothing of the voice yet."""
        self._most = round(_MOST_SECONDS * sample_rate)
        self._cepstra = Cepstra(sample_rate)
        self._model = model
        self._mean, self._weight, self._loudest = _TYPICAL_MEAN.copy(), _TRUST, -np.inf
        self.start()

    def start(self) -> None:
        """See :class:`stagewire_lipsync.ears.Ears`."""
        self._cepstra.start()
        self._frames: Array = np.zeros((0, CEPSTRA))
        self._silent: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._likely: Array = np.zeros((0, len(PHONES) * STATES))
        self._before: Array | None = None

    def hear(self, samples: Floats, last: bool = False) -> Array:
        """See :class:`stagewire_lipsync.ears.Ears`."""
        edges = range(0, max(1, len(samples)), self._most)
        rows = [self._hear(samples[at : at + self._most], last and at == edges[-1]) for at in edges]
        return np.concatenate(rows)

    def _hear(self, samples: Floats, last: bool) -> Array:
        cepstra = self._cepstra.push(samples)
        silent = cepstra[:, 0] < self._cepstra.silence
        cepstra = self._normalized(cepstra)
        if not len(self._frames) and len(cepstra):
            self._frames = np.repeat(cepstra[:1], _REACH, axis=0)
        self._silent = np.concatenate([self._silent, silent])
        self._frames = np.concatenate([self._frames, cepstra])
        if last and len(self._frames):
            after = np.repeat(self._frames[-1:], _REACH + _LAG, axis=0)
            self._frames = np.concatenate([self._frames, after])
            self._silent = np.concatenate([self._silent, np.ones(_REACH + _LAG, np.bool_)])
        self._score()
        return self._settle()

    def _normalized(self, cepstra: Array) -> Array:
        centred = np.empty_like(cepstra)
        for row, frame in zip(centred, cepstra, strict=True):
            row[:] = frame - self._mean
            self._loudest = max(self._loudest - _FADE, frame[0])
            if frame[0] > max(self._loudest - _SPEECH_RANGE, self._cepstra.silence):
                self._weight = min(self._weight + 1, _MEMORY)
                self._mean += row / self._weight
        return centred

    def _score(self) -> None:
        count = len(self._frames) - 2 * _REACH
        if count <= 0:
            return

        def at(shift: int) -> Array:
            return self._frames[_REACH + shift : _REACH + shift + count]

        streams = np.stack([at(0), at(2) - at(-2), (at(3) - at(-1)) - (at(1) - at(-3))])
        self._frames = self._frames[count:]
        scores = self._model.log_likelihoods(streams)
        likely = np.exp(scores - scores.max(1, keepdims=True)).astype(np.float64)
        silent, self._silent = self._silent[:count], self._silent[count:]
        likely[silent] = _UNLIKELY
        likely[silent, _SILENCE : _SILENCE + STATES] = 1.0
        self._likely = np.concatenate([self._likely, likely])

    def _settle(self) -> Array:
        settled: Array = np.zeros((max(0, len(self._likely) - _LAG), len(PHONES) * STATES))
        for n, row in enumerate(settled):
            here = self._likely[n] + 1e-30
            if self._before is not None:
                here *= self._model.forward(self._before)
            self._before = here / here.sum()
            after = np.ones_like(here)
            for likely in self._likely[n + _LAG : n : -1]:
                after = self._model.backward(likely * after)
                after /= after.sum()
            row[:] = self._before * after
            row /= row.sum()
        self._likely = self._likely[len(settled) :]
        return settled @ _SOUNDS


def _sounds() -> Array:
    """Which sound each of the model's states is, shape [126, sounds]."""
    table = np.zeros((len(PHONES), STATES, len(NAMES)))
    for phone, row in zip(PHONES, table, strict=True):
        begin, end = presence(phone) if phone in SYMBOLS else (SILENCE, SILENCE)
        row[:] = begin, (begin + end) / 2, end
    return table.reshape(-1, len(NAMES))


_SOUNDS = _sounds()
