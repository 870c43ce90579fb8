"""One session: the orchestrator's commands to a face, and the face's events back to it.

A turn is over when its `turn_ended` is sent, not when it is queued. An interrupt may come while
motion, or even the turn's good end, still waits for the peer; so whatever leaves passes ``leaves``
last, and nothing of a turn that is over gets by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf import duration_pb2
from stagekit.outbox import Outbox
from stagekit.streams import AudioTrack, Commands, TurnFence
from stagekit.turn_spans import TurnSpans
from stagewire.common.v1 import timing_pb2, turn_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2

from stagewire_motion_bridge.backend import (
    Completed,
    Degraded,
    Event,
    Face,
    Motion,
    Playback,
    Trouble,
)

Request = motion_bridge_pb2.AnimateRequest
Response = motion_bridge_pb2.AnimateResponse
_INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED
_SUPERSEDED = turn_pb2.TURN_END_REASON_SUPERSEDED
_COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED


@dataclass
class _Turn:
    """What is known of the open turn; times are of the session's clock."""

    number: int
    track: AudioTrack
    ended_audio: bool = False
    first_audio_at: float | None = None
    started_at: float | None = None
    first_motion_at: float | None = None


class Session:
    """Fences turns on their way in and on their way out.

    Args:
        outbox: Towards the orchestrator.
        clock: Monotonic seconds.
        spans: Of the turns.
    """

    def __init__(
        self,
        outbox: Outbox[Response],
        clock: Callable[[], float],
        spans: TurnSpans,
    ) -> None:
        """No turn yet."""
        self._outbox, self._clock, self._spans = outbox, clock, spans
        self._fence = TurnFence()
        self._turn: _Turn | None = None
        self._over = asyncio.Event()
        self._over.set()

    async def serve(self, commands: Commands[Request], face: Face) -> None:
        """Passes commands to the face until the peer closes its side and the last turn is over.

        Raises:
            StageError: When a command breaks the contract; the stream ends.
        """
        async for arm, message in commands:
            if arm == "turn_start":
                await self._start(message, face)
            elif arm == "audio":
                await self._audio(message, face)
            elif arm == "phonemes":
                if self._fence.admits(message):
                    await face.phonemes(message)
            elif arm == "end_of_audio":
                await self._end_of_audio(message, face)
            elif arm == "interrupt":
                # Also of a turn that this stream never saw: the one before it may have.
                await self._end(message.turn, _INTERRUPTED, face)
        if self._turn is not None and not self._turn.ended_audio:
            await self._end(self._turn.number, _INTERRUPTED, face)
        await self._over.wait()

    async def _start(self, message: motion_bridge_pb2.TurnStart, face: Face) -> None:
        before = self._turn
        superseded = self._fence.start(message.turn)
        self._turn = _Turn(message.turn, AudioTrack())
        self._over.clear()
        if superseded is not None:
            await self._drop(superseded)
            await self._say_ended(superseded, _SUPERSEDED, before)
            await face.cancel(superseded)
        span = self._spans.start(message.turn, message.trace)
        await face.start(message.turn, span.context)

    async def _audio(self, message: motion_bridge_pb2.TurnAudio, face: Face) -> None:
        turn = self._turn
        if not self._fence.admits(message) or turn is None or turn.ended_audio:
            return
        turn.track.accept(message.audio)
        if turn.first_audio_at is None:
            turn.first_audio_at = turn.started_at = self._clock()
        await face.audio(message.turn, message.audio.data)

    async def _end_of_audio(self, message: motion_bridge_pb2.EndOfAudio, face: Face) -> None:
        turn = self._turn
        if self._fence.admits(message) and turn is not None and not turn.ended_audio:
            turn.ended_audio = True
            await face.finish(message.turn)

    async def _end(self, turn: int, reason: turn_pb2.TurnEndReason.ValueType, face: Face) -> None:
        ended = self._turn
        if self._fence.end(turn):
            self._over.set()
            await self._drop(turn)
            await self._say_ended(turn, reason, ended)
            await face.cancel(turn)

    async def _drop(self, turn: int) -> None:
        await self._outbox.discard(lambda response: _turn_of(response) == turn)

    async def _say_ended(
        self, number: int, reason: turn_pb2.TurnEndReason.ValueType, turn: _Turn | None
    ) -> None:
        """Ahead of all media: the peer must not wait for it."""
        ended = self._ended(number, reason, turn)
        self._spans.end(number, reason, ended.timing)
        await self._outbox.put_control(Response(turn_ended=ended))

    async def emit(self, event: Event) -> None:
        """Takes an event of the face; see :data:`stagewire_motion_bridge.backend.Emit`."""
        if isinstance(event, Trouble):
            await self._outbox.put_control(Response(fault=event.error.to_fault()))
            return
        turn = self._turn
        if turn is None or event.turn != turn.number:
            return
        if isinstance(event, Motion):
            motion = motion_bridge_pb2.Motion(
                turn=event.turn,
                payload=event.payload,
                start_sample=event.start_sample,
                end_sample=event.end_sample,
            )
            if turn.first_motion_at is None:
                turn.first_motion_at = self._clock()
                motion.timing.CopyFrom(self._timing(turn))
            await self._outbox.put(Response(motion=motion))
        elif isinstance(event, Completed):
            ended = self._ended(event.turn, _COMPLETED, turn)
            await self._outbox.put(Response(turn_ended=ended))
        elif isinstance(event, Playback):
            playback = motion_bridge_pb2.Playback(
                turn=event.turn,
                played_samples=event.played_samples,
                finished=event.finished,
                interrupted=event.interrupted,
            )
            await self._outbox.put(Response(playback=playback))
        elif isinstance(event, Degraded):
            self._spans.fail(event.turn, event.reason)
            degraded = motion_bridge_pb2.Degraded(
                turn=event.turn, reason=event.reason, message=event.message
            )
            await self._outbox.put_control(Response(degraded=degraded))

    def leaves(self, response: Response) -> bool:
        """Whether ``response`` may be sent now; its turn's good end ends the turn here."""
        arm = response.WhichOneof("message")
        if arm == "turn_ended":
            if response.turn_ended.reason == _COMPLETED:
                ended = self._fence.end(response.turn_ended.turn)
                if ended:
                    told = response.turn_ended
                    self._spans.end(told.turn, told.reason, told.timing)
                    self._over.set()
                return ended
            return True
        if arm in ("motion", "playback", "degraded"):
            return self._fence.admits(getattr(response, arm))
        return True

    def _ended(
        self, number: int, reason: turn_pb2.TurnEndReason.ValueType, turn: _Turn | None
    ) -> turn_pb2.TurnEnded:
        ended = turn_pb2.TurnEnded(turn=number, reason=reason)
        if turn is not None and turn.number == number:
            ended.timing.CopyFrom(self._timing(turn))
        return ended

    def _timing(self, turn: _Turn) -> timing_pb2.StageTiming:
        timing = timing_pb2.StageTiming()
        if turn.first_audio_at is None or turn.started_at is None:
            return timing
        timing.since_trigger.CopyFrom(_duration(self._clock() - turn.first_audio_at))
        timing.queue_wait.CopyFrom(_duration(turn.started_at - turn.first_audio_at))
        if turn.first_motion_at is not None:
            compute = turn.first_motion_at - turn.started_at
            timing.compute_to_first_output.CopyFrom(_duration(compute))
        return timing


def _turn_of(response: Response) -> int:
    arm = response.WhichOneof("message")
    return getattr(response, arm).turn if arm in ("motion", "playback", "turn_ended") else 0


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(max(0, int(seconds * 1e9)))
    return duration
