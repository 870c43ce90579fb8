"""A bounded queue towards a peer, in which control overtakes media."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from stagewire.common.v1 import error_pb2

from stagekit.errors import StageError

Message = TypeVar("Message")


class Outbox(Generic[Message]):
    """What waits to be sent on one stream.

    Media waits while the queue is full, which is how a slow peer slows its producer down. Control
    (interrupts, ends, faults) goes ahead of all queued media and never waits.

    Args:
        limit: Media messages held at most; control messages are held up to the same number.
        stall_seconds: How long media may wait for a peer that reads nothing.
    """

    def __init__(self, limit: int, stall_seconds: float = 30.0) -> None:
        """Makes an empty queue."""
        self._limit = limit
        self._stall_seconds = stall_seconds
        self._media: deque[Message] = deque()
        self._control: deque[Message] = deque()
        self._changed = asyncio.Condition()
        self._closed = False

    async def put(self, message: Message) -> None:
        """Queues media; waits while the queue is full.

        Raises:
            StageError: PEER_TOO_SLOW when it stays full for ``stall_seconds``.
        """
        async with self._changed:
            if len(self._media) >= self._limit:
                try:
                    async with asyncio.timeout(self._stall_seconds):
                        await self._changed.wait_for(lambda: len(self._media) < self._limit)
                except TimeoutError:
                    raise _too_slow(f"read nothing for {self._stall_seconds:g} s") from None
            self._media.append(message)
            self._changed.notify_all()

    async def put_control(self, message: Message) -> None:
        """Queues a control message ahead of all media.

        Raises:
            StageError: PEER_TOO_SLOW when the peer lets control messages pile up.
        """
        async with self._changed:
            if len(self._control) >= self._limit:
                raise _too_slow(f"let {self._limit} control messages pile up")
            self._control.append(message)
            self._changed.notify_all()

    async def discard(self, unwanted: Callable[[Message], bool]) -> None:
        """Forgets queued media for which ``unwanted`` is true: an interrupted turn's."""
        async with self._changed:
            self._media = deque(message for message in self._media if not unwanted(message))
            self._changed.notify_all()

    async def close(self) -> None:
        """Ends the iteration once the queue is empty."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yields messages in the order in which they are to be sent."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._control or self._media or self._closed)
                if self._control:
                    message = self._control.popleft()
                elif self._media:
                    message = self._media.popleft()
                else:
                    return
                self._changed.notify_all()
            yield message


def _too_slow(what: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_PEER_TOO_SLOW, f"the peer {what}; the stream ends")
