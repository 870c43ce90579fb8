"""The session API's bodies: the contract's messages in JSON, with the contract's names.

Field names and meanings are `stagewire/orchestrator/v1/orchestrator.proto`'s; a test holds them
against it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from google.protobuf import json_format
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from stagewire_orchestrator.sessions import MAX_TEXT


class CreateSession(BaseModel):
    """What to create; every field may be left out."""

    model_config = ConfigDict(extra="forbid")

    avatar_id: str = Field("", description="An avatar id from the profiles; empty: the default.")
    transport: Literal["websocket", "livekit"] = Field(
        "websocket", description="How the client is reached: egress' WebSocket, or a LiveKit room."
    )
    locale: str = Field("", description="BCP 47; empty: the avatar's own.")
    room: str = Field(
        "",
        description="The LiveKit room: at most 128 letters, digits, '.', '_' and '-'; empty: a new "
        "one.",
    )
    publisher: Literal["", "egress", "motion_engine"] = Field(
        "",
        description="Who publishes voice and motion into the room: egress, or the motion engine by "
        "itself; empty: what the avatar's profile says.",
    )
    metadata: dict[str, str] = Field(
        default_factory=dict,
        description="The caller's own labels: at most 16, keys to 64, values to 512 characters.",
    )


class SendText(BaseModel):
    """What to say in the user's place."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]


class Session(BaseModel):
    """A session."""

    session_id: str
    avatar_id: str
    transport: Literal["TRANSPORT_WEBSOCKET", "TRANSPORT_LIVEKIT"]
    locale: str = Field(description="The language, BCP 47.")
    state: Literal["SESSION_STATE_STARTING", "SESSION_STATE_ACTIVE", "SESSION_STATE_ENDED"]
    trace_id: str = Field(description="W3C trace id: every stage's spans and logs carry it.")
    create_time: datetime
    end_time: datetime | None = Field(None, description="Absent while it lives.")
    end_reason: str = Field(description="For people; empty while it lives.")
    turns: int = Field(description="Turns begun, speculative ones included.")
    metadata: dict[str, str] = Field(description="The caller's own labels.")
    room: str = Field(description="The LiveKit room; empty for a WebSocket.")
    motion_avatar_id: str = Field(
        description="The avatar's id at its motion engine; empty when its profile names none."
    )
    publisher: Literal["PUBLISHER_UNSPECIFIED", "PUBLISHER_EGRESS", "PUBLISHER_MOTION_ENGINE"] = (
        Field(description="Who publishes into the room; unspecified for a WebSocket.")
    )


class Created(BaseModel):
    """The session, and how its client joins."""

    session: Session
    url: str = Field(description="Where the client connects: egress' WebSocket, or LiveKit.")
    client_token: str = Field(
        description="What it shows to join: an opaque token, or a LiveKit token for this room."
    )
    token_expire_time: datetime = Field(description="When client_token lets nobody in any more.")
    api_token: str = Field(
        description="A JWT for this API: lets the client watch, end, interrupt and send text to "
        "this session, and nothing else."
    )
    api_token_expire_time: datetime


class One(BaseModel):
    """One session."""

    session: Session


class Many(BaseModel):
    """Sessions, newest first."""

    sessions: list[Session]


class Taken(BaseModel):
    """Taken; what comes of it is told by events."""


def body(message: Message) -> dict[str, Any]:
    """A message of the contract as the JSON that is answered."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
