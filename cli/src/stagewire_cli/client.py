"""A client of egress' WebSocket: docs/websocket.md in typed Python, and nothing more.

It neither plays nor records; :mod:`stagewire_cli.conversation` does, and a test or a benchmark
may do something else::

    async with join(url, token) as client:
        await client.type_text("Hello!")
        async for message in client:
            match message:
                case Voice(): ...
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from stagewire.common.v1.session_event_pb2 import SessionEvent
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

_HEADER: Final = struct.Struct("<BBHIqII")
_VERSION: Final = 1
_MICROPHONE, _VOICE, _MOTION = 1, 2, 3
_MAX_MESSAGE_BYTES: Final = 4 << 20
_ANSWER_SECONDS: Final = 10.0


class JoinError(Exception):
    """The session could not be joined; the message says why."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to `join`.

    Attributes:
        session_id: The session.
        voice_hertz: The voice's sample rate; every sample position counts at it.
        motion_codec: The codec of motion payloads; empty for no motion.
        motion_frame_rate: Its frames per second; 0 when the payload carries its own.
        turn: The turn that goes on; 0 for none.
    """

    session_id: str
    voice_hertz: int
    motion_codec: str
    motion_frame_rate: int
    turn: int


@dataclass(frozen=True, slots=True)
class TurnStart:
    """A turn begins; older ones are over."""

    turn: int


@dataclass(frozen=True, slots=True)
class Voice:
    """The avatar's voice: 16-bit little-endian PCM from ``start_sample`` of the turn."""

    turn: int
    start_sample: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Motion:
    """The avatar's face while the samples from start to end sound; opaque frames."""

    turn: int
    start_sample: int
    end_sample: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Word:
    """A word, when it sounds (samples), and where it stands in the turn's text (code points)."""

    text: str
    start_sample: int
    end_sample: int
    text_start: int
    text_end: int


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a turn."""

    turn: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """No more media follows; the whole voice has ``sample_count`` samples."""

    turn: int
    sample_count: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Be silent now: this turn and older ones are over. Answer with a last report."""

    turn: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in the session."""

    event: SessionEvent


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was sent is wrong."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class GoingAway:
    """This instance stops soon: when the connection closes, join again."""

    grace_seconds: float


Message = TurnStart | Voice | Motion | Words | EndOfTurn | Interrupted | Event | Refusal | GoingAway


class Client:
    """One joined connection. Iterate over it for what comes; it ends when the connection does.

    Attributes:
        joined: What the server said.
        close_code: Why the connection ended; None while it lives.
        close_reason: The same in words.
    """

    def __init__(self, ws: ClientConnection, joined: Joined) -> None:
        """Use :func:`join`."""
        self._ws = ws
        self.joined = joined
        self._microphone_sample = 0

    @property
    def close_code(self) -> int | None:
        """Why the connection ended; None while it lives."""
        return self._ws.close_code

    @property
    def close_reason(self) -> str:
        """The same in words."""
        return self._ws.close_reason or ""

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yields what comes, in order; skips kinds and types that it does not know."""
        try:
            async for data in self._ws:
                message = _binary(data) if isinstance(data, bytes) else _text(json.loads(data))
                if message is not None:
                    yield message
        except ConnectionClosed:
            return

    async def send_audio(self, pcm: bytes) -> None:
        """Sends microphone samples: 16-bit little-endian PCM at the rate that `join` named."""
        count = len(pcm) // 2
        header = _HEADER.pack(_MICROPHONE, _VERSION, 0, 0, self._microphone_sample, count, 0)
        self._microphone_sample += count
        await self._send(header + pcm)

    async def report(
        self,
        turn: int,
        played_samples: int,
        stopped: bool = False,
        buffer_seconds: float | None = None,
    ) -> None:
        """Says how far playback has come; ``stopped`` when it will go no further.

        ``buffer_seconds``: from the first voice's arrival to its sounding, once known.
        """
        told = {"turn": turn, "played_samples": played_samples, "stopped": stopped}
        held = {} if buffer_seconds is None else {"buffer_milliseconds": 1000 * buffer_seconds}
        await self._say("playback", **told, **held)

    async def type_text(self, text: str) -> None:
        """Says something by keyboard."""
        await self._say("text", text=text)

    async def interrupt(self) -> None:
        """Presses "stop"."""
        await self._say("interrupt")

    async def leave(self) -> None:
        """Goes; the server closes the connection."""
        await self._say("leave")

    async def _say(self, type_: str, **fields: Any) -> None:
        await self._send(json.dumps({"type": type_, **fields}))

    async def _send(self, data: str | bytes) -> None:
        """Sends; what is sent after the end is lost, and iterating tells of the end."""
        try:
            await self._ws.send(data)
        except ConnectionClosed:
            return


@asynccontextmanager
async def join(url: str, token: str, microphone_hertz: int = 16_000) -> AsyncIterator[Client]:
    """Joins a session while the block runs.

    Args:
        url: Where, as the session's creation answered.
        token: The session's client token.
        microphone_hertz: The rate of what ``send_audio`` will send, 8000 to 48000.

    Raises:
        JoinError: When there is no way in.
    """
    try:
        ws = await connect(url, compression=None, max_size=_MAX_MESSAGE_BYTES)
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise JoinError(f"cannot connect to {url}: {error}") from error
    async with ws:
        microphone = {"sample_rate_hertz": microphone_hertz}
        try:
            await ws.send(json.dumps({"type": "join", "token": token, "microphone": microphone}))
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = json.loads(await ws.recv())
        except ConnectionClosed as error:
            raise JoinError(f"{url} refused: {ws.close_reason or error}") from error
        except TimeoutError as error:
            raise JoinError(f"{url} does not answer to `join`") from error
        motion = answer["motion"] or {"codec": "", "frame_rate": 0}
        joined = Joined(
            session_id=answer["session_id"],
            voice_hertz=answer["voice"]["sample_rate_hertz"],
            motion_codec=motion["codec"],
            motion_frame_rate=motion["frame_rate"],
            turn=answer["turn"],
        )
        yield Client(ws, joined)


def _binary(data: bytes) -> Voice | Motion | None:
    kind, version, _, turn, start, count, _ = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if version != _VERSION:
        return None
    if kind == _VOICE:
        return Voice(turn, start, payload)
    return Motion(turn, start, start + count, payload) if kind == _MOTION else None


def _text(fields: dict[str, Any]) -> Message | None:
    match fields["type"]:
        case "turn_start":
            return TurnStart(fields["turn"])
        case "words":
            names = Word.__slots__
            words = tuple(Word(*(word[name] for name in names)) for word in fields["words"])
            return Words(fields["turn"], words)
        case "end_of_turn":
            return EndOfTurn(fields["turn"], fields["sample_count"])
        case "interrupt":
            return Interrupted(fields["turn"])
        case "event":
            event = SessionEvent()
            json_format.ParseDict(fields["event"], event, ignore_unknown_fields=True)
            return Event(event)
        case "error":
            return Refusal(fields["code"], fields["message"])
        case "going_away":
            return GoingAway(fields["grace_milliseconds"] / 1000)
    return None
