"""LiveKit rooms as a target: each session's room is joined, served and left on its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Delivery, Uplink
from stagewire_egress.livekit.client import RoomClient
from stagewire_egress.livekit.joining import Joiner, check, leave
from stagewire_egress.settings import EgressSettings

logger = logging.getLogger(__name__)


class LiveKitRooms:
    """The rooms of the sessions that are open. A delivery target.

    Args:
        settings: The stage's settings.
        clock: Monotonic seconds.
    """

    features = RoomClient.features

    def __init__(
        self, settings: EgressSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """No room is joined."""
        self._settings = settings
        self._clock = clock
        self._joiner = Joiner(settings.livekit_join_seconds)
        # The library logs the errors that it raises, and those quote tokens.
        logging.getLogger("livekit").setLevel(logging.CRITICAL)

    async def close(self) -> None:
        """Leaves what was joined too late."""
        await self._joiner.close()

    @asynccontextmanager
    async def open(self, opening: egress_pb2.Open, uplink: Uplink) -> AsyncIterator[Delivery]:
        """Is in the session's room while the block runs.

        Raises:
            StageError: INVALID_FIELD, BACKEND_UNAUTHENTICATED or BACKEND_FAILED; see ``Joiner``.
        """
        check(opening)
        began = self._clock()
        room = await self._joiner.join(opening.livekit)
        try:
            client = RoomClient(opening, room, uplink, self._settings, self._clock)
            await client.publish()
            logger.info("in the room after %.0f ms", 1000 * (self._clock() - began))
            # A bare task, because a TaskGroup must not span the yield; it ends below.
            serving = asyncio.create_task(client.run())
            try:
                yield client
                await client.finish()
            finally:
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([serving])
                await client.close()
        finally:
            await leave(room)
            logger.info("left the room")
