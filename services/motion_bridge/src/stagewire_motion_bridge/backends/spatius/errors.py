"""What the vendor's errors mean: for the session, and for whoever reads the status.

Two tables. The SDK raises one kind of error with a code; a connection that Motion Server closed has
the code ``connectionClosed`` whatever the reason, and only its close code tells. Messages are ours:
the vendor's may quote what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from spatius import AvatarSDKError, AvatarSDKErrorCode, SessionTokenError
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2


class Action(Enum):
    """What to do about it."""

    RETRY = "connect again after a growing pause, in the next region if there is one"
    FRESH = "connect again at once: every connection mints its own token"
    WAIT = "connect again after a long pause: the account has no place left"
    REST = "connect again when the next turn begins"
    STOP = "do not connect again in this conversation: somebody must change something"


@dataclass(frozen=True)
class Meaning:
    """One row of a table.

    Attributes:
        action: What the bridge does.
        reason: What it says.
        message: For people.
    """

    action: Action
    reason: error_pb2.ErrorReason.ValueType
    message: str

    def error(self, detail: str, retry_after: float | None = None) -> StageError:
        """The error of the contract; ``detail`` says where, in codes and ids."""
        return StageError(self.reason, f"{self.message} ({detail})", retry_after=retry_after)


_AUTH = error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED
_DOWN = error_pb2.ERROR_REASON_BACKEND_UNAVAILABLE
_FULL = error_pb2.ERROR_REASON_BACKEND_FULL
_SPENT = error_pb2.ERROR_REASON_BACKEND_EXHAUSTED
_FAILED = error_pb2.ERROR_REASON_BACKEND_FAILED

_CREDITS = Meaning(Action.STOP, _SPENT, "the Spatius account's credits are used up; top it up")
_DURATION = Meaning(Action.FRESH, _DOWN, "Motion Server's session reached its longest duration")
_PLACES = Meaning(
    Action.WAIT, _FULL, "the Spatius account runs as many sessions as its plan allows"
)
_TOKEN = Meaning(Action.FRESH, _AUTH, "Motion Server refused the session token")
_CLOSED = Meaning(Action.RETRY, _DOWN, "Motion Server closed the connection")
_REFUSED = Meaning(Action.STOP, _FAILED, "Motion Server refuses what this bridge sends")

CLOSE_CODES: Mapping[int, Meaning] = {
    1000: Meaning(Action.REST, _DOWN, "Motion Server ended the session"),
    4001: _CREDITS,
    4002: _DURATION,
    4003: _PLACES,
    4010: _TOKEN,
    4503: Meaning(Action.RETRY, _DOWN, "the service behind Motion Server is down"),
}
"""Those with a meaning of their own; the other 40xx are ``_REFUSED``, all others ``_CLOSED``."""

_SERVER_CODES = {str(code): meaning for code, meaning in CLOSE_CODES.items() if code >= 4000}
"""A server error may carry such a code, too; the SDK knows only two of them."""

SDK_CODES: Mapping[AvatarSDKErrorCode, Meaning] = {
    AvatarSDKErrorCode.sessionTokenExpired: _TOKEN,
    AvatarSDKErrorCode.sessionTokenInvalid: _TOKEN,
    AvatarSDKErrorCode.appIDUnrecognized: Meaning(
        Action.STOP, _AUTH, "Spatius does not know the app id; check SPATIUS_APP_ID"
    ),
    AvatarSDKErrorCode.appIDMismatch: Meaning(
        Action.STOP, _AUTH, "the app id is not the API key's; check SPATIUS_APP_ID"
    ),
    AvatarSDKErrorCode.avatarNotFound: Meaning(
        Action.STOP,
        error_pb2.ERROR_REASON_UNKNOWN_AVATAR,
        "Spatius does not know the avatar; check SPATIUS_AVATAR_ID or the profile's "
        "motion_avatar_id",
    ),
    AvatarSDKErrorCode.billingRequired: Meaning(
        Action.STOP, _SPENT, "the Spatius account needs billing to be set up"
    ),
    AvatarSDKErrorCode.creditsExhausted: _CREDITS,
    AvatarSDKErrorCode.sessionDurationExceeded: _DURATION,
    AvatarSDKErrorCode.unsupportedSampleRate: Meaning(
        Action.STOP,
        error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT,
        "Motion Server does not take this sample rate",
    ),
    AvatarSDKErrorCode.invalidEgressConfig: Meaning(
        Action.STOP,
        error_pb2.ERROR_REASON_INVALID_FIELD,
        "Motion Server cannot use open.livekit_room; check its url, token and room",
    ),
    AvatarSDKErrorCode.egressUnavailable: Meaning(
        Action.RETRY, _DOWN, "Motion Server cannot reach the room"
    ),
    AvatarSDKErrorCode.idleTimeout: Meaning(
        Action.REST, _DOWN, "Motion Server ended the session for want of audio"
    ),
    AvatarSDKErrorCode.upstreamError: Meaning(
        Action.RETRY, _DOWN, "the service behind Motion Server failed"
    ),
    AvatarSDKErrorCode.invalidRequest: _REFUSED,
    AvatarSDKErrorCode.connectionFailed: Meaning(
        Action.RETRY, _DOWN, "Motion Server cannot be reached"
    ),
    AvatarSDKErrorCode.connectionClosed: _CLOSED,
    AvatarSDKErrorCode.protocolError: Meaning(
        Action.RETRY, _FAILED, "Motion Server sent what its SDK does not understand"
    ),
    AvatarSDKErrorCode.serverError: Meaning(Action.RETRY, _DOWN, "Motion Server failed"),
    AvatarSDKErrorCode.unknown: Meaning(Action.RETRY, _FAILED, "Motion Server failed"),
}
"""Every code of the SDK; of ``connectionClosed`` the close code tells more."""

_TOKEN_ROUTE: Mapping[int, Meaning] = {
    401: Meaning(Action.STOP, _AUTH, "Spatius refused the API key; check SPATIUS_API_KEY"),
    402: SDK_CODES[AvatarSDKErrorCode.billingRequired],
    403: Meaning(Action.STOP, _AUTH, "Spatius refused the API key; check SPATIUS_API_KEY"),
    404: Meaning(Action.STOP, _FAILED, "there is no token route; check SPATIUS_CONSOLE_ENDPOINT"),
    429: _PLACES,
}
"""Answers of the token route, by HTTP status: the SDK reads a wrong API key as a wrong room."""


def meaning(error: Exception) -> Meaning:
    """What an error of the SDK means; anything that is none of its own is a failed connection."""
    if not isinstance(error, AvatarSDKError):
        return SDK_CODES[AvatarSDKErrorCode.connectionFailed]
    status = error.http_status
    if isinstance(error, SessionTokenError) and status is not None and status in _TOKEN_ROUTE:
        return _TOKEN_ROUTE[status]
    if status == 429:
        return _PLACES
    if error.code == AvatarSDKErrorCode.connectionClosed:
        return _of_close_code(error.close_code)
    if error.server_code in _SERVER_CODES:
        return _SERVER_CODES[error.server_code]
    return SDK_CODES.get(error.code, SDK_CODES[AvatarSDKErrorCode.unknown])


def _of_close_code(code: int | None) -> Meaning:
    if code is None:
        return _CLOSED
    return CLOSE_CODES.get(code, _REFUSED if 4000 <= code < 4100 else _CLOSED)


def where(error: Exception) -> str:
    """Phase, codes and ids of an error: what a log may say. Never the vendor's own words."""
    if not isinstance(error, AvatarSDKError):
        return type(error).__name__
    named = {
        "phase": error.phase,
        "code": error.code.value,
        "http": error.http_status,
        "close": error.close_code,
        "connection": _id(error.connection_id),
        "request": _id(error.req_id),
    }
    return " ".join(f"{name}={value}" for name, value in named.items() if value)


def _id(value: str | None) -> str:
    """An id that came from the server, if it looks like one: it may quote anything."""
    return value if value and re.fullmatch(r"[\w.:-]{1,80}", value, re.ASCII) else ""
