"""Audio that was read ahead of the motion."""

from __future__ import annotations

import asyncio
from collections import deque

from stagewire.spatius_wire.v2 import spatius_wire_pb2 as pb

_OVERHEAD = 256  # bytes that a message takes beside its audio


class Backlog:
    """A queue that is bounded in bytes, so that it holds long speech in small pieces.

    It is deep, because what is read late is answered late: an interrupt, and the client's pings.

    Args:
        limit: Bytes; a message is let in while fewer are held.
    """

    def __init__(self, limit: int) -> None:
        """Empty."""
        self._limit = limit
        self._held = 0
        self._messages: deque[pb.AudioInput] = deque()
        self._changed = asyncio.Condition()

    async def put(self, message: pb.AudioInput) -> None:
        """Adds a message; waits while too much is held."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._held < self._limit)
            self._held += len(message.audio) + _OVERHEAD
            self._messages.append(message)
            self._changed.notify_all()

    async def get(self) -> pb.AudioInput:
        """Takes the oldest message; waits for one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._messages)
            message = self._messages.popleft()
            self._held -= len(message.audio) + _OVERHEAD
            self._changed.notify_all()
            return message
