"""What the local Motion Server can be told: its flags."""

from __future__ import annotations

import argparse
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

KEYFRAMES_AT_MOST = 2_000
"""In one message: a keyframe takes 498 bytes, and the SDK reads messages of up to 1 MiB."""

_WINDOW_AT_MOST = KEYFRAMES_AT_MOST / 25


class Options(BaseModel):
    """One field is one flag; an empty list and a 0 limit mean "any" and "none"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 in a container")
    port: int = Field(8780, ge=0, le=65535, description="port; 0 picks a free one")
    admin_port: int = Field(
        8781, ge=0, le=65535, description="port of the admin calls, on loopback only; 0 is free"
    )
    api_key: tuple[str, ...] = Field(
        (), description="an API key that gets session tokens; repeatable (default: local)"
    )
    app_id: tuple[str, ...] = Field(
        (), description="an app id that may connect; repeatable (default: any)"
    )
    avatar_id: tuple[str, ...] = Field(
        (), description="an avatar that exists; repeatable (default: any)"
    )
    reusable_tokens: bool = Field(
        False, description="let a token open more than one session, until it expires"
    )
    first_window_seconds: float = Field(
        2.0, ge=0.04, le=_WINDOW_AT_MOST, description="how much motion a turn's first message has"
    )
    window_seconds: float = Field(
        4.0, ge=0.04, le=_WINDOW_AT_MOST, description="how much the messages after it have"
    )
    low_latency: bool = Field(
        False, description="0.2 s of motion in every message; the real server has no such mode"
    )
    loudness_only: bool = Field(
        False, description="jaws follow loudness; does without the model that hears sounds"
    )
    seed: int | None = Field(None, description="makes blinks and head motion repeatable")
    max_sessions: int = Field(16, ge=1, description="sessions at once; one more is closed, 4003")
    session_seconds: float = Field(
        0.0, ge=0, description="longest session; then ServerError and close 4002 (0: no limit)"
    )
    idle_seconds: float = Field(
        0.0, ge=0, description='without audio the session ends with "no audio input for" (0: never)'
    )
    credits: float | None = Field(
        None,
        ge=0,
        description="credits of all sessions together, 10 per minute and session; without any: "
        "402 before, 4001 during a session (default: no account is kept)",
    )
    enforce_expiry: bool = Field(
        False, description="close a session with 4010 when its token expires"
    )
    handshake_seconds: float = Field(
        10.0, gt=0, description="how long a client may take to configure its session"
    )
    stall_seconds: float = Field(
        30.0, gt=0, description="how long a client may read nothing before it is cut off"
    )
    max_message_bytes: int = Field(
        1 << 20, ge=1024, description="largest message from a client; a larger one is closed, 1009"
    )
    max_turn_seconds: float = Field(600.0, gt=0, description="most audio of one req_id")
    fault: tuple[str, ...] = Field(
        (), description="a failure to begin with, as NAME=VALUE; repeatable, see below"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least level that is logged"
    )
    log_format: Literal["text", "json"] = Field("text", description="a log line's form")

    def api_keys(self) -> tuple[str, ...]:
        """The keys that get tokens."""
        return self.api_key or ("local",)

    def windows(self) -> tuple[float, float]:
        """Seconds of motion in a turn's first message and in those after it."""
        return (0.2, 0.2) if self.low_latency else (self.first_window_seconds, self.window_seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds every option as a flag; what is not given is absent from the parsed arguments."""
    for name, field in Options.model_fields.items():
        flag, text = "--" + name.replace("_", "-"), field.description or ""
        if field.annotation is bool:
            parser.add_argument(
                flag, action="store_true", default=argparse.SUPPRESS, help=text, dest=name
            )
            continue
        repeatable = field.default == ()
        if not repeatable and field.default is not None:
            shown = f"{field.default:g}" if isinstance(field.default, float) else field.default
            text += f" (default: {shown})"
        parser.add_argument(
            flag,
            action="append" if repeatable else "store",
            default=argparse.SUPPRESS,
            metavar=name.rpartition("_")[2].upper(),
            help=text.replace("%", "%%"),
            dest=name,
        )


def from_arguments(arguments: argparse.Namespace) -> Options:
    """The options in parsed arguments; other arguments are ignored.

    Raises:
        pydantic.ValidationError: A value is out of range.
    """
    given = {name: value for name, value in vars(arguments).items() if name in Options.model_fields}
    return Options.model_validate(given)
