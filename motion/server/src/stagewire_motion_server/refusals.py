"""How the server says no: HTTP answers before the upgrade, ServerErrors and close codes after it.

The SDK (``spatius`` 1.1) sorts failures by status, code and words, so the words here are part of
the wire. Where the real server's own are unknown, they are ours and say what was wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

# google.rpc.Code
INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 3, 4, 8
FAILED_PRECONDITION, UNAVAILABLE, UNAUTHENTICATED = 9, 14, 16


@dataclass(frozen=True)
class Refusal:
    """An HTTP answer instead of a WebSocket.

    Attributes:
        status: Of the response.
        message: Its body's ``message``.
    """

    status: int
    message: str


INVALID_TOKEN = Refusal(400, "Invalid session token")
EXPIRED_TOKEN = Refusal(401, "Session token expired")
APP_ID_MISMATCH = Refusal(400, "app id mismatch")
APP_ID_MISSING = Refusal(404, "app id unrecognized")
AVATAR_NOT_FOUND = Refusal(404, "Avatar not found")
NO_CREDITS = Refusal(402, "session denied: no credits left")
INJECTED = {
    refusal.status: refusal
    for refusal in (INVALID_TOKEN, EXPIRED_TOKEN, NO_CREDITS, AVATAR_NOT_FOUND)
}
"""What an injected status says; any other says that it is injected."""


@dataclass(frozen=True)
class Ending:
    """How a session ends.

    Attributes:
        close_code: Of the WebSocket; None cuts the TCP connection.
        reason: Beside it.
        error_code: Of the ServerError before; None for none.
        error: Its message.
    """

    close_code: int | None
    reason: str = ""
    error_code: int | None = None
    error: str = ""


GONE = Ending(1000)
"""The client has left; nothing more can be said."""
STOPPING = Ending(1012, "server stops")
FULL = Ending(4003, "concurrency limit reached")
TOKEN_EXPIRED = Ending(4010, "session token expired")
STALLED = Ending(None, "the client reads nothing")
VANISHED = Ending(None, "the client has vanished")
BROKEN = Ending(1011, "internal error")
OUT_OF_CREDITS = Ending(4001, "credits exhausted", 4001, "credits exhausted")
TIME_IS_UP = Ending(4002, "session time limit reached", 4002, "session time limit reached")


NO_EGRESS = Ending(1008, "configuration", UNAVAILABLE, "egress client is not configured on server")
NO_ROOM = Ending(
    1008,
    "egress",
    UNAVAILABLE,
    "failed to create egress connection: the LiveKit server cannot be reached",
)
ROOM_LOST = Ending(
    1011, "egress", UNAVAILABLE, "failed to create egress connection: the room is lost"
)
WRONG_ROOM_TOKEN = Ending(
    1008, "egress", UNAUTHENTICATED, "livekit_egress: unauthorized: LiveKit refuses api_token"
)
FOREIGN_ROOM_TOKEN = Ending(
    1008,
    "egress",
    UNAUTHENTICATED,
    "livekit_egress: unauthorized: api_token is for another room or publisher_id",
)
MUTE_ROOM_TOKEN = Ending(
    1008, "egress", UNAUTHENTICATED, "livekit_egress: unauthorized: api_token may not publish"
)


def silence(seconds: float) -> Ending:
    """A room was given no voice for so long."""
    message = f"livekit silence timeout: no audio input for {seconds:g} seconds"
    return Ending(1000, "idle", DEADLINE_EXCEEDED, message)


def idle(seconds: float) -> Ending:
    """Nothing was heard for so long."""
    return Ending(1000, "idle", DEADLINE_EXCEEDED, f"no audio input for {seconds:g} seconds")


def handshake(what: str) -> Ending:
    """The first message is not a configuration."""
    message = f"expected ClientConfigureSession message: {what}"
    return Ending(1002, "handshake", FAILED_PRECONDITION, message)


def configuration(code: int, message: str) -> Ending:
    """The configuration cannot be served."""
    return Ending(1008, "configuration", code, message)


def malformed(close_code: int, message: str) -> Ending:
    """A message is not of this wire."""
    return Ending(close_code, "protocol", FAILED_PRECONDITION, message)
