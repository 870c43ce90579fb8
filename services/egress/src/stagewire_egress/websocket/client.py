"""One session's client, across all its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from stagewire.common.v1 import session_event_pb2
from stagewire.egress.v1 import egress_pb2
from websockets.asyncio.server import ServerConnection

from stagewire_egress.delivery import Media, Uplink
from stagewire_egress.settings import EgressSettings
from stagewire_egress.websocket.connection import Connection
from stagewire_egress.websocket.downlink import Control, Downlink, GoingAway
from stagewire_egress.websocket.frames import Close
from stagewire_egress.websocket.wire import Wire

_FLUSH_SECONDS = 1.0

MakeWire = Callable[[egress_pb2.Open, Uplink, Callable[[Control], None]], Wire]


class WebSocketClient:
    """The delivery of a session whose client connects to this stage's WebSocket.

    Args:
        opening: The session's opening message.
        uplink: Who is told what the client does.
        join_url: Where it connects.
        settings: The stage's settings.
    """

    features: Sequence[str] = ("web_socket", "playback", "user_text")

    def __init__(
        self,
        opening: egress_pb2.Open,
        uplink: Uplink,
        join_url: str,
        settings: EgressSettings,
    ) -> None:
        """Nobody has joined yet."""
        self._opening = opening
        self._uplink = uplink
        self.join_url = join_url
        self._settings = settings
        self._downlink = Downlink(settings.max_media_bytes)
        self._connection: Connection | None = None
        self._seen = False

    @property
    def session_id(self) -> str:
        """The session."""
        return self._opening.session_id

    async def send(self, message: Media, end_sample: int) -> None:
        """Queues media; waits while the client is too far behind."""
        await self._downlink.put(message, end_sample)

    def event(self, event: session_event_pb2.SessionEvent) -> None:
        """Shows something to the client, ahead of all queued media."""
        self._downlink.control(event)

    def silence(self, turn: int) -> None:
        """Makes this turn and older ones inaudible now."""
        self._downlink.silence(turn)

    def forget(self, turn: int, played: int) -> None:
        """The client has played so much of the turn."""
        self._downlink.forget(turn, played)

    def going_away(self, grace_seconds: float) -> None:
        """Tells the client that this instance stops soon."""
        self._downlink.control(GoingAway(grace_seconds))

    async def serve(self, ws: ServerConnection, make_wire: MakeWire) -> bool:
        """Serves a connection that showed the right token, in place of the one before.

        Args:
            ws: The connection.
            make_wire: Makes its words, from the session, who hears the client, and a way to it.

        Returns:
            Whether the connection is still open: its client wants another session.
        """
        wire = make_wire(self._opening, self._uplink, self._downlink.control)
        connection = Connection(
            ws, wire, self._downlink, self._uplink, self._settings.stall_seconds
        )
        before, self._connection = self._connection, connection
        if before is not None:
            before.stop(Close.REPLACED, "another client joined with the same token")
        change, self._seen = (
            (
                egress_pb2.Participant.CHANGE_RETURNED
                if self._seen
                else egress_pb2.Participant.CHANGE_JOINED
            ),
            True,
        )
        # One instant for both: a turn that ends after it is told by `interrupt`.
        turn = self._uplink.open_turn
        self._downlink.rewind(turn)
        try:
            await self._uplink.participant(change)
            return await connection.run(turn)
        finally:
            if self._connection is connection:
                self._connection = None
                await self._uplink.participant(egress_pb2.Participant.CHANGE_LEFT)

    async def close(self, code: Close, reason: str) -> None:
        """Ends the connection after what is still to be said."""
        connection = self._connection
        if connection is None:
            return
        if code == Close.ENDED:
            self._downlink.finish()
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await connection.finished.wait()
        connection.stop(code, reason)
