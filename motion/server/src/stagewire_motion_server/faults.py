"""Failures on demand: what a team rehearses before production does it for them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from stagewire_motion_codec import spatius

from stagewire_motion_server.refusals import Ending

NO_MESSAGE, NO_MESSAGE_TEXT = b"\xff\xff", "injected"
"""What stands in for a message where a fault wants garbage or text."""

Spoiled = Literal["silent", "other_req_id", "early_end", "no_end", "oversized", "text", "garbage"]

Misreported = Literal["silent", "malformed", "beyond"]

_OVERSIZED = 2_200  # keyframes: more than the 1 MiB that the SDK reads
_RESERVED_CLOSE_CODES = {1004, 1005, 1006, 1015}  # RFC 6455, 7.4.1: never in a frame


def sendable(code: int | None) -> int | None:
    """A close code as it is, if a close frame may carry it.

    Raises:
        ValueError: It may not.
    """
    fits = code is None or 1000 <= code <= 1014 or 3000 <= code <= 4999
    if not fits or code in _RESERVED_CLOSE_CODES:
        raise ValueError(f"a close frame cannot carry {code}: 1000 to 1014 or 3000 to 4999 can")
    return code


class Blow(BaseModel):
    """What ends a session: an error, a close code, a cut connection; in that order if several."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server_error: int | None = Field(default=None, description="a ServerError with this code")
    server_error_message: str = Field(default="injected", description="its message")
    close_code: int | None = Field(default=None, description="close the WebSocket with this code")
    drop: bool = Field(default=False, description="cut the TCP connection without a close frame")

    @field_validator("close_code")
    @classmethod
    def _sendable(cls, code: int | None) -> int | None:
        return sendable(code)

    def hits(self) -> bool:
        """Whether it does anything."""
        return self.server_error is not None or self.ends()

    def ends(self) -> bool:
        """Whether the connection is over after it; a ServerError alone leaves it open."""
        return self.drop or self.close_code is not None

    def ending(self) -> Ending:
        """The same as a session's end."""
        code = None if self.drop else self.close_code
        return Ending(code, "injected", self.server_error, self.server_error_message)


class Faults(Blow):
    """The failures in force. Those of one session strike before its animation ``at_message``."""

    at_message: int = Field(
        default=1,
        ge=0,
        description="the animation message of a session before which, and before later ones, the "
        "above strike; 0: in place of the confirmation",
    )
    token_status: int | None = Field(
        default=None, ge=400, le=599, description="the token route answers with this HTTP status"
    )
    connect_status: int | None = Field(
        default=None, ge=400, le=599, description="the WebSocket is refused with this HTTP status"
    )
    handshake: Literal["never", "twice", "text", "garbage"] | None = Field(
        default=None, description="how configurations are answered: never, twice, text, garbage"
    )
    latency: float = Field(
        default=0.0, ge=0, le=3600, description="seconds of delay before each animation message"
    )
    motion: Spoiled | None = Field(
        default=None,
        description="animation messages are: silent, other_req_id, early_end, no_end, oversized, "
        "text, garbage",
    )
    join_delay: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="a LiveKit room is joined so many seconds after the confirmation, not before",
    )
    playback: Misreported | None = Field(
        default=None,
        description="lk.playback_finished is: silent (never called), malformed, beyond (an hour "
        "too far)",
    )
    times: int | None = Field(
        default=None, ge=1, description="all faults end after this many strikes (default: never)"
    )


class FaultBox:
    """The faults in force now; the admin call exchanges them under running sessions."""

    def __init__(self, faults: Faults) -> None:
        """Begins with ``faults``."""
        self.current = faults
        self.struck = 0

    def replace(self, faults: Faults) -> None:
        """Other faults from now on, counted from 0."""
        self.current, self.struck = faults, 0

    def strike(self) -> None:
        """Counts one strike; the last one ends the faults."""
        self.struck += 1
        if self.current.times is not None and self.struck >= self.current.times:
            self.current = Faults()


def parse(flags: Sequence[str]) -> Faults:
    """``NAME=VALUE`` flags as faults.

    Raises:
        ValueError: A flag has no ``=``, an unknown name or a value out of range.
    """
    given = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals:
            raise ValueError(f"--fault {flag}: must be NAME=VALUE")
        given[name.replace("-", "_")] = value
    return Faults.model_validate(given)


def spoil(animation: spatius.Animation, how: Spoiled | None) -> list[bytes | str]:
    """An animation as messages, with what a fault makes of it."""
    match how:
        case "silent":
            return []
        case "text":
            return [NO_MESSAGE_TEXT]
        case "garbage":
            return [NO_MESSAGE]
        case "early_end":
            animation = replace(animation, end=True)
        case "no_end":
            animation = replace(animation, end=False)
        case "other_req_id":
            animation = replace(animation, req_id=f"other_{animation.req_id}")
        case "oversized":
            keyframes = animation.keyframes or (spatius.Keyframe(),)
            animation = replace(animation, keyframes=(keyframes * _OVERSIZED)[:_OVERSIZED])
    return [spatius.pack(animation)]


def describe() -> str:
    """The faults by name, for ``--help``."""
    indent = " " * 24
    return "\n".join(
        textwrap.fill(
            f"{name:<20}  {field.description}",
            width=98,
            initial_indent="  ",
            subsequent_indent=indent,
        )
        for name, field in Faults.model_fields.items()
    )
