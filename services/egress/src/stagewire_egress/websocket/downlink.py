"""What goes to one session's client: bounded, in order, and held until it has been played.

It holds messages, not bytes: each connection writes them in its own words (``wire.Wire``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from stagekit.errors import StageError
from stagewire.common.v1 import session_event_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Media

# Session events kept for a client that is away; the oldest go first, and `sequence` shows the gap.
_MAX_EVENTS = 256
_MAX_FRAMES = 8_192


@dataclass(frozen=True, slots=True)
class Frame:
    """A turn's message.

    Attributes:
        message: What it says.
        end_sample: Where it ends in the turn's voice; it is held until that has been played.
        size: Bytes that it counts for.
    """

    message: Media
    end_sample: int
    size: int

    @property
    def turn(self) -> int:
        """The turn it belongs to."""
        return self.message.turn

    @property
    def voice(self) -> bool:
        """Whether it is voice."""
        return isinstance(self.message, egress_pb2.TurnAudio)


@dataclass(frozen=True, slots=True)
class Silence:
    """This turn and older ones are over: be silent now."""

    turn: int


@dataclass(frozen=True, slots=True)
class GoingAway:
    """This instance stops soon."""

    grace_seconds: float


Control = session_event_pb2.SessionEvent | StageError | GoingAway | str
"""What overtakes media; a string is sent as it is."""

Item = Frame | Silence | Control


class Downlink:
    """Control overtakes media; media waits for room, and survives a broken connection.

    Media that was sent stays here until the client confirms that it has played it, so that a
    client which comes back goes on where it was. One task puts, one task takes.

    Args:
        max_bytes: Media held at most, sent and unsent together.
    """

    def __init__(self, max_bytes: int) -> None:
        """Nothing to send."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._interrupt: int | None = None
        self._control: deque[Control] = deque(maxlen=_MAX_EVENTS)
        self._waiting: deque[Frame] = deque()
        self._sent: deque[Frame] = deque()  # in order, right before those waiting
        self._silenced = 0
        self._played = (0, 0)
        self._finished = False
        self._work = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, message: Media, end_sample: int) -> None:
        """Queues media; waits while too much is held. Drops what belongs to a silenced turn."""
        while message.turn > self._silenced and self._full():
            self._room.clear()
            await self._room.wait()
        if message.turn > self._silenced:
            frame = Frame(message, end_sample, message.ByteSize())
            self._waiting.append(frame)
            self._bytes += frame.size
            self._work.set()

    def control(self, message: Control) -> None:
        """Queues a control message ahead of all media."""
        self._control.append(message)
        self._work.set()

    def silence(self, turn: int) -> None:
        """Forgets the media of this turn and of older ones, and tells so before anything else."""
        self._silenced = max(self._silenced, turn)
        self._interrupt = self._silenced  # one place is enough: it covers the older turns
        self._waiting = deque(frame for frame in self._waiting if frame.turn > turn)
        self._sent = deque(frame for frame in self._sent if frame.turn > turn)
        self._bytes = sum(frame.size for frame in (*self._sent, *self._waiting))
        self._work.set()
        self._room.set()

    def forget(self, turn: int, played: int) -> None:
        """The client has played this much; it is never sent again."""
        self._played = max(self._played, (turn, played))
        self._trim()

    def rewind(self, open_turn: int) -> None:
        """A client has come: what it has not played is sent (again), after the turn's start."""
        self._interrupt = None  # `joined` says which turn goes on
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        if open_turn and not (self._waiting and _starts(self._waiting[0], open_turn)):
            start = egress_pb2.TurnStart(turn=open_turn)
            self._waiting.appendleft(Frame(start, 0, start.ByteSize()))
            self._bytes += self._waiting[0].size
        self._work.set()

    def finish(self) -> None:
        """Ends the taking, after the control messages that wait."""
        self._finished = True
        self._work.set()

    async def take(self) -> Item | None:
        """The next message to send; None when there will be none."""
        while True:
            if self._interrupt is not None:
                turn, self._interrupt = self._interrupt, None
                return Silence(turn)
            if self._control:
                return self._control.popleft()
            if self._finished:
                return None
            if self._waiting:
                frame = self._waiting.popleft()
                self._sent.append(frame)
                self._trim()
                return frame
            self._work.clear()
            await self._work.wait()

    def _full(self) -> bool:
        return self._bytes >= self._max_bytes or len(self._sent) + len(self._waiting) >= _MAX_FRAMES

    def _trim(self) -> None:
        while self._sent and (self._sent[0].turn, self._sent[0].end_sample) <= self._played:
            self._bytes -= self._sent.popleft().size
        self._room.set()


def _starts(frame: Frame, turn: int) -> bool:
    return isinstance(frame.message, egress_pb2.TurnStart) and frame.turn == turn
