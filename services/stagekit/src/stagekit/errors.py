"""One kind of error, with a canonical code and a documented reason, on both sides of the wire."""

from __future__ import annotations

from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from stagewire.common.v1 import error_pb2

DOMAIN = "stagewire.dev"
Reason = error_pb2.ErrorReason

_INVALID_ARGUMENT = frozenset(
    {
        error_pb2.ERROR_REASON_NOT_OPEN,
        error_pb2.ERROR_REASON_ALREADY_OPEN,
        error_pb2.ERROR_REASON_UNKNOWN_COMMAND,
        error_pb2.ERROR_REASON_INVALID_FIELD,
        error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT,
        error_pb2.ERROR_REASON_MALFORMED_AUDIO,
        error_pb2.ERROR_REASON_MESSAGE_TOO_LARGE,
        error_pb2.ERROR_REASON_DISCONTINUITY,
        error_pb2.ERROR_REASON_UNSUPPORTED_LANGUAGE,
        error_pb2.ERROR_REASON_CONTEXT_TOO_LONG,
    }
)
_OTHER_CODES = {
    error_pb2.ERROR_REASON_UNKNOWN_VOICE: grpc.StatusCode.NOT_FOUND,
    error_pb2.ERROR_REASON_UNKNOWN_AVATAR: grpc.StatusCode.NOT_FOUND,
    error_pb2.ERROR_REASON_UNKNOWN_SESSION: grpc.StatusCode.NOT_FOUND,
    error_pb2.ERROR_REASON_SESSION_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    error_pb2.ERROR_REASON_STAGE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    error_pb2.ERROR_REASON_PEER_TOO_SLOW: grpc.StatusCode.RESOURCE_EXHAUSTED,
    error_pb2.ERROR_REASON_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    error_pb2.ERROR_REASON_DRAINING: grpc.StatusCode.UNAVAILABLE,
    error_pb2.ERROR_REASON_BACKEND_FAILED: grpc.StatusCode.INTERNAL,
    error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED: grpc.StatusCode.FAILED_PRECONDITION,
    error_pb2.ERROR_REASON_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    error_pb2.ERROR_REASON_STAGE_UNREACHABLE: grpc.StatusCode.UNAVAILABLE,
    error_pb2.ERROR_REASON_BACKEND_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    error_pb2.ERROR_REASON_BACKEND_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    error_pb2.ERROR_REASON_BACKEND_EXHAUSTED: grpc.StatusCode.FAILED_PRECONDITION,
}
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


class StageError(Exception):
    """What was wrong, where, and what to do.

    Attributes:
        reason: The documented reason (``stagewire.common.v1.ErrorReason``).
        code: The canonical gRPC code; the reason's own unless given.
        message: For people. Never speech, a user's text or a secret.
        retry_after: Seconds after which the same may succeed, or None.
    """

    def __init__(
        self,
        reason: error_pb2.ErrorReason.ValueType,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Makes the error; ``code`` overrides the reason's canonical code."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.code = code or _code_of(reason)
        self.retry_after = retry_after

    @property
    def reason_name(self) -> str:
        """The reason as ErrorInfo carries it, such as ``NOT_OPEN``."""
        return reason_name(self.reason)

    @property
    def retryable(self) -> bool:
        """Whether the same again may succeed."""
        return self.retry_after is not None or self.code in _RETRYABLE

    def to_fault(self, turn: int = 0) -> error_pb2.Fault:
        """The error as a message inside a stream that goes on."""
        return error_pb2.Fault(
            code=self.code.value[0],
            reason=self.reason,
            message=self.message,
            retryable=self.retryable,
            turn=turn,
        )

    def to_status(self) -> status_pb2.Status:
        """The error as the rich status that ends an RPC."""
        details: list[any_pb2.Any] = [any_pb2.Any()]
        details[0].Pack(error_details_pb2.ErrorInfo(reason=self.reason_name, domain=DOMAIN))
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(int(self.retry_after * 1e9))
            details.append(any_pb2.Any())
            details[1].Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return status_pb2.Status(code=self.code.value[0], message=self.message, details=details)


def reason_name(reason: error_pb2.ErrorReason.ValueType) -> str:
    """A reason as ErrorInfo carries it; ``UNKNOWN`` for one that only a newer peer knows."""
    known = reason in Reason.values()
    return Reason.Name(reason).removeprefix("ERROR_REASON_") if known else "UNKNOWN"


def _code_of(reason: error_pb2.ErrorReason.ValueType) -> grpc.StatusCode:
    if reason in _INVALID_ARGUMENT:
        return grpc.StatusCode.INVALID_ARGUMENT
    return _OTHER_CODES.get(reason, grpc.StatusCode.UNKNOWN)


async def abort(context: grpc.aio.ServicerContext, error: StageError) -> NoReturn:  # type: ignore[type-arg]  # generic only in the stubs
    """Ends the RPC with the error's rich status."""
    status = rpc_status.to_status(error.to_status())
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort returned")


def from_rpc_error(error: grpc.aio.AioRpcError) -> StageError:
    """The peer's error as it was raised there, or the nearest thing for a peer without details."""
    code = error.code()
    reason = error_pb2.ERROR_REASON_UNSPECIFIED
    retry_after: float | None = None
    reasons = Reason.keys()
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                name = f"ERROR_REASON_{info.reason}"
                reason = Reason.Value(name) if name in reasons else reason
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    if reason == error_pb2.ERROR_REASON_UNSPECIFIED:
        reason = {
            grpc.StatusCode.UNAVAILABLE: error_pb2.ERROR_REASON_STAGE_UNREACHABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED: error_pb2.ERROR_REASON_TIMEOUT,
            grpc.StatusCode.RESOURCE_EXHAUSTED: error_pb2.ERROR_REASON_STAGE_FULL,
        }.get(code, error_pb2.ERROR_REASON_BACKEND_FAILED)
    return StageError(reason, error.details() or code.name, code=code, retry_after=retry_after)
