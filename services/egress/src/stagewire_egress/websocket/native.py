"""The words of docs/websocket.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from stagekit.allowance import Allowance
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2, session_event_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Uplink
from stagewire_egress.websocket import frames
from stagewire_egress.websocket.downlink import Frame, GoingAway, Item, Silence
from stagewire_egress.websocket.frames import Close, Join, MalformedError
from stagewire_egress.websocket.microphone import Microphone
from stagewire_egress.websocket.wire import GoodbyeError

# Twice real time keeps up with any clock; 5 s lets a client catch up after a stall.
AUDIO_RATE, AUDIO_BURST_SECONDS = 2.0, 5.0
MESSAGE_RATE, MESSAGE_BURST = 50.0, 200.0


class NativeWire:
    """Binary media, JSON for the rest, playback that the client reports.

    Args:
        opening: The session.
        uplink: Who is told what the client does.
        join: The client's first message.
        clock: Monotonic seconds.
    """

    def __init__(
        self, opening: egress_pb2.Open, uplink: Uplink, join: Join, clock: Callable[[], float]
    ) -> None:
        """Begins a connection's conversation."""
        self._opening = opening
        self._uplink = uplink
        self._microphone = Microphone(
            join.microphone.sample_rate_hertz, opening.microphone_format.sample_rate_hertz
        )
        self._clock = clock
        self._audio = Allowance(AUDIO_RATE, AUDIO_BURST_SECONDS, clock())
        self._messages = Allowance(MESSAGE_RATE, MESSAGE_BURST, clock())

    def hello(self, turn: int) -> Iterable[str]:
        """The answer to `join`."""
        yield frames.joined(self._opening, turn)

    def encode(self, item: Item) -> Iterable[str | bytes]:
        """One message for each item."""
        match item:
            case Frame():
                yield frames.encode(item.message, item.end_sample)
            case Silence():
                yield frames.text("interrupt", turn=item.turn)
            case session_event_pb2.SessionEvent():
                yield frames.event_text(item)
            case GoingAway():
                grace = round(item.grace_seconds * 1000)
                yield frames.text("going_away", grace_milliseconds=grace)
            case StageError():
                yield frames.error_text(item)
            case str():
                yield item

    async def receive(self, message: str | bytes) -> None:
        """Takes microphone audio, or does what a JSON message says."""
        try:
            if isinstance(message, bytes):
                await self._hear(message)
            else:
                await self._obey(message)
        except MalformedError as error:
            raise GoodbyeError(Close.MALFORMED, error.message, error) from None

    async def run(self) -> None:
        """Does nothing by the clock."""
        await asyncio.Event().wait()

    async def _hear(self, message: bytes) -> None:
        try:
            pcm = frames.parse_microphone(message)
        except StageError as error:
            raise GoodbyeError(Close.MALFORMED, error.message, error) from None
        if not self._audio.take(self._microphone.seconds(pcm), self._clock()):
            raise flood("audio comes much faster than real time")
        converted = self._microphone.convert(pcm)
        if converted:
            await self._uplink.user_audio(converted)

    async def _obey(self, message: str) -> None:
        if not self._messages.take(1.0, self._clock()):
            raise flood(f"more than {MESSAGE_RATE:g} messages per second")
        match frames.parse(message):
            case frames.PlaybackReport() as report:
                held = report.buffer_milliseconds
                await self._uplink.played(
                    report.turn,
                    report.played_samples,
                    report.stopped,
                    None if held is None else held / 1000,
                )
            case frames.Text() as typed:
                await self._uplink.user_text(typed.text)
            case frames.Interrupt():
                await self._uplink.user_interrupt()
            case frames.Leave():
                raise GoodbyeError(Close.ENDED, "goodbye")


def flood(message: str) -> GoodbyeError:
    """The end of a client that sends too much."""
    error = StageError(error_pb2.ERROR_REASON_PEER_TOO_SLOW, message)
    return GoodbyeError(Close.FLOOD, message, error)
