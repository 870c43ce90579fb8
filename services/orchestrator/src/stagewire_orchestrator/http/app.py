"""The whole HTTP side, put together."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import FastAPI
from stagekit.origins import pattern
from starlette.middleware.cors import CORSMiddleware

from stagewire_orchestrator.http import api, drop_in, problems
from stagewire_orchestrator.http.auth import ApiKeys, Guard
from stagewire_orchestrator.http.limits import Limits
from stagewire_orchestrator.rooms import Rooms
from stagewire_orchestrator.sessions import Sessions
from stagewire_orchestrator.settings import OrchestratorSettings
from stagewire_orchestrator.tokens import ApiTokens

_PAGE_KEEPS_CORS_SECONDS = 600


def build_app(
    settings: OrchestratorSettings,
    sessions: Sessions,
    rooms: Rooms,
    tokens: ApiTokens,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The routes, who may call them and how often; OpenAPI at ``/openapi.json``.

    Args:
        settings: The orchestrator's.
        sessions: What the routes are about.
        rooms: Says whether there can be rooms.
        tokens: Checks what clients show.
        clock: Monotonic seconds.
    """
    app = FastAPI(
        title="stagewire sessions",
        version="1",
        summary="Conversations between a client and an avatar.",
        docs_url=None,
        redoc_url=None,
        # Its own would take a stranger's traceparent for a parent, and sample as that one says.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    problems.handle(app)
    keys = ApiKeys(settings.api_keys.get_secret_value())
    guard = Guard(keys, tokens)
    app.include_router(api.router(sessions, guard))
    app.include_router(api.timelines(sessions, guard))
    app.include_router(drop_in.router(settings, sessions, rooms, guard))
    app.add_middleware(Limits, keys=keys, per_minute=settings.requests_per_minute, clock=clock)
    # Added last, so that it comes first: also a refusal must be readable by a page.
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=pattern(settings.cors_origins).pattern,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "Last-Event-ID",
            "traceparent",
        ],
        expose_headers=["Retry-After"],
        max_age=_PAGE_KEEPS_CORS_SECONDS,
    )
    return app
