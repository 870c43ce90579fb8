"""``python -m stagewire_orchestrator``: serves the session API over gRPC and HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket

import grpc
from stagekit.admission import Admission
from stagekit.server import Stage, run
from stagewire.common.v1 import describe_pb2
from stagewire.orchestrator.v1 import orchestrator_pb2
from stagewire.orchestrator.v1.orchestrator_pb2_grpc import add_SessionServiceServicer_to_server

from stagewire_orchestrator import avatars
from stagewire_orchestrator.http.app import build_app
from stagewire_orchestrator.http.auth import ApiKeys, Guard
from stagewire_orchestrator.http.server import HttpServer
from stagewire_orchestrator.page import PageSettings, add_page
from stagewire_orchestrator.rooms import Rooms
from stagewire_orchestrator.service import SessionService
from stagewire_orchestrator.sessions import Sessions
from stagewire_orchestrator.settings import OrchestratorSettings
from stagewire_orchestrator.stages.channels import Channels
from stagewire_orchestrator.tokens import ApiTokens

logger = logging.getLogger(__name__)


async def build(settings: OrchestratorSettings) -> Stage:
    """Makes the stage; starts the HTTP side, which ``Stage.close`` stops."""
    profiles = avatars.load(settings.avatars, settings.spatius_avatar_id)
    admission = Admission(settings.max_sessions)
    channels = Channels(settings)
    rooms, tokens = Rooms(settings), ApiTokens(settings.token_seconds)
    sessions = Sessions(settings, profiles, channels, admission, rooms, tokens)
    try:
        listener = socket.create_server((settings.http_host, settings.http_port))
    except OSError as error:
        raise SystemExit(
            f"STAGEWIRE_ORCHESTRATOR_HTTP_PORT={settings.http_port}: cannot listen on "
            f"{settings.http_host}: {error.strerror}"
        ) from error
    guard = Guard(ApiKeys(settings.api_keys.get_secret_value()), tokens)
    app = build_app(settings, sessions, rooms, tokens)
    add_page(app, profiles, page_settings(settings))
    http = HttpServer(app)
    # Bare tasks, because they go on beside gRPC for as long as the process does.
    serving = asyncio.create_task(http.serve([listener]))
    sweeping = None if rooms.missing else asyncio.create_task(rooms.keep_swept())
    logger.info("page and session API on http://%s:%d", *listener.getsockname()[:2])

    async def close() -> None:
        if sweeping is not None:
            sweeping.cancel()
        await sessions.close()
        http.should_exit = True
        await serving
        await rooms.close()
        await channels.close()

    service = orchestrator_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name

    def register(server: grpc.aio.Server) -> None:
        add_SessionServiceServicer_to_server(SessionService(sessions, guard), server)

    return Stage(
        services=[service],
        register=register,
        description=describe_pb2.StageDescription(
            stage="orchestrator",
            version="0.1.0",
            contracts=["stagewire.orchestrator.v1"],
            backend="stagewire",
            languages=sorted({avatar.language for avatar in profiles.values()}),
            limits={"sessions": settings.max_sessions},
        ),
        admission=admission,
        close=close,
    )


def page_settings(settings: OrchestratorSettings) -> PageSettings:
    """What the page is told of the settings: never a secret."""
    return PageSettings(
        trace_url=settings.trace_url,
        key_required=bool(settings.api_keys.get_secret_value().strip()),
        sessions_url=settings.page_sessions_url,
        connects=settings.page_connects(),
    )


if __name__ == "__main__":
    run(
        "stagewire_orchestrator",
        "The orchestrator: stitches the stages into conversations and serves the session API.",
        OrchestratorSettings,
        build,
    )
