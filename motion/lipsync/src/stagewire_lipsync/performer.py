"""One face that speaks along with a voice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from stagewire_motion_codec.arkit52 import CHANNELS

from stagewire_lipsync.articulation import MOUTH_CHANNELS
from stagewire_lipsync.ears import Ears, LoudnessEars
from stagewire_lipsync.effort import Effort
from stagewire_lipsync.frames import FRAME_RATE, Floats, Frames
from stagewire_lipsync.life import Life
from stagewire_lipsync.mouth import Mouth
from stagewire_lipsync.phoneme_ears import PhonemeEars
from stagewire_lipsync.phonemes import PhonemeTime, Script
from stagewire_lipsync.sphinx import SphinxModel

_JAW = CHANNELS.index("jawOpen")
# The jaw of a sound said without effort and with all of it, in proportion to the sound's usual one.
_LAZY_JAW, _KEEN_JAW = 0.75, 1.1
_RAMP = (0.0, 0.4, 0.75)
"""How far an utterance's first frames are out of rest, and, backwards, its last ones."""
_LOOP_SECONDS = 4.0


class Performer:
    """One face, for a whole session: utterances, and the rests between them.

    Not thread-safe; does no I/O. Frame *n* of an utterance is shown from sample
    ``n * sample_rate // FRAME_RATE``; the frames of an utterance cover its audio exactly, the last
    one rounded up to a whole frame.

    Args:
        sample_rate: Of the voice, in hertz.
        seed: Makes what is left to chance repeatable.
        model: Hears the sounds of a voice whose phonemes are not told; load it once for all faces.
            Without one such a voice only moves the jaw, by its loudness.

    Raises:
        ValueError: ``sample_rate`` is not 8,000 to 192,000.
    """

    def __init__(
        self, sample_rate: int, seed: int | None = None, model: SphinxModel | None = None
    ) -> None:
        """A face at rest."""
        if not 8_000 <= sample_rate <= 192_000:
            raise ValueError(f"a voice at {sample_rate} Hz is not between 8000 and 192000 Hz")
        self._rate = sample_rate
        self._ears: Ears = PhonemeEars(sample_rate, model) if model else LoudnessEars(sample_rate)
        self._effort = Effort(sample_rate)
        self._life = Life(random.Random(seed))
        self.start()

    def start(self) -> None:
        """An utterance begins; what is left of the one before is forgotten."""
        self._script = Script(self._rate)
        self._mouth = Mouth(self._rate, self._script, self._ears)
        self._effort.start()
        self._heard = self._shown = 0

    def expect(self, phonemes: Sequence[PhonemeTime]) -> None:
        """Sounds to come, as they become known: a help, never required.

        Those that do not continue in time are left out.
        """
        self._script.expect(phonemes, self._heard / self._rate)

    def hear(self, samples: Floats) -> Frames:
        """The next audio, of any length.

        Args:
            samples: Shape [n], -1 to 1; what is not finite is taken for silence.

        Returns:
            The frames that are settled now. Of the whole frames that were heard at most 5 are held
            back, and only the newest where phonemes are known 40 ms ahead.
        """
        clean = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
        self._heard += len(clean)
        self._effort.hear(clean)
        self._mouth.hear(clean)
        # The newest is held back: should the utterance end here, the mouth is closed in it.
        newest = self._heard * FRAME_RATE // self._rate - 1
        return self._show(min(self._mouth.settled(), newest))

    def finish(self) -> Frames:
        """No more audio.

        Returns:
            The rest of the utterance, rounded up to a whole frame; the mouth is closed in the last.
        """
        frames = self._show(self._mouth.finish())
        for factor, row in zip(_RAMP, frames.weights[::-1], strict=False):
            row[MOUTH_CHANNELS] *= factor
        return frames

    def rest(self, frames: int) -> Frames:
        """Life between utterances.

        Args:
            frames: How many.
        """
        weights = np.zeros((frames, len(CHANNELS)), np.float32)
        return Frames(weights, self._life.live(weights, np.zeros(frames, np.float32)))

    def _show(self, until: int) -> Frames:
        begin, self._shown = self._shown, max(self._shown, until)
        if begin >= until:
            return Frames.none()
        weights = self._mouth.frames(until).astype(np.float32)
        efforts = self._effort.take(len(weights))
        weights[:, _JAW] *= _LAZY_JAW + (_KEEN_JAW - _LAZY_JAW) * efforts
        for factor, row in zip(_RAMP[begin:], weights, strict=False):
            row[MOUTH_CHANNELS] *= factor
        return Frames(weights, self._life.live(weights, efforts))


def idle_loop(seconds: float, seed: int | None = None) -> Frames:
    """Life at rest whose end continues into its beginning.

    Args:
        seconds: How long; rounded to whole frames.
        seed: Makes it repeatable.

    Raises:
        ValueError: It is shorter than 4 seconds: then it would be seen to repeat.
    """
    if not seconds >= _LOOP_SECONDS:
        raise ValueError(f"an idle loop of {seconds} s is shorter than {_LOOP_SECONDS} s")
    frames = round(seconds * FRAME_RATE)
    weights = np.zeros((frames, len(CHANNELS)), np.float32)
    head = Life(random.Random(seed), loop=frames).live(weights, np.zeros(frames, np.float32))
    return Frames(weights, head)
