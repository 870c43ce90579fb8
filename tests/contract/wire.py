"""A bidirectional call as the suite sees it: messages or raw bytes out, answers and a status in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "stagewire.dev"

# docs/contract.md, "Errors": written out here, so that the suite checks the code too.
CODES = {
    "NOT_OPEN": "INVALID_ARGUMENT",
    "ALREADY_OPEN": "INVALID_ARGUMENT",
    "UNKNOWN_COMMAND": "INVALID_ARGUMENT",
    "INVALID_FIELD": "INVALID_ARGUMENT",
    "UNSUPPORTED_FORMAT": "INVALID_ARGUMENT",
    "MALFORMED_AUDIO": "INVALID_ARGUMENT",
    "MESSAGE_TOO_LARGE": "INVALID_ARGUMENT",
    "DISCONTINUITY": "INVALID_ARGUMENT",
    "UNSUPPORTED_LANGUAGE": "INVALID_ARGUMENT",
    "CONTEXT_TOO_LONG": "INVALID_ARGUMENT",
    "UNKNOWN_VOICE": "NOT_FOUND",
    "SESSION_EXISTS": "ALREADY_EXISTS",
    "STAGE_FULL": "RESOURCE_EXHAUSTED",
    "PEER_TOO_SLOW": "RESOURCE_EXHAUSTED",
    "TIMEOUT": "DEADLINE_EXCEEDED",
    "DRAINING": "UNAVAILABLE",
}


@dataclass(frozen=True)
class Status:
    """How a call ended.

    Attributes:
        code: The canonical code's name; ``OK`` for a good end.
        reason: ErrorInfo.reason of this contract's domain; empty when there is none.
        message: The status message.
        retry_seconds: RetryInfo's delay, or None.
    """

    code: str
    reason: str = ""
    message: str = ""
    retry_seconds: float | None = None


def status_of(error: grpc.aio.AioRpcError) -> Status:
    """Reads the rich status from a failed call's trailing metadata."""
    reason, retry = "", None
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(bytes(value)).details:
            info, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                reason = info.reason
            elif detail.Unpack(delay):
                retry = delay.retry_delay.ToNanoseconds() / 1e9
    return Status(error.code().name, reason, error.details() or "", retry)


def _serialized(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


class Call:
    """One bidirectional RPC.

    Args:
        channel: To the stage.
        path: ``/package.Service/Method``.
        response: The response type.
        deadline: The RPC's own deadline in seconds.
    """

    def __init__(
        self, channel: grpc.aio.Channel, path: str, response: type[Message], deadline: float = 60.0
    ) -> None:
        method: Any = channel.stream_stream(
            path, request_serializer=_serialized, response_deserializer=response.FromString
        )
        self._call = method(timeout=deadline)

    async def send(self, *messages: Message | bytes) -> None:
        """Sends in order. A call that has ended takes nothing more: its status says why."""
        for message in messages:
            try:
                await self._call.write(message)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return

    async def half_close(self) -> None:
        """Says that nothing more will be sent."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    async def receive(self, timeout: float = 10.0) -> Any:
        """The next message, or None at a good end; AioRpcError at a bad one."""
        async with asyncio.timeout(timeout):
            message = await self._call.read()
        return None if message is grpc.aio.EOF else message

    async def until(self, arm: str, timeout: float = 10.0) -> list[Any]:
        """Messages up to and including the first with ``arm``; fails when the call ends before."""
        seen: list[Any] = []
        while not seen or seen[-1].WhichOneof("message") != arm:
            message = await self.receive(timeout)
            arms = [earlier.WhichOneof("message") for earlier in seen]
            assert message is not None, f"the call ended without `{arm}`; it sent {arms}"
            seen.append(message)
        return seen

    async def rest(self, timeout: float = 10.0) -> list[Any]:
        """Messages to the good end."""
        seen = []
        while (message := await self.receive(timeout)) is not None:
            seen.append(message)
        return seen

    async def quiet(self, seconds: float) -> list[Any]:
        """What comes within ``seconds``; meant for showing that something does not."""
        seen = []
        try:
            async with asyncio.timeout(seconds):
                while (message := await self._call.read()) is not grpc.aio.EOF:
                    seen.append(message)
        except TimeoutError:
            self._call.cancel()  # a read that was given up leaves the call without use
        return seen

    async def status(self, timeout: float = 10.0) -> Status:
        """Reads to the end, good or bad, and says how it ended."""
        try:
            await self.rest(timeout)
        except grpc.aio.AioRpcError as error:
            return status_of(error)
        return Status("OK")

    def cancel(self) -> None:
        """Cancels the RPC."""
        self._call.cancel()
