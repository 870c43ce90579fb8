"""One session with Motion Server, through the vendor's SDK: made, used by one writer, and gone.

The SDK calls back on the event loop, and swallows what the callbacks raise. So they only put what
came into a bounded inbox and ring a bell; whoever owns the session reads it in its own time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from spatius import (
    AvatarSDKError,
    AvatarSDKErrorCode,
    AvatarSession,
    SessionConfig,
    SessionTokenError,
)
from stagewire.common.v1 import trace_pb2

_INBOX_LIMIT = 512
"""Messages that wait to be read at most: at 4 s of motion each, far more than any turn."""
_INBOX_BYTES = 16 << 20
"""And their bytes: twenty minutes of motion."""
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Arrived:
    """A motion message, as it came."""

    payload: bytes


@dataclass(frozen=True)
class Complaint:
    """Motion Server said that something failed; the connection may go on."""

    error: AvatarSDKError


@dataclass(frozen=True)
class Gone:
    """The connection is no more; the last thing that comes.

    Attributes:
        error: Why; a closing without complaint has the code ``connectionClosed``, close code 1000.
    """

    error: Exception


Item = Arrived | Complaint | Gone


class _TracedSession(AvatarSession):
    """The SDK's session, which says each request's id before its first byte leaves.

    The SDK stamps a trace context only when the vendor's telemetry runs. This hook is where it
    would; nothing else of it is changed. (Its versions are bounded in pyproject.toml, and a test
    holds the hook.)
    """

    def __init__(self, config: SessionConfig) -> None:
        super().__init__(config)
        self.trace = trace_pb2.TraceContext()
        self.request = ""

    def _start_request_telemetry(self, req_id: str) -> dict[str, str]:
        stamped: dict[str, str] = super()._start_request_telemetry(req_id)
        if req_id == self.request:
            return {}
        self.request = req_id
        if stamped or not self.trace.traceparent:
            return stamped
        return {"traceparent": self.trace.traceparent, "tracestate": self.trace.tracestate}


class MotionSession:
    """One session with Motion Server.

    Calls of ``send`` and ``interrupt`` must not overlap: the SDK does not allow it.

    Args:
        config: For the SDK, with ``expire_at`` and without its callbacks.

    Attributes:
        ring: Called, on the event loop, whenever something is in ``inbox``.
        inbox: What came, to be read in order.
        connection_id: The server's name for it, once it stands.
    """

    def __init__(self, config: SessionConfig) -> None:
        """Not connected yet."""
        config.transport_frames = self._on_frames
        config.on_error = self._on_error
        config.on_close = self._on_close
        self.ring: Callable[[], None] = lambda: None
        self.inbox: deque[Item] = deque()
        self.connection_id = ""
        self._sdk = _TracedSession(config)
        self._waiting_bytes = 0
        self._has_room = config.livekit_egress is not None
        self._complaint: Exception | None = None
        self._closing: Exception | None = None
        self._closed = False

    async def connect(self, seconds: float) -> None:
        """Mints a token and opens the session.

        Raises:
            Exception: Whatever the SDK raises; ``errors.meaning`` reads it.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._sdk.init()
                self.connection_id = await self._sdk.start()
        except TimeoutError:
            await self.close()
            raise AvatarSDKError(
                AvatarSDKErrorCode.connectionFailed,
                f"not connected within {seconds:g} s",
                phase="websocket_connect",
            ) from None
        except BaseException as error:
            await self.close()
            self._rename(error)
            raise

    @property
    def request(self) -> str:
        """The id of the latest request; empty before the first. Known before its bytes leave."""
        return self._sdk.request

    @property
    def alive(self) -> bool:
        """Whether it may still be used."""
        return not self._closed

    async def send(self, pcm: bytes, end: bool, trace: trace_pb2.TraceContext) -> None:
        """Sends speech; after ``end``, or an interrupt, the next bytes begin another request.

        Args:
            pcm: PCM_S16LE at the session's rate; may be empty with ``end``.
            end: Whether the request has no more.
            trace: Goes out with the first message of a request.

        Raises:
            Exception: The connection is broken.
        """
        self._sdk.trace = trace
        await self._sdk.send_audio(pcm, end=end)

    async def interrupt(self) -> None:
        """Cuts the latest request short.

        Raises:
            Exception: The connection is broken, or nothing was sent yet.
        """
        await self._sdk.interrupt()

    async def close(self) -> None:
        """Ends the session, within seconds whatever the server does."""
        self._closed = True
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._sdk.close()
        except TimeoutError:
            pass  # the socket is closed by then; only the server's goodbye is missing

    def take(self) -> Item | None:
        """The next thing from the inbox; None when it is empty."""
        if not self.inbox:
            return None
        item = self.inbox.popleft()
        if isinstance(item, Arrived):
            self._waiting_bytes -= len(item.payload)
        return item

    def abandon(self, error: Exception) -> None:
        """Gives the connection up: ``Gone`` is the next thing that is read."""
        if not self._closed:
            self._closed = True
            self.inbox.append(Gone(error))
            self.ring()

    def _on_frames(self, payload: bytes, last: bool) -> None:
        self._complaint = None
        fits = self._waiting_bytes + len(payload) <= _INBOX_BYTES
        if fits and len(self.inbox) < _INBOX_LIMIT:
            self._waiting_bytes += len(payload)
            self.inbox.append(Arrived(payload))
            self.ring()
        else:
            problem = f"{len(self.inbox)} messages wait to be read"
            code, phase = AvatarSDKErrorCode.protocolError, "websocket_runtime"
            self.abandon(AvatarSDKError(code, problem, phase=phase))

    def _rename(self, error: BaseException) -> None:
        """The SDK calls every UNAUTHENTICATED a wrong room, also in a session that has none."""
        if self._has_room or not isinstance(error, AvatarSDKError):
            return
        wrong_room = error.code == AvatarSDKErrorCode.invalidEgressConfig
        if wrong_room and not isinstance(error, SessionTokenError):
            error.code = AvatarSDKErrorCode.sessionTokenInvalid

    def _on_error(self, error: Exception) -> None:
        self._rename(error)
        if isinstance(error, AvatarSDKError) and error.code != AvatarSDKErrorCode.connectionClosed:
            self._complaint = error
            if len(self.inbox) < _INBOX_LIMIT:
                self.inbox.append(Complaint(error))
                self.ring()
        else:
            self._closing = error

    def _on_close(self) -> None:
        """Comes after every end, twice after our own."""
        closing = self._closing
        own_code = isinstance(closing, AvatarSDKError) and (closing.close_code or 0) >= 4000
        # A complaint right before the end tells more than an ordinary close code.
        self.abandon((closing if own_code else self._complaint or closing) or _ended())


def _ended() -> AvatarSDKError:
    return AvatarSDKError(
        AvatarSDKErrorCode.connectionClosed,
        "ended by the server",
        phase="websocket_runtime",
        close_code=1000,
    )
