"""One session: commands of the orchestrator to the client, doings of the client back to it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from stagekit.errors import StageError
from stagekit.outbox import Outbox
from stagekit.streams import MAX_AUDIO_BYTES
from stagekit.turn_spans import TurnSpans
from stagewire.common.v1 import audio_pb2, error_pb2, turn_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import CLIENT_IDENTITY, Delivery
from stagewire_egress.playout import Playout, Report

Response = egress_pb2.DeliverResponse
_SILENCED = frozenset(
    {
        turn_pb2.TURN_END_REASON_SUPERSEDED,
        turn_pb2.TURN_END_REASON_DEADLINE,
        turn_pb2.TURN_END_REASON_FAILED,
    }
)


class Session:
    """Joins a gRPC stream, the turns' state machine and a delivery. It is the delivery's uplink.

    Args:
        opening: The stream's first message.
        outbox: Towards the orchestrator.
        return_seconds: How long a turn waits for a client that has gone.
        spans: Of the turns.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        opening: egress_pb2.Open,
        outbox: Outbox[Response],
        return_seconds: float,
        spans: TurnSpans,
        clock: Callable[[], float],
    ) -> None:
        """Makes the session; ``serve`` runs it."""
        self._opening = opening
        self._outbox = outbox
        self._spans = spans
        self._clock = clock
        engine = opening.livekit.publisher == egress_pb2.MEDIA_PUBLISHER_MOTION_ENGINE
        self._playout = Playout(opening.voice_format.sample_rate_hertz, return_seconds, engine)
        self._timers = asyncio.Event()
        self._microphone_sample = 0
        self._distrusted = False
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._delivery: Delivery

    def ready(self, delivery: Delivery) -> Response:
        """Binds the session to its delivery and makes the answer to `open`."""
        self._delivery = delivery
        return Response(
            ready=egress_pb2.Ready(
                join_url=delivery.join_url,
                microphone_format=self._opening.microphone_format,
                max_audio_bytes=MAX_AUDIO_BYTES,
                features=delivery.features,
            )
        )

    async def broken(self) -> None:
        """Waits until the stream cannot go on, and raises why."""
        await self._broken

    # Commands of the orchestrator.

    async def command(self, arm: str, message: Any) -> None:
        """Does what the orchestrator asks; waits while the client is too far behind.

        Raises:
            StageError: When it cannot be right; the stream ends with that.
        """
        now = self._clock()
        match arm:
            case "turn_start":
                superseded = self._playout.start(message.turn, now)
                self._spans.start(message.turn, message.trace)
                await self._emit(superseded)
                await self._delivery.send(message, 0)
            case "audio":
                if self._playout.audio(message, now):
                    await self._delivery.send(message, self._playout.length(message.turn))
            case "motion":
                if not self._opening.motion_codec:
                    raise StageError(
                        error_pb2.ERROR_REASON_INVALID_FIELD,
                        "motion in a session opened without motion_codec",
                    )
                if self._playout.motion(message):
                    await self._delivery.send(message, message.end_sample)
            case "words":
                if self._playout.words(message) and message.words:
                    await self._delivery.send(message, message.words[-1].end_sample)
            case "end_of_turn":
                await self._end_of_turn(message, now)
            case "interrupt":
                ended = self._playout.interrupt(message, now)
                if ended is not None:
                    self._delivery.silence(message.turn)
                    await self._emit(ended)
            case "event":
                self._delivery.event(message)
        self._timers.set()

    async def _end_of_turn(self, message: egress_pb2.EndOfTurn, now: float) -> None:
        if message.turn != self._playout.open_turn:
            self._playout.finish(message, now)  # refuses a turn that was never started
            return
        length = self._playout.length(message.turn)
        ended = self._playout.finish(message, now) or []
        await self._delivery.send(message, length)
        await self._emit(ended)

    async def watch(self) -> None:
        """Ends turns whose time is up. Runs until cancelled."""
        while True:
            self._timers.clear()
            due = self._playout.due()
            delay = None if due is None else max(0.0, due - self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._timers.wait()
            await self._emit(self._playout.expire(self._clock()))

    async def going_away(self, grace_seconds: float) -> None:
        """Tells both sides that this instance stops soon."""
        going_away = error_pb2.GoingAway()
        going_away.grace.FromNanoseconds(int(grace_seconds * 1e9))
        self._delivery.going_away(grace_seconds)
        await self._outbox.put_control(Response(going_away=going_away))

    async def end(self) -> None:
        """The orchestrator has nothing more to say: whatever plays is cut."""
        turn = self._playout.open_turn
        if turn:
            self._delivery.silence(turn)
        await self._emit(self._playout.close(self._clock()))

    async def _emit(self, reports: Iterable[Report]) -> None:
        for report in reports:
            self._timers.set()
            if isinstance(report, egress_pb2.Playback):
                self._delivery.forget(report.turn, report.played_samples)
                await self._outbox.put_control(Response(playback=report))
                continue
            self._spans.end(report.turn, report.reason, report.timing)
            if report.reason in _SILENCED:
                self._delivery.silence(report.turn)
            elif report.reason == turn_pb2.TURN_END_REASON_COMPLETED:
                self._delivery.forget(report.turn, sys.maxsize)
            await self._outbox.put_control(Response(turn_ended=report))

    # The uplink: doings of the client.

    @property
    def open_turn(self) -> int:
        """The turn that takes media or plays; 0 for none."""
        return self._playout.open_turn

    async def participant(
        self, change: egress_pb2.Participant.Change.ValueType, identity: str = CLIENT_IDENTITY
    ) -> None:
        """The client came, went or came back."""
        await self._control(
            Response(participant=egress_pb2.Participant(identity=identity, change=change))
        )
        present = change != egress_pb2.Participant.CHANGE_LEFT
        await self._emit_for_client(self._playout.presence(present, self._clock()))
        self._timers.set()

    async def user_audio(self, pcm: bytes) -> None:
        """The microphone; waits while the orchestrator is behind."""
        start, self._microphone_sample = (
            self._microphone_sample,
            self._microphone_sample + len(pcm) // 2,
        )
        try:
            await self._outbox.put(
                Response(user_audio=audio_pb2.Audio(data=pcm, start_sample=start))
            )
        except StageError as error:
            self.lost(error)

    async def user_text(self, text: str) -> None:
        """The user typed."""
        await self._control(Response(user_text=egress_pb2.UserText(text=text)))

    async def user_interrupt(self) -> None:
        """The user pressed "stop"."""
        await self._control(Response(user_interrupt=egress_pb2.UserInterrupt()))

    async def played(
        self, turn: int, samples: int, stopped: bool, client_buffer: float | None = None
    ) -> None:
        """The client reports its playback; what cannot be true is ignored, and told once."""
        try:
            reports = self._playout.report(turn, samples, stopped, self._clock(), client_buffer)
        except StageError as error:
            if not self._distrusted:
                self._distrusted = True
                await self.fault(error)
            return
        await self._emit_for_client(reports)

    async def began(self) -> None:
        """A motion engine begins to play the open turn."""
        await self._emit_for_client(self._playout.began(self._clock()))

    async def finished(self, samples: int, interrupted: bool) -> None:
        """A motion engine plays no more of a turn.

        Raises:
            StageError: INVALID_FIELD when that cannot be true; it then counts for nothing.
        """
        reports = self._playout.finished(samples, interrupted, self._clock())
        await self._emit_for_client(reports)

    def handed_over(self, turn: int, end_sample: int) -> None:
        """Voice up to ``end_sample`` was given to the client's connection."""
        self._spans.part(turn, "egress playing")
        self._playout.handed_over(turn, end_sample, self._clock())

    async def fault(self, error: StageError) -> None:
        """Something is wrong with the client, and the session goes on."""
        await self._control(Response(fault=error.to_fault()))

    async def _emit_for_client(self, reports: Iterable[Report]) -> None:
        try:
            await self._emit(reports)
        except StageError as error:
            self.lost(error)

    async def _control(self, message: Response) -> None:
        try:
            await self._outbox.put_control(message)
        except StageError as error:
            self.lost(error)

    def lost(self, error: StageError) -> None:
        """Ends the stream: the client is lost, or the orchestrator does not read."""
        if not self._broken.done():
            self._broken.set_exception(error)
