"""The motion_bridge stage: one face for the whole session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.audio_pb2 import Audio, AudioFormat
from stagewire.common.v1.trace_pb2 import TraceContext
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb
from stagewire.motion_bridge.v1 import motion_bridge_pb2_grpc

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import Reported
from stagewire_orchestrator.stages.context import Context
from stagewire_orchestrator.stages.link import Link

MotionCommand = c.StartMotion | c.MoveAudio | c.MovePhonemes | c.FinishMotion | c.InterruptMotion


class MotionBridge:
    """The stream to motion_bridge.

    Args:
        context: The session.
        voice: The voice's format.
        room: The room that the engine publishes into by itself; None when motion comes back.
    """

    def __init__(
        self,
        context: Context,
        voice: AudioFormat,
        room: Callable[[], pb.LiveKitRoom] | None = None,
    ) -> None:
        """Connects when ``link`` runs."""
        self._context = context
        self._voice = voice
        self._room = room
        channel = context.channels.to(context.avatar, "motion_bridge")
        self.link: Link[pb.AnimateRequest] = Link(
            "motion_bridge",
            motion_bridge_pb2_grpc.MotionBridgeServiceStub(channel).Animate,
            self._opening,
            lambda: context.spans.call("motion_bridge", "open"),
            on_message=self._on_message,
            on_lost=self._on_lost,
            on_back=self._on_back,
            vital=False,
        )

    async def connect(self) -> pb.Ready:
        """Waits for the first stream; its codec is the session's.

        Raises:
            StageError: What the stage refused with; INVALID_FIELD when its engine was to publish
                into a room and does not say that it can.
        """
        ready: pb.Ready = await self.link.first_ready()
        if self._room is not None and "livekit_room" not in ready.features:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                "publisher: MOTION_ENGINE needs a motion_bridge whose engine publishes into rooms "
                '(feature "livekit_room"); this one does not',
            )
        self._codec = ready.codec
        return ready

    async def carry_out(
        self,
        command: c.StartMotion | c.MoveAudio | c.MovePhonemes | c.FinishMotion | c.InterruptMotion,
    ) -> None:
        """Does what the machine wants done."""
        turn, request = command.turn, pb.AnimateRequest()
        match command:
            case c.StartMotion():
                trace = self._context.spans.context(turn, "motion_bridge")
                request.turn_start.CopyFrom(pb.TurnStart(turn=turn, trace=trace))
            case c.MoveAudio():
                audio = Audio(data=command.data, start_sample=command.start_sample)
                request.audio.CopyFrom(pb.TurnAudio(turn=turn, audio=audio))
            case c.MovePhonemes():
                request.phonemes.turn = turn
                request.phonemes.alphabet = command.alphabet  # type: ignore[assignment]  # passed on as it came, also a value that is new here
                request.phonemes.phonemes.extend(command.phonemes)
            case c.FinishMotion():
                request.end_of_audio.turn = turn
            case c.InterruptMotion():
                request.interrupt.turn = turn
                await self.link.discard(lambda waiting: _media_of(waiting) == turn)
        await self.link.send(request)

    def _opening(self, trace: TraceContext) -> pb.AnimateRequest:
        opening = pb.Open(
            session_id=self._context.session_id,
            avatar_id=self._context.avatar.motion_avatar_id,
            format=self._voice,
            trace=trace,
        )
        if self._room is None:
            opening.return_frames.SetInParent()
        else:
            opening.livekit_room.CopyFrom(self._room())
        return pb.AnimateRequest(open=opening)

    async def _on_lost(self, problem: StageError) -> None:
        await self._context.post(e.MotionLost())
        await self._context.notice(problem)

    async def _on_back(self, ready: pb.Ready) -> None:
        # The client was told which codec comes: another one could not be shown.
        if ready.codec == self._codec:
            await self._context.post(e.MotionBack())

    async def _on_message(self, arm: str, message: Any) -> None:
        match arm:
            case "motion":
                span = (message.start_sample, message.end_sample)
                reported = Reported.read(message.timing)
                frames = e.MotionFrames(message.turn, message.payload, *span, reported)
                await self._context.post(frames)
            case "playback":
                await self._context.post(e.Played(message.turn, message.played_samples))
            case "turn_ended":
                await self._context.post(e.MotionEnded(message.turn))
            case "degraded":
                await self._context.post(e.MotionFailed(message.turn))
                problem = StageError(message.reason, f"motion_bridge: {message.message}")
                await self._context.post(e.Noticed(problem.to_fault(message.turn)))
            case "fault":
                await self._context.post(e.Noticed(message))


def _media_of(request: pb.AnimateRequest) -> int:
    """The turn of a queued media message; 0 for what must not be forgotten."""
    match request.WhichOneof("message"):
        case "audio":
            return request.audio.turn
        case "phonemes":
            return request.phonemes.turn
    return 0
