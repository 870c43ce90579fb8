"""The session API over HTTP: the same messages as JSON, with the same names."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from google.protobuf import json_format
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, Field
from stagekit.errors import StageError
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.sessions import Sessions

MAX_BODY_BYTES = 64 * 1024

# google.rpc.Code to HTTP, as google/rpc/code.proto documents it.
_HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class CreateSession(BaseModel):
    """The body of ``POST /v1/sessions``; every field may be left out."""

    model_config = ConfigDict(extra="forbid")

    avatar_id: str = Field("", description="An avatar id; empty for the default.")
    transport: str = Field("websocket", pattern="^(websocket|livekit)$")
    locale: str = Field("", description="BCP 47; empty for the avatar's own.")
    room: str = Field("", description="The LiveKit room; empty for a new one.")
    metadata: dict[str, str] = Field(default_factory=dict, description="The caller's own labels.")


def build_app(sessions: Sessions) -> FastAPI:
    """The routes; OpenAPI at ``/openapi.json``."""
    app = FastAPI(title="stagewire sessions", version="1", docs_url=None, redoc_url=None)

    @app.exception_handler(StageError)
    async def refuse(request: Request, error: StageError) -> JSONResponse:
        headers = {}
        if error.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after)))
        body = {"code": error.code.name, "reason": error.reason_name, "message": error.message}
        return JSONResponse({"error": body}, _HTTP_STATUS.get(error.code, 500), headers)

    @app.middleware("http")
    async def limit_body(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
        # Without a length the body would have to be read to be measured.
        length = request.headers.get("content-length", "" if request.method == "POST" else "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            message = f"the body needs a content-length of at most {MAX_BODY_BYTES} bytes"
            body = {"code": "INVALID_ARGUMENT", "reason": "MESSAGE_TOO_LARGE", "message": message}
            return JSONResponse({"error": body}, 413)
        return await call_next(request)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/sessions", status_code=201)
    async def create(body: CreateSession, request: Request) -> JSONResponse:
        wanted = pb.CreateSessionRequest(
            avatar_id=body.avatar_id,
            transport=pb.Transport.Value(f"TRANSPORT_{body.transport.upper()}"),
            locale=body.locale,
            room=body.room,
            metadata=body.metadata,
            idempotency_key=request.headers.get("idempotency-key", ""),
        )
        return JSONResponse(_json(await sessions.create(wanted)), 201)

    @app.get("/v1/sessions")
    async def list_sessions(include_ended: bool = False) -> JSONResponse:
        listed = pb.ListSessionsResponse(sessions=sessions.list(include_ended))
        return JSONResponse(_json(listed))

    @app.get("/v1/sessions/{session_id}")
    async def get(session_id: str) -> JSONResponse:
        return JSONResponse(_json(pb.GetSessionResponse(session=sessions.get(session_id))))

    @app.delete("/v1/sessions/{session_id}")
    async def end(session_id: str) -> JSONResponse:
        return JSONResponse(_json(pb.EndSessionResponse(session=await sessions.end(session_id))))

    return app


def _json(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


class HttpServer(uvicorn.Server):
    """Serves ``app`` in the running loop; signals stay with the service."""

    def __init__(self, app: FastAPI) -> None:
        """Give ``serve`` the listening socket."""
        super().__init__(uvicorn.Config(app, log_level="warning", lifespan="off"))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signal handlers alone."""
        yield
