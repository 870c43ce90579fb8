"""A loudspeaker without sound: its clock runs while it has something to play.

Without I/O; every method that needs the time takes ``now``, in seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

PREBUFFER_SECONDS = 0.06


@dataclass(slots=True)
class Heard:
    """A stretch that sounded without a break.

    Attributes:
        turn: Whose voice.
        began: When, in seconds.
        pcm: What, as 16-bit PCM.
    """

    turn: int
    began: float
    pcm: bytearray


class Speaker:
    """Plays one turn at a time.

    Attributes:
        hertz: The voice's sample rate.
        turn: The turn it plays; 0 for none.
        position: Samples of it that have sounded.
        underruns: How often it had to stop for want of voice, in all turns.
        heard: Everything that sounded.
    """

    def __init__(self, hertz: int) -> None:
        """Silent; ``hertz`` is the voice's sample rate."""
        self.hertz = hertz
        self.turn = 0
        self.position = 0
        self.underruns = 0
        self.heard: list[Heard] = []
        self._buffer = bytearray()  # from ``position`` on
        self._whole = True
        self._playing_since: float | None = None
        self._base = 0  # the position at ``_playing_since``

    @property
    def silent(self) -> bool:
        """Whether it has played all that there will be."""
        return self._whole and not self._buffer

    def start(self, turn: int, now: float) -> None:
        """A turn begins; what is left of older ones is dropped."""
        if turn > self.turn:
            self.stop(now)
            self.turn, self.position, self._whole = turn, 0, False

    def push(self, turn: int, start_sample: int, pcm: bytes, now: float) -> None:
        """Buffers voice; what it has already (after coming back) or needs no more is skipped."""
        self.advance(now)
        if turn != self.turn or self._whole:
            return
        end = self.position + len(self._buffer) // 2
        if not end and start_sample:  # joined in mid-turn
            self.position = end = start_sample
        if start_sample <= end:
            self._buffer += pcm[2 * (end - start_sample) :]
        self.advance(now)

    def finish(self, turn: int, now: float) -> None:
        """No more voice will come for the turn."""
        if turn == self.turn:
            self._whole = True
            self.advance(now)

    def stop(self, now: float) -> None:
        """Falls silent at once."""
        self.advance(now)
        self._buffer.clear()
        self._whole, self._playing_since = True, None

    def advance(self, now: float) -> None:
        """Plays up to ``now``."""
        if self._playing_since is not None:
            due = self._base + int((now - self._playing_since) * self.hertz)
            end = self.position + len(self._buffer) // 2
            self._sound(min(due, end))
            if due >= end:
                self.underruns += not self._whole
                self._playing_since = None
        enough = len(self._buffer) // 2 >= PREBUFFER_SECONDS * self.hertz
        if self._playing_since is None and self._buffer and (enough or self._whole):
            self._playing_since, self._base = now, self.position
            self.heard.append(Heard(self.turn, now, bytearray()))

    def _sound(self, position: int) -> None:
        count = 2 * max(0, position - self.position)
        self.heard[-1].pcm += self._buffer[:count]
        del self._buffer[:count]
        self.position += count // 2


def timeline(heard: list[Heard], began: float, hertz: int) -> bytes:
    """What sounded, each stretch at its time after ``began``, with silence between."""
    track = bytearray()
    for stretch in heard:
        start = 2 * max(0, round((stretch.began - began) * hertz))
        track += bytes(max(0, start - len(track)))
        track += stretch.pcm
    return bytes(track)
