"""Keeps one session with Motion Server standing, for as long as a conversation wants one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_motion_bridge.backends.spatius.connection import MotionSession
from stagewire_motion_bridge.backends.spatius.errors import Action, meaning, where
from stagewire_motion_bridge.backends.spatius.reconnect import Reconnect, Retry
from stagewire_motion_bridge.backends.spatius.settings import SpatiusSettings

logger = logging.getLogger(__name__)

_STOOD_SECONDS = 60.0
"""A session that lived so long was a good one, also without motion."""

Connect = Callable[[int], Awaitable[MotionSession]]
"""Makes a session in the region with this index; raises what the SDK raises."""


class Keeper:
    """The present session, or why there is none.

    Args:
        connect: Makes a session.
        policy: When and where to try again.
        settings: The backend's.
        clock: Monotonic seconds, the event loop's.

    Attributes:
        session: The one to use now.
        problem: Why there is none.
        ring: Called when ``session`` has changed, and when something is in its inbox.
        resting_since: When the conversation's last turn ended; None while one is open.
    """

    def __init__(
        self,
        connect: Connect,
        policy: Reconnect,
        settings: SpatiusSettings,
        clock: Callable[[], float],
    ) -> None:
        """Not connected."""
        self.ring: Callable[[], None] = lambda: None
        self.session: MotionSession | None = None
        self.problem: StageError | None = None
        self.resting_since: float | None = clock()
        self._connect, self._policy, self._settings = connect, policy, settings
        self._clock = clock
        self._since = clock()
        self._next: Retry | None = Retry(0.0, 0)
        self._next_at = clock()
        self._refused = self._full = False
        self._news = asyncio.Event()

    async def first(self) -> None:
        """Tries for ``connect_seconds`` to connect; afterwards there is a session or a problem.

        Raises:
            StageError: When trying again is of no use: the operator, or the caller, has something
                to change, or the account has no place left.
        """
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                while self.session is None and self._next is not None and not self._full:
                    await asyncio.sleep(self._next.pause)
                    await self._try(self._next.region)
        except TimeoutError as error:
            if self.problem is None:
                self._note(error)
        if self.problem is not None and not self.transient:
            raise self.problem

    @property
    def transient(self) -> bool:
        """Whether the problem may go away by itself within a turn or two."""
        return not self._refused and not self._full

    async def run(self) -> None:
        """Connects when a session is wanted and there is none; runs until cancelled."""
        while True:
            self._news.clear()
            if self.session is not None:
                await self._look_after(self.session)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(None if self._next is None else self._next_at):
                        await self._news.wait()
                        continue
                if self._next is not None:
                    await self._try(self._next.region)

    def want(self) -> None:
        """A turn begins: a session is wanted now, unless it was refused or the account is full."""
        self.resting_since = None
        if self.session is None and self.transient:
            self._next, self._next_at = self._policy.again(), self._clock()
        self._news.set()

    def rest(self) -> None:
        """The turn is over."""
        self.resting_since = self._clock()
        self._news.set()

    def lost(self, error: Exception) -> None:
        """The present session is gone."""
        self.session = None
        if self._clock() - self._since >= _STOOD_SECONDS:
            self._policy.stands()
        self._note(error)
        self._news.set()

    def works(self) -> None:
        """Motion came: what failed before does not count any more."""
        self._policy.stands()

    async def close(self) -> None:
        """Ends the session."""
        if self.session is not None:
            session, self.session = self.session, None
            await session.close()

    async def _try(self, region: int) -> None:
        try:
            session = await self._connect(region)
        except Exception as error:
            # Everything that an SDK may raise is a failed connection, and noted as one.
            self._note(error)
            return
        self._stand(session)

    def _stand(self, session: MotionSession) -> None:
        logger.info("Motion Server session stands: connection=%s", session.connection_id)
        session.ring = self.ring
        self.session, self.problem, self._since = session, None, self._clock()
        self.ring()

    def _note(self, error: Exception) -> None:
        what = meaning(error)
        action = what.action
        if action is Action.REST and self.resting_since is None:
            action = Action.RETRY  # a turn is open: it needs a session now
        self._next = self._policy.failed(action)
        self._next_at = self._clock() + (self._next.pause if self._next is not None else 0.0)
        token = what.reason == error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED
        self._refused = action is Action.STOP or (token and self._next is None)
        self._full = action is Action.WAIT
        full = self._settings.full_seconds if self._full else None
        self.problem = what.error(where(error), full)
        logger.warning(
            "no Motion Server session: %s; next try %s",
            self.problem.message,
            "with the next turn" if self._next is None else f"in {self._next.pause:.1f} s",
        )
        self.ring()

    async def _look_after(self, session: MotionSession) -> None:
        """Waits for news; closes a session that is idle, replaces one that is old."""
        due = self._due()
        try:
            async with asyncio.timeout_at(due):
                await self._news.wait()
                return
        except TimeoutError:
            pass
        if session is not self.session or self.resting_since is None:
            return
        if self._idle_due() <= self._clock():
            self.session, self._next = None, None
            logger.info("Motion Server session closed: no turn for a while")
        else:
            try:
                fresh = await self._connect(0)
            except Exception as error:
                logger.warning("an old session stays: %s", meaning(error).error(where(error)))
                self._since = self._clock()
                return
            if self.session is not session:  # it went by itself meanwhile
                await fresh.close()
                return
            self._stand(fresh)
        session.ring = lambda: None
        await session.close()

    def _due(self) -> float | None:
        """When this session is to be closed or replaced; None while a turn is open."""
        if self.resting_since is None:
            return None
        times = [self._idle_due()]
        if self._settings.max_session_seconds:
            times.append(self._since + self._settings.max_session_seconds)
        return None if min(times) == float("inf") else min(times)

    def _idle_due(self) -> float:
        idle = self._settings.idle_seconds
        since = self.resting_since
        return since + idle if idle and since is not None else float("inf")
