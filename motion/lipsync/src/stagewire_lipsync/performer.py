"""One face that speaks along with a voice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from stagewire_motion_codec.arkit52 import CHANNELS

from stagewire_lipsync.frames import FRAME_RATE, Floats, Frames
from stagewire_lipsync.life import Blinks
from stagewire_lipsync.mouth import Mouth
from stagewire_lipsync.phonemes import PhonemeTime

_SHUT = [CHANNELS.index("eyeBlinkLeft"), CHANNELS.index("eyeBlinkRight")]


class Performer:
    """One face, for a whole session: utterances, and the rests between them.

    Not thread-safe; does no I/O. Frame *n* of an utterance is shown from sample
    ``n * sample_rate // FRAME_RATE``; the frames of an utterance cover its audio exactly, the last
    one rounded up to a whole frame.

    Args:
        sample_rate: Of the voice, in hertz.
        seed: Makes what is left to chance (blinks) repeatable.

    Raises:
        ValueError: ``sample_rate`` is not at least 8,000.
    """

    def __init__(self, sample_rate: int, seed: int | None = None) -> None:
        """A face at rest."""
        if sample_rate < 8_000:
            raise ValueError(f"a voice at {sample_rate} Hz is not at least 8000 Hz")
        self._sample_rate = sample_rate
        self._blinks = Blinks(FRAME_RATE, random.Random(seed))
        self.start()

    def start(self) -> None:
        """An utterance begins; what is left of the one before is forgotten."""
        self._mouth = Mouth(self._sample_rate)
        self._received = self._shown = 0

    def expect(self, phonemes: Sequence[PhonemeTime]) -> None:
        """Sounds to come, as they become known: a help, never required.

        Those that do not continue in time are left out.
        """
        self._mouth.expect(phonemes)

    def hear(self, samples: Floats) -> Frames:
        """The next audio, of any length.

        Args:
            samples: Shape [n], -1 to 1.

        Returns:
            The frames that are settled now.
        """
        self._mouth.hear(samples)
        self._received += len(samples)
        return self._show(self._received * FRAME_RATE // self._sample_rate - 1, last=False)

    def finish(self) -> Frames:
        """No more audio.

        Returns:
            The rest of the utterance, rounded up to a whole frame; the mouth is closed in the last.
        """
        return self._show(-(-self._received * FRAME_RATE // self._sample_rate), last=True)

    def rest(self, frames: int) -> Frames:
        """Life between utterances.

        Args:
            frames: How many.
        """
        return self._alive(np.zeros((frames, len(CHANNELS)), np.float32))

    def _show(self, until: int, last: bool) -> Frames:
        begin, self._shown = self._shown, max(self._shown, until)
        if begin >= until:
            return Frames.none()
        return self._alive(self._mouth.frames(begin, until, last).astype(np.float32))

    def _alive(self, weights: Floats) -> Frames:
        for row in weights:
            row[_SHUT] = self._blinks.next_frame()
        return Frames(weights, np.zeros((len(weights), 3), np.float32))
