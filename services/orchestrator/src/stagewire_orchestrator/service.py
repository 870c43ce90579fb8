"""The session API over gRPC: SessionService. Who may call what is as over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi.security import HTTPAuthorizationCredentials
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb
from stagewire.orchestrator.v1 import orchestrator_pb2_grpc

from stagewire_orchestrator.http.auth import Guard, bearer
from stagewire_orchestrator.sessions import Sessions


class SessionService(orchestrator_pb2_grpc.SessionServiceServicer):
    """Says over gRPC what ``Sessions`` does."""

    def __init__(self, sessions: Sessions, guard: Guard) -> None:
        """Serves these sessions to whom the guard lets through."""
        self._sessions = sessions
        self._guard = guard

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Any
    ) -> pb.CreateSessionResponse:
        """Connects an avatar's stages and says how the client joins."""
        self._guard.caller(_shown(context))
        metadata = dict(context.invocation_metadata())
        return await self._sessions.create(request, str(metadata.get("traceparent", "")))

    async def GetSession(
        self, request: pb.GetSessionRequest, context: Any
    ) -> pb.GetSessionResponse:
        """Tells about one session."""
        self._guard.participant(request.session_id, _shown(context), None)
        return pb.GetSessionResponse(session=self._sessions.get(request.session_id))

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Any
    ) -> pb.ListSessionsResponse:
        """Tells about all of them."""
        self._guard.caller(_shown(context))
        return pb.ListSessionsResponse(sessions=self._sessions.list(request.include_ended))

    async def EndSession(
        self, request: pb.EndSessionRequest, context: Any
    ) -> pb.EndSessionResponse:
        """Ends one."""
        self._guard.participant(request.session_id, _shown(context), None)
        return pb.EndSessionResponse(session=await self._sessions.end(request.session_id))

    async def SendText(self, request: pb.SendTextRequest, context: Any) -> pb.SendTextResponse:
        """Says something in the user's place."""
        self._guard.participant(request.session_id, _shown(context), None)
        await self._sessions.send_text(request.session_id, request.text)
        return pb.SendTextResponse()

    async def Interrupt(self, request: pb.InterruptRequest, context: Any) -> pb.InterruptResponse:
        """Makes the avatar stop speaking."""
        self._guard.participant(request.session_id, _shown(context), None)
        await self._sessions.interrupt(request.session_id)
        return pb.InterruptResponse()

    async def WatchSession(
        self, request: pb.WatchSessionRequest, context: Any
    ) -> AsyncIterator[pb.WatchSessionResponse]:
        """Streams the session's events."""
        self._guard.participant(request.session_id, _shown(context), None)
        async for event in self._sessions.events(request.session_id, request.after_sequence):
            yield pb.WatchSessionResponse(event=event)


def _shown(context: Any) -> HTTPAuthorizationCredentials | None:
    """What the call's metadata shows: `authorization: Bearer KEY`."""
    metadata = {
        key.encode(): value.encode("latin-1", "replace")
        for key, value in context.invocation_metadata() or ()
        if isinstance(value, str)
    }
    shown = bearer(metadata)
    return HTTPAuthorizationCredentials(scheme="Bearer", credentials=shown) if shown else None
