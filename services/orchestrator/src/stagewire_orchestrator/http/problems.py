"""What is answered when something is wrong: one body, whatever went wrong."""

from __future__ import annotations

import grpc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

# google.rpc.Code to HTTP, as google/rpc/code.proto documents it.
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class Error(BaseModel):
    """What was wrong."""

    code: str = Field(description="The canonical gRPC code, such as NOT_FOUND.")
    reason: str = Field(description="For programs: a value of stagewire.common.v1.ErrorReason.")
    message: str = Field(description="For people: what was wrong, where, and what to do.")


class Problem(BaseModel):
    """The body of every answer that is not a success."""

    error: Error


def status_of(error: StageError) -> int:
    """The HTTP status that tells the error."""
    if error.reason == error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED:
        return 502  # not the caller's credentials: ours, behind this gateway
    return _STATUS.get(error.code, 500)


def respond(error: StageError, status: int | None = None) -> JSONResponse:
    """The answer that tells the error."""
    status = status or status_of(error)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    told = Error(code=error.code.name, reason=error.reason_name, message=error.message)
    return JSONResponse(Problem(error=told).model_dump(), status, headers)


def handle(app: FastAPI) -> None:
    """Makes ``app`` answer every error like this."""

    @app.exception_handler(StageError)
    async def refuse(request: Request, error: StageError) -> JSONResponse:
        return respond(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]  # never its `input`: that may be what somebody said
        place = ".".join(str(part) for part in first["loc"])
        invalid = StageError(error_pb2.ERROR_REASON_INVALID_FIELD, f"{place}: {first['msg']}")
        return respond(invalid, 422)
