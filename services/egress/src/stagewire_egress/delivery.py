"""Between a session and the way to its client: one delivery object for each kind of target."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from stagekit.errors import StageError
from stagewire.common.v1 import session_event_pb2
from stagewire.egress.v1 import egress_pb2

CLIENT_IDENTITY = "client"
"""A client's identity where the way to it knows no other."""

Media = (
    egress_pb2.TurnStart
    | egress_pb2.TurnAudio
    | egress_pb2.TurnMotion
    | egress_pb2.TurnWords
    | egress_pb2.EndOfTurn
)
"""What reaches the client in the order in which it was sent."""


class Uplink(Protocol):
    """What a delivery tells its session."""

    @property
    def open_turn(self) -> int:
        """The turn that takes media or plays; 0 for none."""

    async def participant(
        self, change: egress_pb2.Participant.Change.ValueType, identity: str = CLIENT_IDENTITY
    ) -> None:
        """The client came, went or came back."""

    async def user_audio(self, pcm: bytes) -> None:
        """The microphone, in the session's format; waits while the orchestrator is behind."""

    async def user_text(self, text: str) -> None:
        """The user typed."""

    async def user_interrupt(self) -> None:
        """The user pressed "stop"."""

    async def played(
        self, turn: int, samples: int, stopped: bool, client_buffer: float | None = None
    ) -> None:
        """The client reports its playback; ``stopped`` when it will play no further.

        ``client_buffer``: seconds from the first voice's arrival there to its sounding, if told.
        """

    async def began(self) -> None:
        """A motion engine that plays by itself begins to play the open turn."""

    async def finished(self, samples: int, interrupted: bool) -> None:
        """A motion engine that plays by itself plays no more of a turn, and played so much.

        Raises:
            StageError: INVALID_FIELD when that cannot be true.
        """

    def handed_over(self, turn: int, end_sample: int) -> None:
        """Voice up to ``end_sample`` was given to the client's connection."""

    async def fault(self, error: StageError) -> None:
        """Something is wrong with the client, and the session goes on."""

    def lost(self, error: StageError) -> None:
        """The way to the client is gone for good: the stream ends with this."""


class Delivery(Protocol):
    """What a session asks of the way to its client. Only ``send`` ever waits."""

    @property
    def join_url(self) -> str:
        """Where the client connects, without any secret."""

    @property
    def features(self) -> Sequence[str]:
        """What ``Ready.features`` announces."""

    async def send(self, message: Media, end_sample: int) -> None:
        """Queues media that ends at ``end_sample``; waits while the client is too far behind."""

    def event(self, event: session_event_pb2.SessionEvent) -> None:
        """Shows something to the client, ahead of all queued media."""

    def silence(self, turn: int) -> None:
        """Makes this turn and older ones inaudible now: queued media goes, the client is told."""

    def forget(self, turn: int, played: int) -> None:
        """The client has played so much of the turn, and needs it never again."""

    def going_away(self, grace_seconds: float) -> None:
        """Tells the client that this instance stops soon."""


class Target(Protocol):
    """A kind of place where clients are."""

    def open(
        self, opening: egress_pb2.Open, uplink: Uplink
    ) -> AbstractAsyncContextManager[Delivery]:
        """Serves the session's client while the block runs.

        Raises:
            StageError: When the opening message asks for something impossible.
        """
