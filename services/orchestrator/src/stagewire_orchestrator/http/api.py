"""The session API's routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from google.protobuf import json_format
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.http.auth import Guard
from stagewire_orchestrator.http.models import (
    Created,
    CreateSession,
    Many,
    One,
    SendText,
    Taken,
    body,
)
from stagewire_orchestrator.http.problems import Problem
from stagewire_orchestrator.sessions import Sessions
from stagewire_orchestrator.timeline.model import Timeline, Timelines

MAX_WATCHERS = 8
"""Event streams of one session at the same time."""

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 409, 413, 422, 429, 502, 503, 504)
}


def router(sessions: Sessions, guard: Guard) -> APIRouter:
    """The routes under ``/v1/sessions``."""
    routes = APIRouter(prefix="/v1/sessions", tags=["sessions"], responses=_REFUSALS)
    caller = [Depends(guard.caller)]
    participant = [Depends(guard.participant)]

    @routes.post("", status_code=201, response_model=Created, dependencies=caller)
    async def create_session(
        wanted: CreateSession,
        idempotency_key: Annotated[
            str, Header(description="The same key within ten minutes returns the same session.")
        ] = "",
        traceparent: Annotated[
            str,
            Header(
                description="The caller's own W3C trace context: the session's trace links to it. "
                "It decides neither the trace id nor what is recorded."
            ),
        ] = "",
    ) -> Any:
        """Connects an avatar's stages and says how the client joins."""
        publisher = wanted.publisher or "unspecified"
        request = pb.CreateSessionRequest(
            avatar_id=wanted.avatar_id,
            transport=pb.Transport.Value(f"TRANSPORT_{wanted.transport.upper()}"),
            locale=wanted.locale,
            room=wanted.room,
            metadata=wanted.metadata,
            idempotency_key=idempotency_key,
            publisher=pb.Publisher.Value(f"PUBLISHER_{publisher.upper()}"),
        )
        return body(await sessions.create(request, traceparent))

    @routes.get("", response_model=Many, dependencies=caller)
    async def list_sessions(include_ended: bool = False) -> Any:
        """Tells about all of them; those that ended are kept for ten minutes."""
        return body(pb.ListSessionsResponse(sessions=sessions.list(include_ended)))

    @routes.get("/{session_id}", response_model=One, dependencies=participant)
    async def get_session(session_id: str) -> Any:
        """Tells about one session, also for a while after its end."""
        return body(pb.GetSessionResponse(session=sessions.get(session_id)))

    @routes.delete("/{session_id}", response_model=One, dependencies=participant)
    async def end_session(session_id: str) -> Any:
        """Ends one. Safe to repeat."""
        return body(pb.EndSessionResponse(session=await sessions.end(session_id)))

    @routes.post("/{session_id}/text", response_model=Taken, dependencies=participant)
    async def send_text(session_id: str, said: SendText) -> Any:
        """Says something in the user's place."""
        await sessions.send_text(session_id, said.text)
        return {}

    @routes.post("/{session_id}/interrupt", response_model=Taken, dependencies=participant)
    async def interrupt(session_id: str) -> Any:
        """Makes the avatar stop speaking."""
        await sessions.interrupt(session_id)
        return {}

    @routes.get("/{session_id}/timeline", response_model=Timeline, dependencies=participant)
    async def get_timeline(session_id: str) -> Timeline:
        """What the session did and when, so far; kept for a while after its end."""
        return sessions.shelf.get(session_id).timeline()

    _add_events(routes, sessions, guard)
    return routes


def timelines(sessions: Sessions, guard: Guard) -> APIRouter:
    """The list of timelines: sessions are in it longer than in that of sessions."""
    routes = APIRouter(prefix="/v1/timelines", tags=["sessions"], responses=_REFUSALS)

    @routes.get("", response_model=Timelines, dependencies=[Depends(guard.caller)])
    async def list_timelines() -> Timelines:
        """The sessions that a timeline is kept of, newest first."""
        return Timelines(sessions=[kept.summary() for kept in sessions.shelf.all()])

    return routes


def _add_events(routes: APIRouter, sessions: Sessions, guard: Guard) -> None:
    watchers: dict[str, int] = {}

    def seen(
        session_id: str,
        last_event_id: Annotated[
            str, Header(description="The last id that was seen: only later events follow.")
        ] = "0",
    ) -> int:
        """Refuses before the stream has begun, when a status can still tell it."""
        sessions.get(session_id)
        if not last_event_id.isdecimal() or len(last_event_id) > 20:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                "Last-Event-ID: must be the id of an event, a number",
            )
        if watchers.get(session_id, 0) >= MAX_WATCHERS:
            raise StageError(
                error_pb2.ERROR_REASON_STAGE_FULL,
                f"the session has {MAX_WATCHERS} watchers already",
                retry_after=5.0,
            )
        return int(last_event_id)

    @routes.get(
        "/{session_id}/events",
        response_class=EventSourceResponse,
        dependencies=[Depends(guard.participant)],
    )
    async def watch_session(
        session_id: str, after: int = Depends(seen)
    ) -> AsyncIterator[ServerSentEvent]:
        """Streams the session's events (SessionEvent in JSON), and a comment when all is quiet.

        The last 1000 are kept; a gap in the ids tells of older ones. The stream ends with
        `session_ended`.
        """
        watchers[session_id] = watchers.get(session_id, 0) + 1
        try:
            async for event in sessions.events(session_id, after):
                yield ServerSentEvent(
                    id=str(event.sequence),
                    event=event.WhichOneof("event"),
                    data=json_format.MessageToDict(event, preserving_proto_field_name=True),
                )
        finally:
            watchers[session_id] -= 1
            if not watchers[session_id]:
                del watchers[session_id]
