"""What every stage of a session needs to know of the session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.audio_pb2 import AUDIO_ENCODING_PCM_S16LE, AudioFormat

from stagewire_orchestrator import events as e
from stagewire_orchestrator.avatars import Avatar
from stagewire_orchestrator.spans import SessionSpans
from stagewire_orchestrator.stages.channels import Channels

Post = Callable[[e.Event], Awaitable[None]]
"""Tells the machine; waits while it has much to do."""


@dataclass(frozen=True)
class Context:
    """One session, for its stages.

    Attributes:
        session_id: Its id.
        avatar: Its profile.
        locale: BCP 47.
        spans: Its trace.
        channels: Connections to the stages.
        post: Tells the machine.
    """

    session_id: str
    avatar: Avatar
    locale: str
    spans: SessionSpans
    channels: Channels
    post: Post

    async def notice(self, problem: StageError) -> None:
        """Tells of a lost stream, unless it was left on purpose."""
        if problem.reason != error_pb2.ERROR_REASON_DRAINING:
            await self.post(e.Noticed(problem.to_fault()))


def pcm(hertz: int) -> AudioFormat:
    """The format of 16-bit PCM at this rate."""
    return AudioFormat(encoding=AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=hertz)
