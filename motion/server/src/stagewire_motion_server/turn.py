"""The motion of one req_id: audio in, windows of keyframes out. No I/O; runs in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from stagewire_lipsync import Frames, Performer
from stagewire_motion_codec.spatius import FRAME_RATE, Keyframe

from stagewire_motion_server.audio import Decoder, Samples
from stagewire_motion_server.flame import FRAMES_PER_KEYFRAME, keyframes

Window = list[Keyframe]

_STEP_SECONDS = 0.5  # of audio at a time: how long an interrupt waits, how often threads change


class Windows:
    """Cuts keyframes into messages: a short first one, so that playback begins, then longer ones.

    A full window waits for one keyframe more, so that the last message carries motion too.

    Args:
        first: Keyframes in the first message.
        following: Keyframes in each of the others.
    """

    def __init__(self, first: int, following: int) -> None:
        """Nothing cut yet."""
        self._size, self._following = first, following
        self._waiting: Window = []

    def add(self, more: Iterable[Keyframe]) -> Iterator[Window]:
        """Takes keyframes and gives the windows that are full."""
        self._waiting.extend(more)
        while len(self._waiting) > self._size:
            yield self._waiting[: self._size]
            del self._waiting[: self._size]
            self._size = self._following

    def rest(self) -> Window:
        """What is left, at most one window."""
        return self._waiting


class Turn:
    """One req_id from its first audio to its end.

    Args:
        req_id: The client's name for it.
        decoder: Of its audio.
        sample_rate: Of what the decoder gives, in hertz.
        performer: The session's face; it forgets what it did before.
        windows: How its motion is cut.
        max_seconds: Of audio.
        traceparent: What its messages are stamped with; may be empty.
    """

    def __init__(
        self,
        req_id: str,
        decoder: Decoder,
        sample_rate: int,
        performer: Performer,
        windows: Windows,
        max_seconds: float,
        traceparent: str = "",
    ) -> None:
        """Before its first audio."""
        self.req_id = req_id
        self.traceparent = traceparent
        self._decoder = decoder
        self._sample_rate = sample_rate
        self._performer = performer
        self._windows = windows
        self._most = int(max_seconds * sample_rate)
        self._heard = self._made = 0
        self._unpaired = Frames.none()
        performer.start()

    def hear(self, audio: bytes) -> Iterator[list[Window]]:
        """Takes audio; each step of the iteration does a bounded piece of the work.

        Yields:
            The windows that the step has filled, often none.

        Raises:
            ValueError: The audio is not in the session's format, or too long.
        """
        for samples in self.decode(audio):
            yield list(self._windows.add(self._keyframes(self._performer.hear(samples))))

    def decode(self, audio: bytes) -> Iterator[Samples]:
        """The samples in the next audio, a bounded piece at a time.

        Raises:
            ValueError: As ``hear``.
        """
        for samples in self._steps(audio):
            self._heard += len(samples)
            if self._heard > self._most:
                seconds = self._most / self._sample_rate
                raise ValueError(f"a req_id has more than {seconds:g} seconds of audio")
            yield samples

    def finish(self) -> list[Window]:
        """No more audio: the windows that are left, and at last one that ends the turn.

        The whole turn has floor(seconds x 25) keyframes; the last window has none only if the turn
        has none.

        Raises:
            ValueError: The audio breaks off.
        """
        self._decoder.finish()
        due = self._heard * FRAME_RATE // self._sample_rate - self._made
        last = self._keyframes(self._performer.finish())[:due]
        return [*self._windows.add(last), self._windows.rest()]

    def _steps(self, audio: bytes) -> Iterator[Samples]:
        enough, pieces, length = int(_STEP_SECONDS * self._sample_rate), [], 0
        for piece in self._decoder.push(audio):
            pieces.append(piece)
            length += len(piece)
            if length >= enough:
                yield np.concatenate(pieces)
                pieces, length = [], 0
        if pieces:
            yield np.concatenate(pieces)

    def _keyframes(self, frames: Frames) -> list[Keyframe]:
        frames = Frames.join([self._unpaired, frames])
        whole = len(frames) - len(frames) % FRAMES_PER_KEYFRAME
        self._unpaired = Frames(frames.weights[whole:], frames.head[whole:])
        made = keyframes(Frames(frames.weights[:whole], frames.head[:whole]))
        self._made += len(made)
        return made
