"""The egress stage: the session's way to its client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stagekit.errors import StageError
from stagewire.common.v1.audio_pb2 import Audio, AudioFormat
from stagewire.common.v1.session_event_pb2 import SessionEvent
from stagewire.common.v1.trace_pb2 import TraceContext
from stagewire.egress.v1 import egress_pb2 as pb
from stagewire.egress.v1 import egress_pb2_grpc
from stagewire.motion_bridge.v1 import motion_bridge_pb2

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import Delivered, Reported
from stagewire_orchestrator.stages.context import Context
from stagewire_orchestrator.stages.home import Home
from stagewire_orchestrator.stages.link import Link

_FAREWELL_SECONDS = 0.5

EgressCommand = (
    c.StartPlaying | c.PlayAudio | c.PlayMotion | c.PlayWords | c.FinishPlaying | c.InterruptPlaying
)


class Egress:
    """The stream to egress.

    Args:
        context: The session.
        target: Where the client is; asked for each new stream, because its token may have an end.
        voice: The voice's format.
        microphone: The format in which the microphone is wanted.
        motion: What motion_bridge answered to ``open``, if its motion goes by egress.
        hear: Takes the microphone.
    """

    def __init__(
        self,
        context: Context,
        target: Callable[[], pb.WebSocketTarget | pb.LiveKitTarget],
        voice: AudioFormat,
        microphone: AudioFormat,
        motion: motion_bridge_pb2.Ready,
        hear: Callable[[Audio], Awaitable[None]],
    ) -> None:
        """Connects when ``link`` runs."""
        self._context = context
        self._target = target
        self._open = pb.Open(
            session_id=context.session_id,
            voice_format=voice,
            motion_codec=motion.codec,
            motion_frame_rate=motion.frame_rate,
            microphone_format=microphone,
            idle_motion=motion.idle_motion,
        )
        self._hear = hear
        # Of the microphone in this session: where this egress stream's count began, and what came.
        self._microphone_begun = self._microphone_end = 0
        self._home = Home()
        stub = egress_pb2_grpc.EgressServiceStub(context.channels.to(context.avatar, "egress"))
        self.link: Link[pb.DeliverRequest] = Link(
            "egress",
            stub.Deliver,
            self._opening,
            lambda: context.spans.call("egress", "open"),
            on_message=self._on_message,
            on_lost=self._on_lost,
            on_back=self._on_back,
            accept=self._accept,
        )

    def _opening(self, trace: TraceContext) -> pb.DeliverRequest:
        target = self._target()
        self._open.trace.CopyFrom(trace)
        if isinstance(target, pb.LiveKitTarget):
            self._open.livekit.CopyFrom(target)
        else:
            self._open.web_socket.CopyFrom(target)
        return pb.DeliverRequest(open=self._open)

    async def announce(self, event: SessionEvent) -> None:
        """Tells the client, ahead of queued media."""
        await self.link.send_control(pb.DeliverRequest(event=event))

    async def farewell(self, event: SessionEvent, running: asyncio.Task[None]) -> None:
        """Tells the client the last event and closes; waits for it a moment."""
        await self.link.send(pb.DeliverRequest(event=event))
        await self.link.finish()
        await asyncio.wait([running], timeout=_FAREWELL_SECONDS)

    async def carry_out(
        self,
        command: EgressCommand,
    ) -> None:
        """Does what the machine wants done."""
        turn, request = command.turn, pb.DeliverRequest()
        match command:
            case c.StartPlaying():
                trace = self._context.spans.context(turn, "egress")
                request.turn_start.CopyFrom(pb.TurnStart(turn=turn, trace=trace))
            case c.PlayAudio():
                audio = Audio(data=command.data, start_sample=command.start_sample)
                request.audio.CopyFrom(pb.TurnAudio(turn=turn, audio=audio))
            case c.PlayMotion():
                request.motion.turn = turn
                request.motion.payload = command.payload
                request.motion.start_sample = command.start_sample
                request.motion.end_sample = command.end_sample
            case c.PlayWords():
                request.words.CopyFrom(pb.TurnWords(turn=turn, words=command.words))
            case c.FinishPlaying():
                request.end_of_turn.turn = turn
            case c.InterruptPlaying():
                request.interrupt.turn = turn
                await self.link.discard(lambda waiting: _media_of(waiting) == turn)
        await self.link.send(request)

    def _delivered(self, playback: pb.Playback) -> Delivered | None:
        reported = Reported.read(playback.timing)
        if reported is None:
            return None
        if not playback.HasField("client_buffer"):
            return Delivered(reported)
        buffer = playback.client_buffer.ToNanoseconds() / 1e9
        played = playback.played_samples / self._open.voice_format.sample_rate_hertz
        return Delivered(reported, buffer, played)

    async def _user_audio(self, audio: Audio) -> None:
        audio.start_sample += self._microphone_begun
        self._microphone_end = audio.start_sample + len(audio.data) // 2
        await self._hear(audio)

    def _accept(self, ready: pb.Ready) -> bool:
        return self._home.accept(ready.join_url, asyncio.get_running_loop().time())

    async def _on_lost(self, problem: StageError) -> None:
        self._microphone_begun = self._microphone_end
        await self._context.post(e.EgressLost())
        await self._context.post(e.ClientLeft())
        await self._context.notice(problem)

    async def _on_back(self, ready: pb.Ready) -> None:
        await self._context.post(e.EgressBack())

    async def _on_message(self, arm: str, message: Any) -> None:
        match arm:
            case "user_audio":
                await self._user_audio(message)
            case "playback":
                await self._context.post(
                    e.Played(message.turn, message.played_samples, self._delivered(message))
                )
            case "turn_ended":
                reported = Reported.read(message.timing)
                delivered = None if reported is None else Delivered(reported)
                await self._context.post(
                    e.EgressEnded(message.turn, message.reason, message.played_samples, delivered)
                )
            case "user_text":
                await self._context.post(e.UserText(message.text))
            case "user_interrupt":
                await self._context.post(e.UserInterrupt())
            case "participant":
                left = message.change == pb.Participant.CHANGE_LEFT
                await self._context.post(e.ClientLeft() if left else e.ClientJoined())
            case "going_away":
                self._home.leave()
            case "fault":
                await self._context.post(e.Noticed(message))


def _media_of(request: pb.DeliverRequest) -> int:
    """The turn of a queued media message; 0 for what must not be forgotten."""
    match request.WhichOneof("message"):
        case "audio":
            return request.audio.turn
        case "motion":
            return request.motion.turn
        case "words":
            return request.words.turn
    return 0
