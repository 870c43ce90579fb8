"""One turn's media: what enters the room next, and what goes with it. No I/O."""

from __future__ import annotations

from collections import deque

from stagewire.common.v1 import timing_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Media

_SAMPLE_BYTES = 2


class Score:
    """Holds a turn's voice from the last sample that is known to have left, and its motion.

    All positions are samples from the turn's start.

    Args:
        turn: The turn.
        grain: Voice is taken in multiples of so many samples; the turn's last one is padded.

    Attributes:
        left: How far the voice is known to have entered the room.
        cursor: How far it was taken.
        whole: No more media follows.
        first_audio: When the first voice came (seconds), or None.
    """

    def __init__(self, turn: int, grain: int) -> None:
        """An empty turn."""
        self.turn = turn
        self.left = 0
        self.cursor = 0
        self.whole = False
        self.first_audio: float | None = None
        self._grain = grain
        self._pcm = bytearray()  # from sample `left`
        self._motion: deque[egress_pb2.TurnMotion] = deque()
        self._told = 0  # how many of them were handed out
        self._motion_bytes = 0
        self._any_motion = False
        self._words: deque[timing_pb2.Word] = deque()

    @property
    def length(self) -> int:
        """Samples of voice so far."""
        return self.left + len(self._pcm) // _SAMPLE_BYTES

    @property
    def held_bytes(self) -> int:
        """Memory of voice and motion."""
        return len(self._pcm) + self._motion_bytes

    @property
    def has_motion(self) -> bool:
        """Whether any motion has come."""
        return self._any_motion

    @property
    def finished(self) -> bool:
        """Whether everything has entered the room."""
        return self.whole and self.left == self.length

    def add(self, message: Media, now: float) -> None:
        """Takes what the orchestrator sent."""
        match message:
            case egress_pb2.TurnAudio():
                self._pcm += message.audio.data
                self.first_audio = now if self.first_audio is None else self.first_audio
            case egress_pb2.TurnMotion():
                self._motion.append(message)
                self._motion_bytes += len(message.payload)
                self._any_motion = True
            case egress_pb2.TurnWords():
                self._words.extend(message.words)
            case egress_pb2.EndOfTurn():
                self.whole = True

    def take(self, samples: int) -> bytes:
        """The next voice, at most so many samples; empty when there is none yet."""
        begin = self.cursor - self.left
        ready = min(samples, self.length - self.cursor)
        if not self.whole:
            ready -= ready % self._grain
        data = bytes(self._pcm[begin * _SAMPLE_BYTES : (begin + ready) * _SAMPLE_BYTES])
        self.cursor += ready
        return data + bytes(-ready % self._grain * _SAMPLE_BYTES)

    def advance(self, left: int) -> int:
        """The voice up to ``left`` has entered the room; returns where its last new word ends.

        That is a position in the turn's text, in code points; 0 when no word began.
        """
        del self._pcm[: (left - self.left) * _SAMPLE_BYTES]
        self.left = left
        while self._told and self._motion[0].end_sample <= left:
            self._motion_bytes -= len(self._motion.popleft().payload)
            self._told -= 1
        text_end = 0
        while self._words and self._words[0].start_sample < left:
            text_end = self._words.popleft().text_end
        return text_end

    def rewind(self) -> None:
        """What was taken and has not left was lost: it is handed out again."""
        self.cursor, self._told = self.left, 0

    def motion(self, until: int) -> list[egress_pb2.TurnMotion]:
        """Motion that was not handed out before and begins before ``until``."""
        due = []
        while self._told < len(self._motion) and self._motion[self._told].start_sample < until:
            due.append(self._motion[self._told])
            self._told += 1
        return due
