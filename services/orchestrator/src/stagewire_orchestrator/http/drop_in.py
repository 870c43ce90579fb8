"""Routes that Spatius' demo clients call, answered in the shapes that they know.

`/token` and `/health` are the LiveKit demos' token server's; `/api/config`, `/api/session` and
`/api/session/stop` the RTC mode demo's. Here one call mints the token *and* brings the avatar into
the room. docs/drop-in.md says which client needs what. Their errors are `{"error": "…"}`.
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.http.auth import Guard
from stagewire_orchestrator.http.problems import status_of
from stagewire_orchestrator.rooms import Rooms, check_identity
from stagewire_orchestrator.sessions import Sessions
from stagewire_orchestrator.settings import OrchestratorSettings

DEFAULT_ROOM = "pure-rtc-room"
"""Where the LiveKit demos' clients meet that name no room."""

_AGORA = ["AGORA_APP_ID", "AGORA_APP_CERTIFICATE", "AGORA_PIPELINE_ID"]
_ROOM_FAILURES = frozenset(
    {error_pb2.ERROR_REASON_STAGE_UNREACHABLE, error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED}
)


class TokenRequest(BaseModel):
    """What the LiveKit demos' clients send; they know the first two."""

    room: Annotated[str, Field(description=f"Empty: {DEFAULT_ROOM}.")] = ""
    identity: Annotated[str, Field(description="Empty: a new one.")] = ""
    avatar_id: Annotated[str, Field(description="Which avatar answers; empty: the default.")] = ""


class SessionRequest(BaseModel):
    """What the RTC mode demo's clients send."""

    language: Annotated[str, Field(description='Such as "en"; empty: the avatar\'s own.')] = ""
    avatarId: Annotated[str, Field(description="Which avatar answers; empty: the default.")] = ""  # noqa: N815  # the demo's name
    transport: Annotated[str, Field(description='"livekit"; others are not served.')] = ""


def router(
    settings: OrchestratorSettings, sessions: Sessions, rooms: Rooms, guard: Guard
) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["drop-in"])
    _add_probes(routes, settings)
    guarded = APIRouter(dependencies=[] if settings.open_drop_in else [Depends(guard.caller)])
    _add_token(guarded, sessions, rooms)
    _add_rtc_mode(guarded, settings, sessions, rooms)
    routes.include_router(guarded)
    return routes


def _add_probes(routes: APIRouter, settings: OrchestratorSettings) -> None:
    @routes.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Whether this process serves; `missing` is about Spatius' clients alone."""
        missing = _missing_of_spatius(settings)
        return {"status": "ok", "ok": not missing, "missing": missing}

    @routes.get("/health")
    async def health() -> dict[str, str]:
        """Whether this process serves."""
        return {"status": "ok"}


def _add_token(routes: APIRouter, sessions: Sessions, rooms: Rooms) -> None:
    @routes.post("/token")
    async def token(wanted: Annotated[TokenRequest | None, Body()] = None) -> JSONResponse:
        """A LiveKit token for a room; the first one for a room brings the avatar into it."""
        if rooms.missing:
            return JSONResponse({"error": "missing_livekit_env", "missing": rooms.missing}, 500)
        wanted = wanted or TokenRequest()
        identity = wanted.identity.strip() or f"browser-{secrets.token_hex(4)}"
        request = pb.CreateSessionRequest(
            avatar_id=wanted.avatar_id,
            transport=pb.TRANSPORT_LIVEKIT,
            room=wanted.room.strip() or DEFAULT_ROOM,
        )
        try:
            check_identity(identity)
            entered = await sessions.enter(request, identity)
        except StageError as error:
            failed = error.reason in _ROOM_FAILURES
            return _refuse(error, "create_room_failed", 502) if failed else _refuse(error)
        return JSONResponse(
            {
                "token": entered.client_token,
                "url": entered.url,
                "room": entered.session.room,
                "identity": identity,
                "session_id": entered.session.session_id,
                "avatar_id": entered.session.avatar_id,
                "expires_at": entered.token_expire_time.ToJsonString(),
            }
        )


def _add_rtc_mode(
    routes: APIRouter, settings: OrchestratorSettings, sessions: Sessions, rooms: Rooms
) -> None:
    def missing() -> list[str]:
        return [*_missing_of_spatius(settings), *rooms.missing]

    @routes.get("/api/config")
    async def read_config() -> dict[str, Any]:
        """What a client needs to know. No secret is in it, and nothing can be edited."""
        avatar = sessions.profile("")
        return {
            "TRANSPORT": "livekit",
            "SPATIUS_APP_ID": settings.spatius_app_id,
            "SPATIUS_AVATAR_ID": avatar.motion_avatar_id,
            "appId": settings.spatius_app_id,
            "avatarId": avatar.motion_avatar_id,
            "region": settings.spatius_region.partition(",")[0],  # others are for failing over
            "fields": {"common": [], "livekit": [], "agora": []},
            "missing": missing(),
            "missingByTransport": {"livekit": missing(), "agora": _AGORA},
        }

    @routes.post("/api/config")
    async def write_config(request: Request) -> dict[str, Any]:
        """Taken and not saved: the server's environment decides, and no page."""
        return {"ok": True, "saved": [], "message": "settings are the server's environment"}

    @routes.post("/api/session")
    async def start(wanted: Annotated[SessionRequest | None, Body()] = None) -> JSONResponse:
        """A session in a room of its own."""
        wanted = wanted or SessionRequest()
        lacking = _AGORA if wanted.transport == "agora" else rooms.missing
        if lacking:
            return JSONResponse({"error": "invalid_server_env", "missingKeys": lacking}, 500)
        try:
            avatar = sessions.profile(wanted.avatarId)
            request = pb.CreateSessionRequest(
                avatar_id=wanted.avatarId,
                transport=pb.TRANSPORT_LIVEKIT,
                locale="" if _same(wanted.language, avatar.language) else wanted.language,
            )
            created = await sessions.create(request)
        except StageError as error:
            return _refuse(error)
        return JSONResponse(
            {
                "transport": "livekit",
                "sessionId": created.session.session_id,
                "roomName": created.session.room,
                "url": created.url,
                "token": created.client_token,
                "spatiusAppId": settings.spatius_app_id,
                "avatarId": avatar.motion_avatar_id,
            }
        )

    @routes.post("/api/session/stop")
    async def stop(request: Request) -> JSONResponse:
        """Ends it; as JSON whatever the content type says, because a beacon sends text/plain."""
        try:
            session_id = str(json.loads(await request.body())["sessionId"])
        except (ValueError, TypeError, KeyError):
            return JSONResponse({"error": "the body must be JSON with a sessionId"}, 400)
        try:
            await sessions.end(session_id)
        except StageError as error:
            return _refuse(error)
        return JSONResponse({"ok": True})


def _missing_of_spatius(settings: OrchestratorSettings) -> list[str]:
    return [] if settings.spatius_app_id else ["SPATIUS_APP_ID"]


def _same(language: str, locale: str) -> bool:
    """Whether the client's plain language is what the avatar speaks anyway."""
    return not language or language.partition("-")[0].lower() == locale.partition("-")[0].lower()


def _refuse(error: StageError, what: str = "", status: int | None = None) -> JSONResponse:
    what = what or error.reason_name.lower()
    return JSONResponse({"error": f"{what}: {error.message}"}, status or status_of(error))
