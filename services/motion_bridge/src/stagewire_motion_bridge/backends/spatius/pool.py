"""Sessions kept ready, so that a conversation begins without waiting for one."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stagewire_motion_bridge.backends.spatius.connection import MotionSession
from stagewire_motion_bridge.backends.spatius.errors import meaning, where

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Kind:
    """What sessions have to have in common to stand in for each other."""

    avatar_id: str
    engine_hertz: int


class Pool:
    """Ready sessions of the kind that was asked for last.

    Args:
        size: How many to keep; 0 keeps none.
        seconds: How long one may wait: an unused session is billed, and ended by the server.
        connect: Makes a session of a kind; raises what the SDK raises.
        clock: Monotonic seconds, the event loop's.
    """

    def __init__(
        self,
        size: int,
        seconds: float,
        connect: Callable[[Kind], Awaitable[MotionSession]],
        clock: Callable[[], float],
    ) -> None:
        """Empty until the first ``take``."""
        self._size, self._seconds, self._connect, self._clock = size, seconds, connect, clock
        self._kind: Kind | None = None
        self._made_for: Kind | None = None
        self._ready: deque[tuple[float, MotionSession]] = deque()
        self._taken = asyncio.Event()

    def take(self, kind: Kind) -> MotionSession | None:
        """A session that stands, if one is ready; the next is made in its place."""
        self._kind = kind
        self._taken.set()
        while self._ready:
            made, session = self._ready.popleft()
            if session.alive and self._fits(made, kind):
                return session
        return None

    def _fits(self, made: float, kind: Kind | None) -> bool:
        return kind == self._made_for and self._clock() < made + self._seconds

    async def run(self) -> None:
        """Fills up and replaces; runs until cancelled, then closes what is left."""
        if not self._size:
            return
        try:
            while True:
                await self._refill()
                due = self._ready[0][0] + self._seconds if self._ready else None
                try:
                    async with asyncio.timeout_at(due):
                        await self._taken.wait()
                except TimeoutError:
                    pass
                self._taken.clear()
        finally:
            for _, session in self._ready:
                await session.close()

    async def _refill(self) -> None:
        for made, session in list(self._ready):
            if not session.alive or not self._fits(made, self._kind):
                self._ready.remove((made, session))
                await session.close()
        while (kind := self._kind) is not None and len(self._ready) < self._size:
            self._made_for = kind
            try:
                session = await self._connect(kind)
            except Exception as error:
                # Whatever the SDK raises; whoever needs a session meets the same, and says so.
                logger.warning("no session in reserve: %s", meaning(error).error(where(error)))
                await asyncio.sleep(_PAUSE_SECONDS)
                return
            self._ready.append((self._clock(), session))
