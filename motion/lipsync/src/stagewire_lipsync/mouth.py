"""The mouth of one utterance: where its articulators are, from sounds that are known or heard.

Every 10 ms each sound is so and so present: wholly or not at all where phonemes are known, more or
less likely where they are heard. The articulators are pulled by the sounds around a moment, each as
much as it insists, the near ones more than the far ones.
"""

from __future__ import annotations

import numpy as np

from stagewire_lipsync.articulation import (
    ARTICULATORS,
    DOMINANCES,
    PULLS,
    SILENCE,
    Array,
    shaped,
)
from stagewire_lipsync.cepstra import RATE
from stagewire_lipsync.ears import Ears
from stagewire_lipsync.frames import FRAME_RATE, Floats
from stagewire_lipsync.phonemes import Script

STEPS = RATE // FRAME_RATE
"""Steps of 10 ms in a frame."""

# Steps before and after a moment from which sounds pull: all of them where phonemes are known, and
# few ahead where they are heard, as waiting for more would show the lips later than the sound.
_BACK, _AHEAD, HEARD_AHEAD = 12, 12, 3
# How fast pulls fade with distance (standard deviation in steps): what touches, touches briefly.
_SPREADS = {"seal": 1.2, "bite": 1.5, "jaw": 3.0, "pucker": 4.5, "funnel": 4.5, "spread": 4.0}
_OTHER_SPREAD = 2.5


def _kernel() -> Array:
    """Shape [steps around a moment, articulators]."""
    distance = np.arange(-_BACK, _AHEAD + 1)[:, None]
    spread = np.array([_SPREADS.get(name, _OTHER_SPREAD) for name in ARTICULATORS])
    kernel: Array = np.exp(-0.5 * (distance / spread) ** 2)
    return kernel


_KERNEL = _kernel()


class Mouth:
    """One utterance's mouth, frame by frame.

    Args:
        sample_rate: Of the voice, in hertz.
        script: The sounds that are known.
        ears: What hears the sounds that are not known.
    """

    def __init__(self, sample_rate: int, script: Script, ears: Ears) -> None:
        """Closed, and was before."""
        self._rate, self._script, self._ears = sample_rate, script, ears
        self._heard = 0
        self._ears_step: int | None = None
        # What pulls, by steps from `_first`: presences times pulls, times dominances.
        self._first = -_BACK
        silence = np.repeat(SILENCE[None], _BACK, axis=0)
        self._pulls, self._dominances = silence @ PULLS, silence @ DOMINANCES
        self._known = np.ones(_BACK, np.bool_)
        self._frame = 0

    def hear(self, samples: Floats) -> None:
        """Takes the next audio."""
        begin, self._heard = self._heard, self._heard + len(samples)
        self._read()
        if self._script.until * self._rate >= self._heard:
            self._ears_step = None  # what is known need not be heard
            return
        if self._ears_step is None:
            self._ears.start()
            self._ears_step = round(begin * RATE / self._rate)
        self._listen(self._ears.hear(samples))

    def settled(self) -> int:
        """Up to which frame the mouth is known, in so far as its audio was heard."""
        heard = self._heard * FRAME_RATE // self._rate
        return min(heard, (self._step() - HEARD_AHEAD - 1) // STEPS + 1)

    def finish(self) -> int:
        """No more audio comes: settles what is left, as if silence followed.

        Returns:
            The number of frames that cover the audio.
        """
        self._read()
        if self._ears_step is not None:
            self._listen(self._ears.hear(np.zeros(0, np.float32), last=True))
        frames = -(-self._heard * FRAME_RATE // self._rate)
        missing = max(0, frames * STEPS + HEARD_AHEAD + 1 - self._step())
        self._append(np.repeat(SILENCE[None], missing, axis=0), known=False)
        return frames

    def frames(self, until: int) -> Array:
        """The frames from where the last call ended up to ``until``, which are settled.

        Returns:
            Weights, shape [n, 52].
        """
        middles = np.arange(self._frame, until) * STEPS - self._first
        self._frame = max(self._frame, until)
        steps = middles[:, None] + np.arange(-_BACK, _AHEAD + 1)
        inside = steps < len(self._known)
        steps = np.minimum(steps, len(self._known) - 1)
        counts = inside & (self._known[steps] | (steps <= middles[:, None] + HEARD_AHEAD))
        kernel = _KERNEL * counts[:, :, None]
        pulls = (kernel * self._pulls[steps]).sum(1)
        weights = shaped(pulls / (kernel * self._dominances[steps]).sum(1))
        self._forget(self._frame * STEPS - _BACK)
        return weights

    def _step(self) -> int:
        """The step that comes next."""
        return self._first + len(self._known)

    def _read(self) -> None:
        """Appends what the script knows of the steps to come, as far as it can pull."""
        limit = self._heard * RATE // self._rate + _AHEAD + 1
        rows = self._script.read(self._step(), limit)
        self._append(rows, known=True)

    def _listen(self, rows: Array) -> None:
        """Appends what is heard, but for what was known."""
        if self._ears_step is None:
            return
        gap = self._ears_step - self._step()
        if gap > 0:
            self._append(np.repeat(SILENCE[None], gap, axis=0), known=False)
        self._append(rows[max(0, -gap) :], known=False)
        self._ears_step += len(rows)

    def _append(self, presences: Array, known: bool) -> None:
        if not len(presences):
            return
        self._pulls = np.concatenate([self._pulls, presences @ PULLS])
        self._dominances = np.concatenate([self._dominances, presences @ DOMINANCES])
        self._known = np.concatenate([self._known, np.full(len(presences), known)])

    def _forget(self, step: int) -> None:
        drop = max(0, step - self._first)
        self._pulls, self._dominances = self._pulls[drop:], self._dominances[drop:]
        self._known, self._first = self._known[drop:], self._first + drop
