"""The WebSocket's messages, both ways: docs/websocket.md has their tables.

A binary message is a 24-byte little-endian header and a payload::

    u8 kind, u8 version, u16 reserved, u32 turn, i64 start_sample, u32 sample_count, u32 reserved
"""

from __future__ import annotations

import base64
import json
import struct
from enum import IntEnum
from typing import Annotated, Any, Final, Literal

from google.protobuf import json_format
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from stagekit.errors import StageError
from stagekit.streams import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from stagewire.common.v1 import error_pb2, session_event_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Media

HEADER: Final = struct.Struct("<BBHIqII")
VERSION: Final = 1
MAX_TEXT_CHARACTERS: Final = 4_000
MAX_UPLINK_BYTES: Final = HEADER.size + 2 * MAX_SAMPLE_RATE
"""The largest message taken from a client: one second of audio at the highest rate."""


class Kind(IntEnum):
    """What a binary message holds."""

    MICROPHONE = 1
    VOICE = 2
    MOTION = 3


class Close(IntEnum):
    """Why the server closes a connection (RFC 6455 leaves 4000 to 4999 to applications)."""

    ENDED = 1000
    COME_BACK = 1012
    TRY_LATER = 1013
    MALFORMED = 4400
    WRONG_TOKEN = 4401
    TIMEOUT = 4408
    REPLACED = 4409
    FLOOD = 4429


class _Uplink(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class MicrophoneFormat(_Uplink):
    """The microphone's format: PCM, 16 bit, little-endian, one channel."""

    sample_rate_hertz: int = Field(ge=MIN_SAMPLE_RATE, le=MAX_SAMPLE_RATE)


class Join(_Uplink):
    """A client's first message."""

    type: Literal["join"]
    token: str = Field(max_length=512)
    microphone: MicrophoneFormat


class PlaybackReport(_Uplink):
    """How far the client has played a turn; ``stopped`` when it will play no further.

    ``buffer_milliseconds``: from the arrival of the turn's first voice there to its sounding.
    """

    type: Literal["playback"]
    turn: int = Field(ge=1, lt=1 << 32)
    played_samples: int = Field(ge=0, lt=1 << 63)
    stopped: bool = False
    buffer_milliseconds: float | None = Field(default=None, ge=0, le=60_000)


class Text(_Uplink):
    """The user typed."""

    type: Literal["text"]
    text: Annotated[
        str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARACTERS, pattern=r"\S")
    ]


class Interrupt(_Uplink):
    """The user pressed "stop"."""

    type: Literal["interrupt"]


class Leave(_Uplink):
    """The client goes."""

    type: Literal["leave"]


Uplink = PlaybackReport | Text | Interrupt | Leave
_UPLINK: Final[TypeAdapter[Uplink]] = TypeAdapter(Annotated[Uplink, Field(discriminator="type")])


class MalformedError(StageError):
    """A message that no correct client sends: the connection ends."""

    def __init__(self, message: str) -> None:
        """Says what was wrong, without the message's content."""
        super().__init__(error_pb2.ERROR_REASON_INVALID_FIELD, message)


def parse_join(message: str | bytes) -> Join:
    """Reads a client's first message.

    Raises:
        MalformedError: When it is not a correct `join`.
    """
    if isinstance(message, bytes):
        raise MalformedError("the first message must be the JSON text `join`, not binary")
    try:
        return Join.model_validate_json(message)
    except ValidationError as error:
        raise MalformedError(f"not a correct `join`: {_problem(error)}") from None


def parse(message: str) -> Uplink:
    """Reads a JSON message of a joined client.

    Raises:
        MalformedError: When it is not JSON, or has no type.
        StageError: UNKNOWN_COMMAND or INVALID_FIELD; the connection goes on.
    """
    try:
        return _UPLINK.validate_json(message)
    except ValidationError as error:
        kind = error.errors(include_input=False, include_context=False)[0]["type"]
        if kind == "union_tag_invalid":
            raise StageError(
                error_pb2.ERROR_REASON_UNKNOWN_COMMAND, "a message of an unknown type"
            ) from None
        if kind in {"json_invalid", "union_tag_not_found", "dict_type"}:
            raise MalformedError("not a JSON object with a `type`") from None
        raise StageError(error_pb2.ERROR_REASON_INVALID_FIELD, _problem(error)) from None


def _problem(error: ValidationError) -> str:
    """The first problem, without what the client sent."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'message'}: {first['type']}"


def parse_microphone(message: bytes) -> bytes:
    """Reads a binary message of a joined client and returns its PCM.

    Raises:
        MalformedError: When it is not a microphone message.
        StageError: MALFORMED_AUDIO; also ends the connection.
    """
    if len(message) < HEADER.size:
        raise MalformedError(
            f"a binary message of {len(message)} bytes; the header has {HEADER.size}"
        )
    kind, version, _, _, _, count, _ = HEADER.unpack_from(message)
    if kind != Kind.MICROPHONE or version != VERSION:
        raise MalformedError(
            f"a binary message of kind {kind}, version {version}; clients send kind "
            f"{Kind.MICROPHONE:d}, version {VERSION}"
        )
    size = len(message) - HEADER.size
    if size == 0 or size != 2 * count:
        raise StageError(
            error_pb2.ERROR_REASON_MALFORMED_AUDIO,
            f"audio of {size} bytes with sample_count {count}: samples have 2 bytes, and at least "
            "one is needed",
        )
    return message[HEADER.size :]


def encode(message: Media, end_sample: int) -> str | bytes:
    """A turn's message, as it is sent."""
    turn = message.turn
    match message:
        case egress_pb2.TurnAudio():
            audio = message.audio
            count = len(audio.data) // 2
            return _binary(Kind.VOICE, turn, audio.start_sample, count, audio.data)
        case egress_pb2.TurnMotion():
            span = message.end_sample - message.start_sample
            return _binary(Kind.MOTION, turn, message.start_sample, span, message.payload)
        case egress_pb2.TurnStart():
            return text("turn_start", turn=turn)
        case egress_pb2.TurnWords():
            words = [
                {
                    "text": word.text,
                    "start_sample": word.start_sample,
                    "end_sample": word.end_sample,
                    "text_start": word.text_start,
                    "text_end": word.text_end,
                }
                for word in message.words
            ]
            return text("words", turn=turn, words=words)
        case egress_pb2.EndOfTurn():
            return text("end_of_turn", turn=turn, sample_count=end_sample)


def joined(opening: egress_pb2.Open, turn: int) -> str:
    """What a client is told first; ``turn`` is the one that goes on, 0 for none."""
    motion = (
        {
            "codec": opening.motion_codec,
            "frame_rate": opening.motion_frame_rate,
            "idle": [base64.b64encode(payload).decode() for payload in opening.idle_motion],
        }
        if opening.motion_codec
        else None
    )
    return text(
        "joined",
        session_id=opening.session_id,
        voice={"sample_rate_hertz": opening.voice_format.sample_rate_hertz},
        motion=motion,
        turn=turn,
    )


def event_text(event: session_event_pb2.SessionEvent) -> str:
    """A session event, in protobuf's JSON form with the contract's field names."""
    fields = json_format.MessageToDict(event, preserving_proto_field_name=True)
    return text("event", event=fields)


def error_text(error: StageError) -> str:
    """An error for the client."""
    return text("error", code=error.reason_name, message=error.message)


def text(type_: str, **fields: Any) -> str:
    """A JSON message."""
    return json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":"))


def _binary(kind: Kind, turn: int, start: int, count: int, payload: bytes) -> bytes:
    return HEADER.pack(kind, VERSION, 0, turn, start, count, 0) + payload
