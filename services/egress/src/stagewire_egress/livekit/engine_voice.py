"""A voice that the motion engine plays into the room by itself: what it reports, and its words.

The engine says by RPC when a turn begins to sound and where it ended, and nothing in between. Its
last word makes history; until then a clock shows the words, which began with the first report.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from livekit import rtc
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from stagekit.errors import StageError
from stagewire.common.v1 import timing_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Media, Uplink
from stagewire_egress.livekit.voice import Captions

logger = logging.getLogger(__name__)

STARTED_METHOD, FINISHED_METHOD = "lk.playback_started", "lk.playback_finished"
"""LiveKit's own names: its agents take the same calls from avatars."""
MALFORMED, FORBIDDEN = 400, 403
"""RPC errors of these calls."""
_LONGEST_SECONDS = 86_400.0
_TICK_SECONDS = 0.05


class _Finished(BaseModel):
    """What `lk.playback_finished` carries; more fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    playback_position: float = Field(ge=0, le=_LONGEST_SECONDS, allow_inf_nan=False)
    interrupted: bool


@dataclass
class _Turn:
    """The newest turn, in samples from its start.

    Attributes:
        number: Its number.
        length: Voice that the engine was given.
        shown: How far the clock has come.
        clocked_at: When it was read; None before the engine said that it plays.
        words: Those not shown yet.
    """

    number: int
    length: int = 0
    shown: float = 0.0
    clocked_at: float | None = None
    words: deque[timing_pb2.Word] = field(default_factory=deque)


class EngineVoice:
    """Stands where ``Voice`` does when egress publishes none.

    Args:
        engine: The engine's participant identity; nobody else may report.
        rate: The voice's sample rate.
        captions: Told what was spoken.
        uplink: Told what was played.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        engine: str,
        rate: int,
        captions: Captions,
        uplink: Uplink,
        clock: Callable[[], float],
    ) -> None:
        """Nothing plays."""
        self._engine = engine
        self._rate = rate
        self._captions = captions
        self._uplink = uplink
        self._clock = clock
        self._turn: _Turn | None = None
        self._news = asyncio.Event()

    def listen(self, participant: rtc.LocalParticipant) -> None:
        """Takes the engine's calls from now on."""
        participant.register_rpc_method(STARTED_METHOD, self._started)
        participant.register_rpc_method(FINISHED_METHOD, self._finished)

    async def put(self, message: Media) -> None:
        """Counts the voice, keeps the words."""
        if isinstance(message, egress_pb2.TurnStart):
            self._turn = _Turn(message.turn)
        turn = self._turn
        if turn is None or turn.number != message.turn:
            return
        match message:
            case egress_pb2.TurnAudio():
                turn.length = message.audio.start_sample + len(message.audio.data) // 2
                self._uplink.handed_over(turn.number, turn.length)
            case egress_pb2.TurnWords():
                turn.words.extend(message.words)

    def silence(self, turn: int) -> None:
        """No more words of this turn and older ones: motion_bridge tells the engine."""
        if self._turn is not None and self._turn.number <= turn:
            self._turn = None

    def audience(self, present: bool) -> None:
        """The engine plays whether somebody hears it or not."""

    async def run(self) -> None:
        """Shows words while a turn plays. Runs until cancelled."""
        while True:
            self._news.clear()
            turn = self._turn
            plays = turn is not None and turn.clocked_at is not None
            if turn is not None and turn.clocked_at is not None:
                now = self._clock()
                passed, turn.clocked_at = now - turn.clocked_at, now
                self._show(turn, min(turn.length, turn.shown + passed * self._rate))
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS if plays else None):
                    await self._news.wait()

    def _show(self, turn: _Turn, position: float) -> None:
        turn.shown = max(turn.shown, position)
        text_end = 0
        while turn.words and turn.words[0].start_sample < turn.shown:
            text_end = turn.words.popleft().text_end
        if text_end:
            self._captions.spoken(turn.number, text_end)

    # The engine's calls.

    async def _started(self, call: rtc.RpcInvocationData) -> str:
        self._check_caller(call)
        if self._turn is not None and self._turn.clocked_at is None:
            self._turn.clocked_at = self._clock()
            self._news.set()
            await self._uplink.began()
        return "ok"

    async def _finished(self, call: rtc.RpcInvocationData) -> str:
        self._check_caller(call)
        try:
            report = _Finished.model_validate_json(call.payload)
        except ValidationError:
            raise rtc.RpcError(
                MALFORMED,
                "must be JSON with playback_position, a number of seconds from 0 up, and "
                "interrupted, a boolean",
            ) from None
        position = report.playback_position * self._rate
        turn = None if report.interrupted else self._turn
        try:
            await self._uplink.finished(round(position), report.interrupted)
        except StageError as error:
            logger.warning("the motion engine's report is refused: %s", error.message)
            raise rtc.RpcError(MALFORMED, error.message) from None
        if turn is not None and turn is self._turn:
            self._show(turn, position)
            self._turn = None
        return "ok"

    def _check_caller(self, call: rtc.RpcInvocationData) -> None:
        if call.caller_identity != self._engine:
            logger.warning("somebody else than the motion engine reports what it played: refused")
            raise rtc.RpcError(FORBIDDEN, "only the motion engine may say what it has played")
