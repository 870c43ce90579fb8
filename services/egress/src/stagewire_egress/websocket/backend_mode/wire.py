"""The words of `/ws/agent` on one connection, for one session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from stagekit.allowance import Allowance
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2, session_event_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent
from stagewire.egress.v1 import egress_pb2
from stagewire_motion_codec import spatius

from stagewire_egress.delivery import Uplink
from stagewire_egress.websocket import frames
from stagewire_egress.websocket.backend_mode import messages
from stagewire_egress.websocket.backend_mode.playback import EstimatedPlayback
from stagewire_egress.websocket.backend_mode.spoken import SpokenTurn
from stagewire_egress.websocket.downlink import Control, Frame, GoingAway, Item, Silence
from stagewire_egress.websocket.microphone import Microphone
from stagewire_egress.websocket.native import (
    AUDIO_BURST_SECONDS,
    AUDIO_RATE,
    MESSAGE_BURST,
    MESSAGE_RATE,
    flood,
)

_TICK_SECONDS = 0.1
_PIECE_BYTES = messages.HERTZ // 10 * 2
# A microphone that stops is followed by silence: what recognizes speech hears time by samples.
_PAUSE_SECONDS = 0.4
_SILENT_PIECES = 15
_SPOKE_SECONDS = 1.0
_STATES = {
    session_event_pb2.CONVERSATION_STATE_LISTENING: "listening",
    session_event_pb2.CONVERSATION_STATE_THINKING: "thinking",
    session_event_pb2.CONVERSATION_STATE_SPEAKING: "speaking",
}


class BackendModeWire:
    """JSON both ways, voice at 16 kHz, playback by estimate.

    Args:
        opening: The session.
        uplink: Who is told what the client does.
        reply: Sends something to the client, ahead of media.
        hello: What is said first.
        choose: Asked for an avatar and a language (empty: as they are). Raises GoodbyeError when
            another session takes over, StageError when there is none; returns when nothing changes.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        opening: egress_pb2.Open,
        uplink: Uplink,
        reply: Callable[[Control], None],
        hello: Sequence[str],
        choose: Callable[[str, str], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        """Begins a conversation."""
        self._session_id = opening.session_id
        self._hertz = opening.voice_format.sample_rate_hertz
        self._codec = opening.motion_codec
        self._uplink = uplink
        self._reply = reply
        self._hello = hello
        self._choose = choose
        self._clock = clock
        self._microphone = Microphone(messages.HERTZ, opening.microphone_format.sample_rate_hertz)
        self._audio = Allowance(AUDIO_RATE, AUDIO_BURST_SECONDS, clock())
        self._messages = Allowance(MESSAGE_RATE, MESSAGE_BURST, clock())
        self._playback = EstimatedPlayback(self._hertz)
        self._spoken: SpokenTurn | None = None
        self._texts: dict[int, str] = {}
        self._stopped: list[tuple[int, int]] = []
        self._heard_at: float | None = None  # when microphone audio last came
        self._spoke_at = clock() - _SPOKE_SECONDS
        self._asked_for_silence = False
        self._work = asyncio.Event()

    # --- to the client -----------------------------------------------------------------------

    def hello(self, turn: int) -> Iterable[str]:
        """What the visit says, and whether there will be motion."""
        yield from self._hello
        if self._codec != spatius.NAME:
            why = f"its motion is {self._codec}" if self._codec else "it has no motion"
            yield messages.status(
                f"audio only: {why}, and clients of Spatius' SDK show {spatius.NAME}"
            )

    def encode(self, item: Item) -> Iterable[str | bytes]:
        """What the demo's clients expect for it."""
        match item:
            case Frame():
                yield from self._media(item)
            case Silence():
                if (stopped := self._playback.stop(item.turn, self._clock())) is not None:
                    self._stopped.append(stopped)
                    self._work.set()
                self._spoken = None
                yield messages.interrupt(self._reason())
            case SessionEvent():
                yield from self._event(item)
            case GoingAway():
                yield messages.status(f"this server stops in {item.grace_seconds:g} s")
            case StageError():
                yield messages.error(item.message)
            case str():
                yield item

    def _media(self, frame: Frame) -> Iterable[str]:
        message, now = frame.message, self._clock()
        turn_id = f"{self._session_id}-{frame.turn}"
        if self._spoken is None or self._spoken.turn_id != turn_id:
            self._spoken = SpokenTurn(turn_id, self._hertz, self._codec == spatius.NAME)
            self._asked_for_silence = False
        match message:
            case egress_pb2.TurnAudio():
                self._playback.sent(frame.turn, frame.end_sample, now)
                yield from self._spoken.voice(message.audio.data, now)
            case egress_pb2.TurnMotion():
                yield from self._spoken.motion(message.payload)
            case egress_pb2.EndOfTurn():
                yield from self._spoken.end(now)
                yield from self._said(frame.turn)

    def _event(self, event: SessionEvent) -> Iterable[str]:
        match event.WhichOneof("event"):
            case "user_transcript":
                said = event.user_transcript
                yield from messages.user_said(said.text, said.final)
            case "avatar_transcript":
                self._texts[event.turn] = event.avatar_transcript.text
            case "turn_summary":  # a turn that was cut is told as far as it was heard
                summary = event.turn_summary
                if event.turn in self._texts:
                    self._texts[event.turn] = summary.text[: summary.heard_characters]
                yield from self._said(event.turn)
            case "state_changed":
                if event.state_changed.state in _STATES:
                    yield messages.status(_STATES[event.state_changed.state])
            case "notice":
                yield messages.status(event.notice.message)
            case "session_ended":
                yield messages.status(f"the session ended: {event.session_ended.reason}")

    def _said(self, turn: int) -> Iterable[str]:
        text = self._texts.pop(turn, "").strip()
        if text:
            yield from messages.avatar_said(f"{self._session_id}-{turn}", text)

    def _reason(self) -> str:
        asked, self._asked_for_silence = self._asked_for_silence, False
        if asked:
            return "client_interrupt"
        spoke = self._clock() - self._spoke_at < _SPOKE_SECONDS
        return "barge_in" if spoke else "agent_interrupt"

    # --- from the client ---------------------------------------------------------------------

    async def receive(self, message: str | bytes) -> None:
        """Does what the client says."""
        if not self._messages.take(1.0, self._clock()):
            raise flood(f"more than {MESSAGE_RATE:g} messages per second")
        match messages.parse(message):
            case messages.MicAudio() as heard:
                await self._hear(heard.pcm())
            case messages.MicEnd():
                await self._be_silent()
            case messages.Text() as typed:
                self._asked_for_silence = self._uplink.open_turn != 0
                await self._uplink.user_text(typed.text)
            case messages.Interrupt():
                self._asked_for_silence = self._uplink.open_turn != 0
                await self._uplink.user_interrupt()
            case messages.Ping():
                self._reply(frames.text("pong"))
            case messages.SetAvatar() as wanted:
                await self._choose(wanted.avatar_id, "")
                self._reply(messages.status("the avatar is set"))
            case messages.StartAgent() as wanted:
                await self._choose("", wanted.language)
                self._reply(frames.text("agent_ready"))
            case messages.PlaySample():
                raise StageError(
                    error_pb2.ERROR_REASON_UNKNOWN_COMMAND, "this server has no sample clips"
                )

    async def run(self) -> None:
        """Says how far playback has come, and ends what does not go on."""
        while True:
            self._work.clear()
            while self._stopped:
                await self._uplink.played(*self._stopped.pop(0), stopped=True)
            now = self._clock()
            if (news := self._playback.progress(now)) is not None:
                await self._uplink.played(*news, stopped=False)
            if self._spoken is not None:
                for message in self._spoken.overdue(now):
                    self._reply(message)
            if self._heard_at is not None and now - self._heard_at > _PAUSE_SECONDS:
                await self._be_silent()
            try:
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._work.wait()
            except TimeoutError:
                continue

    async def _hear(self, pcm: bytes) -> None:
        now = self._clock()
        if not self._audio.take(len(pcm) / 2 / messages.HERTZ, now):
            raise flood("audio comes much faster than real time")
        self._heard_at = self._spoke_at = now
        for begin in range(0, len(pcm), _PIECE_BYTES):
            converted = self._microphone.convert(pcm[begin : begin + _PIECE_BYTES])
            if converted:
                await self._uplink.user_audio(converted)

    async def _be_silent(self) -> None:
        self._heard_at = None
        for _ in range(_SILENT_PIECES):
            await self._uplink.user_audio(self._microphone.convert(bytes(_PIECE_BYTES)))
