"""What a motion engine must offer to be a backend of this stage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2, trace_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2


@dataclass(frozen=True)
class Motion:
    """Frames of a turn, in the face's codec; they continue those before."""

    turn: int
    payload: bytes
    start_sample: int
    end_sample: int


@dataclass(frozen=True)
class Playback:
    """What a room's listeners have heard, where the engine publishes by itself."""

    turn: int
    played_samples: int
    finished: bool
    interrupted: bool


@dataclass(frozen=True)
class Degraded:
    """The turn goes on without lips; the message is for people."""

    turn: int
    reason: error_pb2.ErrorReason.ValueType
    message: str


@dataclass(frozen=True)
class Completed:
    """Everything of the turn was emitted."""

    turn: int


@dataclass(frozen=True)
class Trouble:
    """Something failed that concerns no turn, and the session goes on."""

    error: StageError
    turn: int = 0


Event = Motion | Playback | Degraded | Completed | Trouble
Emit = Callable[[Event], Awaitable[None]]


class Face(Protocol):
    """One session's face.

    Calls come one at a time, fenced and checked: turns only grow, audio is contiguous.

    Attributes:
        codec: Of every payload.
        frame_rate: Frames per second; 0 when the payload carries its own.
        connection_id: The engine's name for this connection; may be empty.
        idle_motion: Payloads for the time between turns, a loop; empty where there is none.
        first_motion_wait: Seconds that a turn's first sound is worth holding for its first motion;
            None leaves it to the orchestrator.
    """

    codec: str
    frame_rate: int
    connection_id: str
    idle_motion: Sequence[bytes]
    first_motion_wait: float | None

    async def run(self) -> None:
        """What it does by itself, if anything; cancelled when the session is over.

        Raises:
            StageError: The session cannot go on.
        """
        ...

    async def start(self, turn: int, trace: trace_pb2.TraceContext) -> None:
        """Begins a turn; what is left of the one before is not wanted any more."""
        ...

    async def phonemes(self, phonemes: motion_bridge_pb2.TurnPhonemes) -> None:
        """What will be spoken and when; as the peer sent it, so the times are not checked."""
        ...

    async def audio(self, turn: int, pcm: bytes) -> None:
        """The next samples, PCM_S16LE."""
        ...

    async def finish(self, turn: int) -> None:
        """No more audio: the rest is emitted, then ``Completed``; it need not wait for that."""
        ...

    async def cancel(self, turn: int) -> None:
        """Nothing more of this turn is wanted."""
        ...

    async def close(self) -> None:
        """The session is over."""
        ...


class Backend(Protocol):
    """A motion engine. Its attributes do not change.

    Attributes:
        name: What Describe says.
        models: The models in use, for Describe.
        codecs: What its faces can answer in, best first.
        features: Of "phonemes", "livekit_room" and "playback", what it can.
    """

    name: str
    models: Sequence[str]
    codecs: Sequence[str]
    features: Sequence[str]

    async def connect(self, opening: motion_bridge_pb2.Open, codec: str, emit: Emit) -> Face:
        """Makes a session's face.

        Args:
            opening: As the orchestrator sent it; checked.
            codec: One of ``codecs``.
            emit: Takes the face's events in order, and waits while the peer does not read. What it
                gets of a turn that is over is dropped.

        Raises:
            StageError: UNKNOWN_AVATAR, or one of the BACKEND_ reasons.
        """
        ...

    async def run(self) -> None:
        """What the engine does beside its faces, if anything; cancelled when the stage stops."""
        ...
