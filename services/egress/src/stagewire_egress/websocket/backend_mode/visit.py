"""Serves `/ws/agent`: a session for each client, another one when it wants another avatar."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from stagekit import log
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.egress.v1 import egress_pb2
from stagewire.orchestrator.v1 import orchestrator_pb2
from websockets.asyncio.server import ServerConnection

from stagewire_egress.delivery import Uplink
from stagewire_egress.settings import EgressSettings
from stagewire_egress.websocket import frames
from stagewire_egress.websocket.backend_mode import messages
from stagewire_egress.websocket.backend_mode.pages import public_config
from stagewire_egress.websocket.backend_mode.sessions import SessionApi
from stagewire_egress.websocket.backend_mode.wire import BackendModeWire
from stagewire_egress.websocket.client import WebSocketClient
from stagewire_egress.websocket.downlink import Control
from stagewire_egress.websocket.wire import GoodbyeError

logger = logging.getLogger(__name__)

Created = orchestrator_pb2.CreateSessionResponse


class Visit:
    """One connection to `/ws/agent`, and the sessions that it has had.

    Args:
        settings: The stage's settings.
        sessions: Where sessions come from.
        find: The session's client here, by its token; None when it is elsewhere.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: EgressSettings,
        sessions: SessionApi,
        find: Callable[[str], WebSocketClient | None],
        clock: Callable[[], float],
    ) -> None:
        """There is no session yet."""
        self._settings = settings
        self._sessions = sessions
        self._find = find
        self._clock = clock
        self._current = Created()
        self._open: set[str] = set()
        self._hello: Sequence[str] = ()

    async def begin(self) -> None:
        """Gets the first session.

        Raises:
            StageError: There is none.
        """
        self._current = await self._create("", "")
        session = self._current.session
        avatar = public_config(self._settings, session.motion_avatar_id or session.avatar_id)
        missing: dict[str, list[str]] = {"sample": [], "realtime": []}
        self._hello = [
            frames.text("ready", sessionId=session.session_id, avatar=avatar, missing=missing)
        ]

    async def serve(self, ws: ServerConnection) -> None:
        """Serves the client until it goes, in as many sessions as it wants.

        Raises:
            StageError: The session is not here.
        """
        stays = True
        while stays:
            current = self._current
            log.session_id.set(current.session.session_id)
            log.trace_id.set(current.session.trace_id)
            client = self._find(current.client_token)
            if client is None:
                raise StageError(
                    error_pb2.ERROR_REASON_STAGE_UNREACHABLE,
                    "the session went to another instance of egress: set "
                    "STAGEWIRE_EGRESS_INSTANCE_TARGET where there are several",
                )
            logger.info("backend mode client joins")
            stays = await client.serve(ws, self._wire)
            await self._end(current.session.session_id)

    async def leave(self) -> None:
        """Ends what is left: nobody can come back to it."""
        for session_id in list(self._open):
            await self._end(session_id)

    def _wire(
        self, opening: egress_pb2.Open, uplink: Uplink, reply: Callable[[Control], None]
    ) -> BackendModeWire:
        choose = partial(self._choose, uplink)
        return BackendModeWire(opening, uplink, reply, self._hello, choose, self._clock)

    async def _choose(self, uplink: Uplink, avatar_id: str, language: str) -> None:
        """Stays with the session if it fits, or begins another and leaves this one for it."""
        session = self._current.session
        current = ("", session.avatar_id, session.motion_avatar_id)
        if avatar_id in current and _same_language(language, session.locale):
            return
        self._current = await self._create(avatar_id or session.avatar_id, language)
        hello = [messages.interrupt("agent_interrupt")] if uplink.open_turn else []
        if language:
            self._hello = [*hello, frames.text("agent_ready")]
        else:
            self._hello = [*hello, messages.status("the avatar is set")]
        raise GoodbyeError(None, "another session takes over")

    async def _create(self, avatar_id: str, locale: str) -> Created:
        created = await self._sessions.create(avatar_id, locale)
        self._open.add(created.session.session_id)
        return created

    async def _end(self, session_id: str) -> None:
        self._open.discard(session_id)
        await self._sessions.end(session_id)


def _same_language(wanted: str, locale: str) -> bool:
    return not wanted or wanted.partition("-")[0].lower() == locale.partition("-")[0].lower()
