"""The messages of `/ws/agent`: what both variants of the demo's clients send, in one superset."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_egress.websocket import frames

HERTZ: Final = 16_000
"""The rate both ways: the clients know no other, whatever a server tells them."""

_INVALID = error_pb2.ERROR_REASON_INVALID_FIELD


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")


class SetAvatar(_Message):
    """The client shows this avatar."""

    type: Literal["set_avatar"]
    avatar_id: str = Field("", alias="avatarId", max_length=128)


class StartAgent(_Message):
    """The client wants to talk, in this language."""

    type: Literal["start_agent"]
    language: str = Field("", max_length=64)


class Text(_Message):
    """The user typed."""

    type: Literal["text", "text_query"]
    text: Annotated[
        str,
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=frames.MAX_TEXT_CHARACTERS
        ),
    ]


class MicAudio(_Message):
    """The microphone: base64 of 16-bit little-endian PCM at ``HERTZ``, one channel."""

    type: Literal["mic_audio"]
    audio: str = ""

    def pcm(self) -> bytes:
        """The samples.

        Raises:
            StageError: MALFORMED_AUDIO.
        """
        try:
            pcm = base64.b64decode(self.audio, validate=True)
        except binascii.Error:
            raise _malformed("audio is not base64") from None
        if len(pcm) % 2:
            raise _malformed(f"audio of {len(pcm)} bytes: samples have 2")
        return pcm


class MicEnd(_Message):
    """The microphone was closed."""

    type: Literal["mic_end"]


class Interrupt(_Message):
    """The user pressed "stop"."""

    type: Literal["interrupt"]


class Ping(_Message):
    """Is anybody there?"""

    type: Literal["ping"]


class PlaySample(_Message):
    """The client wants a recorded clip."""

    type: Literal["play_sample"]
    clip: str = ""


Message = SetAvatar | StartAgent | Text | MicAudio | MicEnd | Interrupt | Ping | PlaySample
_MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse(message: str | bytes) -> Message:
    """Reads what a client sent.

    Raises:
        StageError: UNKNOWN_COMMAND or INVALID_FIELD, without the message's content.
    """
    if isinstance(message, bytes):
        raise StageError(_INVALID, "binary messages are not taken here: send JSON text")
    try:
        return _MESSAGE.validate_json(message)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if first["type"] == "union_tag_invalid":
            raise StageError(
                error_pb2.ERROR_REASON_UNKNOWN_COMMAND, "Unsupported message: its type is unknown"
            ) from None
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise StageError(_INVALID, f"{where}: {first['type']}") from None


def audio(turn_id: str, pcm: bytes, last: bool) -> str:
    """Voice of a turn."""
    encoded = base64.b64encode(pcm).decode("ascii")
    return frames.text("avatar_audio", turnId=turn_id, audio=encoded, isLast=last)


def motion(turn_id: str, payloads: Sequence[bytes], last: bool) -> str:
    """Motion of a turn; none at all makes the turn audio-only."""
    encoded = [base64.b64encode(payload).decode("ascii") for payload in payloads]
    return frames.text("avatar_frames", turnId=turn_id, frames=encoded, isLast=last)


def status(message: str) -> str:
    """Something for people; clients show or ignore it."""
    return frames.text("status", message=message)


def error(message: str) -> str:
    """Something was wrong."""
    return frames.text("error", message=message)


def interrupt(reason: str) -> str:
    """Be silent now. Reasons: client_interrupt, barge_in, agent_interrupt."""
    return frames.text("interrupt", reason=reason)


def user_said(text: str, final: bool) -> list[str]:
    """What the user says, for both variants."""
    event = frames.text("agent_event", event="asr_final" if final else "asr_interim", text=text)
    return [event, frames.text("transcript", role="user", text=text)] if final else [event]


def avatar_said(turn_id: str, text: str) -> list[str]:
    """What the avatar says, for both variants: once for each turn, because they append it."""
    return [
        frames.text("agent_event", event="llm_text", text=text, turnId=turn_id),
        frames.text("transcript", role="assistant", text=text),
    ]


def voice_event(turn_id: str, event: str) -> str:
    """``tts_start`` or ``tts_end`` of a turn."""
    return frames.text("agent_event", event=event, turnId=turn_id)


def _malformed(message: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_MALFORMED_AUDIO, message)
