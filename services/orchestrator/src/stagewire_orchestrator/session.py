"""One conversation's shell: owns its gRPC streams, feeds the machine, carries out its commands."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from stagekit import log, trace
from stagekit.errors import StageError, from_rpc_error
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2, error_pb2, trace_pb2
from stagewire.common.v1.session_event_pb2 import SessionEnded, SessionEvent
from stagewire.egress.v1 import egress_pb2, egress_pb2_grpc
from stagewire.llm.v1 import llm_pb2, llm_pb2_grpc
from stagewire.motion_bridge.v1 import motion_bridge_pb2, motion_bridge_pb2_grpc
from stagewire.tts.v1 import tts_pb2, tts_pb2_grpc

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.avatars import Avatar
from stagewire_orchestrator.calls import Script, generate, synthesize
from stagewire_orchestrator.history import History, Message
from stagewire_orchestrator.links import Link
from stagewire_orchestrator.machine import Conversation
from stagewire_orchestrator.policy import Policy
from stagewire_orchestrator.stages import Stages

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 15.0
_WARM_SECONDS = 10.0
_FAREWELL_SECONDS = 0.5
_INBOX_LIMIT = 256
_EVENTS_KEPT = 1000
_MICROPHONE_MESSAGES_KEPT = 200  # about 10 s, for an asr that restarts

_ROLES = {
    "system": llm_pb2.ROLE_SYSTEM,
    "user": llm_pb2.ROLE_USER,
    "assistant": llm_pb2.ROLE_ASSISTANT,
}


@dataclass
class _TurnCalls:
    script: Script = field(default_factory=Script)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class _SessionOverError(Exception):
    """Ends the session's task group."""


class Session:
    """Runs from ``run``'s call to its return.

    Args:
        session_id: Its id.
        avatar: The profile.
        locale: BCP 47; empty for the avatar's own.
        stages: Where the stages are.
        policy: The conversation's numbers.
        microphone_hertz: The rate in which the microphone is wanted.
    """

    def __init__(
        self,
        session_id: str,
        avatar: Avatar,
        locale: str,
        stages: Stages,
        policy: Policy,
        microphone_hertz: int,
    ) -> None:
        """Connects nothing yet."""
        self.session_id = session_id
        self.locale = locale or avatar.language
        self.traceparent = trace.new_traceparent()
        self.join_token = secrets.token_urlsafe(32)
        self.join_url = ""
        self.end_reason = ""
        self._avatar = avatar
        self._stages = stages
        self._microphone = _pcm(microphone_hertz)
        self._voice = _pcm(0)
        self._metadata = (("traceparent", self.traceparent), ("x-session-id", session_id))
        self._trace = trace_pb2.TraceContext(traceparent=self.traceparent)
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[e.Event] = asyncio.Queue(_INBOX_LIMIT)
        self._machine = Conversation(
            History(avatar.persona), avatar.greeting, policy, self._loop.time()
        )
        self._progress = asyncio.Event()
        self._turn_calls: dict[int, _TurnCalls] = {}
        self._warm_wanted: c.WarmLlm | None = None
        self._warm_news = asyncio.Event()
        self._heard_until = (0.0, 0)  # when which microphone sample reached us
        self._sequence = 0
        self._events: deque[SessionEvent] = deque(maxlen=_EVENTS_KEPT)
        self._events_news = asyncio.Event()
        self._llm = llm_pb2_grpc.LlmServiceStub(stages.channel(avatar, "llm"))
        self._tts = tts_pb2_grpc.TtsServiceStub(stages.channel(avatar, "tts"))
        self._asr = self._asr_link()
        self._motion = self._motion_link()
        self._egress = self._egress_link()

    # --- its life ----------------------------------------------------------------------------

    async def run(self, connected: asyncio.Future[None]) -> None:
        """Connects the stages, says so, and converses until the session ends.

        Args:
            connected: Gets a result when the client can join, or the StageError that prevents it.
        """
        log.session_id.set(self.session_id)
        log.trace_id.set(self.trace_id)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._connect()
                connected.set_result(None)
                logger.info("connected")
                await self._converse()
                raise _SessionOverError
        except* _SessionOverError:
            logger.info("ended: %s", self.end_reason)
        except* Exception as group:
            self.end_reason = "the session failed"
            problem: BaseException = group
            while isinstance(problem, BaseExceptionGroup):
                problem = problem.exceptions[0]
            if not isinstance(problem, StageError):
                logger.exception("the session failed", exc_info=problem)
                problem = StageError(
                    error_pb2.ERROR_REASON_BACKEND_FAILED, "the session failed; see the log"
                )
            if not connected.done():
                connected.set_exception(problem)
        finally:
            self.end_reason = self.end_reason or "the orchestrator stopped"
            if not connected.done():
                connected.cancel()
            self._publish(SessionEvent(session_ended=SessionEnded(reason=self.end_reason)))

    @property
    def trace_id(self) -> str:
        """The session's trace id."""
        return trace.trace_id_of(self.traceparent)

    @property
    def turns(self) -> int:
        """Turns begun."""
        return self._machine.turns

    async def post(self, event: e.Event) -> None:
        """Tells the machine; waits while it has much to do."""
        await self._inbox.put(event)

    async def end(self, reason: str) -> None:
        """Ends the session."""
        self.end_reason = self.end_reason or reason
        await self._inbox.put(e.Tick())

    async def events(self) -> AsyncIterator[SessionEvent]:
        """Every event from the first kept, then live, to the last."""
        seen = 0
        while True:
            news = self._events_news
            for event in [event for event in self._events if event.sequence > seen]:
                seen = event.sequence
                yield event
                if event.WhichOneof("event") == "session_ended":
                    return
            await news.wait()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._tasks.create_task(self._asr.run())
                self._voice = await self._voice_format()
                await self._asr.first_ready()
                self._tasks.create_task(self._motion.run())
                self._motion_ready = await self._motion.first_ready()
                self._egress_task = self._tasks.create_task(self._egress.run())
                self.join_url = (await self._egress.first_ready()).join_url
        except TimeoutError:
            raise StageError(
                error_pb2.ERROR_REASON_STAGE_UNREACHABLE,
                f"the stages were not connected within {CONNECT_SECONDS:g} s",
            ) from None
        self._tasks.create_task(self._keep_warm())
        await self.post(e.Started(self._voice.sample_rate_hertz, motion=True))

    async def _voice_format(self) -> audio_pb2.AudioFormat:
        """Asks tts for the avatar's voice, which also shows that both are there."""
        call = self._tts.Synthesize(metadata=self._metadata, timeout=CONNECT_SECONDS)
        try:
            opening = tts_pb2.Open(
                session_id=self.session_id, voice=self._avatar.voice, language=self.locale
            )
            await call.write(tts_pb2.SynthesizeRequest(open=opening))
            first = await call.read()
        except grpc.aio.AioRpcError as error:
            problem = from_rpc_error(error)
            raise StageError(problem.reason, f"tts: {problem.message}", code=problem.code) from None
        finally:
            call.cancel()
        if not isinstance(first, tts_pb2.SynthesizeResponse):
            raise StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "tts: no `ready`")
        return first.ready.format

    async def _converse(self) -> None:
        while not self.end_reason:
            try:
                async with asyncio.timeout_at(self._machine.deadline):
                    event = await self._inbox.get()
            except TimeoutError:
                event = e.Tick()
            for command in self._machine.handle(event, self._loop.time()):
                await self._carry_out(command)
            self._progress.set()
            self._progress = asyncio.Event()
            if self._machine.idle:
                for link in (self._asr, self._motion, self._egress):
                    link.leave_if_told()
        ended = SessionEvent(session_ended=SessionEnded(reason=self.end_reason))
        await self._egress.send(egress_pb2.DeliverRequest(event=self._stamp(ended)))
        await self._egress.finish()
        await asyncio.wait([self._egress_task], timeout=_FAREWELL_SECONDS)

    # --- commands ----------------------------------------------------------------------------

    async def _carry_out(self, command: c.Command) -> None:
        match command:
            case c.CommitUtterance():
                commit = asr_pb2.Commit(utterance=command.utterance)
                await self._asr.send_control(asr_pb2.TranscribeRequest(commit=commit))
            case c.HintSpeaking():
                hint = asr_pb2.Hint(avatar_speaking=command.speaking)
                await self._asr.send_control(asr_pb2.TranscribeRequest(hint=hint))
            case c.WarmLlm():
                self._warm_wanted = command
                self._warm_news.set()
            case c.StartLlm() | c.StartTts() | c.FeedTts() | c.FinishTts() | c.CancelCalls():
                self._call(command)
            case c.Announce():
                event = self._publish(command.event)
                await self._egress.send_control(egress_pb2.DeliverRequest(event=event))
                if event.WhichOneof("event") == "turn_summary":
                    self._turn_calls.pop(event.turn, None)
            case c.EndSession():
                self.end_reason = command.reason
            case (
                c.StartMotion()
                | c.MoveAudio()
                | c.MovePhonemes()
                | c.FinishMotion()
                | c.InterruptMotion()
            ):
                await self._animate(command)
            case _:
                await self._deliver(command)

    def _call(
        self, command: c.StartLlm | c.StartTts | c.FeedTts | c.FinishTts | c.CancelCalls
    ) -> None:
        turn = command.turn
        calls = self._turn_calls.setdefault(turn, _TurnCalls())
        match command:
            case c.StartLlm():
                self._warm_wanted = None
                opening = llm_pb2.Open(
                    session_id=self.session_id,
                    turn=turn,
                    messages=_messages(command.messages),
                    max_output_tokens=self._avatar.max_output_tokens,
                    temperature=self._avatar.temperature,
                    trace=self._trace,
                )
                run = generate(self._llm.Generate, opening, self._metadata, self.post)
                calls.tasks.append(self._tasks.create_task(run))
            case c.StartTts():
                calls.tasks.append(self._tasks.create_task(self._speak(turn, calls.script)))
            case c.FeedTts():
                calls.script.add(command.text)
            case c.FinishTts():
                calls.script.finish()
            case c.CancelCalls():
                for task in self._turn_calls.pop(turn).tasks:
                    task.cancel()

    async def _speak(self, turn: int, script: Script) -> None:
        opening = tts_pb2.Open(
            session_id=self.session_id,
            turn=turn,
            voice=self._avatar.voice,
            language=self.locale,
            format=self._voice,
            wants_words=True,
            wants_phonemes=True,
            speaking_rate_percent=self._avatar.speaking_rate_percent,
            trace=self._trace,
        )

        async def room_for_audio() -> None:
            while not self._machine.wants_audio(turn):
                await self._progress.wait()

        await synthesize(
            self._tts.Synthesize, opening, script, self._metadata, self.post, room_for_audio
        )

    async def _animate(
        self,
        command: c.StartMotion | c.MoveAudio | c.MovePhonemes | c.FinishMotion | c.InterruptMotion,
    ) -> None:
        turn, pb, request = command.turn, motion_bridge_pb2, motion_bridge_pb2.AnimateRequest()
        match command:
            case c.StartMotion():
                request.turn_start.CopyFrom(pb.TurnStart(turn=turn, trace=self._trace))
            case c.MoveAudio():
                audio = audio_pb2.Audio(data=command.data, start_sample=command.start_sample)
                request.audio.CopyFrom(pb.TurnAudio(turn=turn, audio=audio))
            case c.MovePhonemes():
                request.phonemes.turn = turn
                request.phonemes.alphabet = command.alphabet  # type: ignore[assignment]  # passed on as it came, also a value that is new here
                request.phonemes.phonemes.extend(command.phonemes)
            case c.FinishMotion():
                request.end_of_audio.turn = turn
            case c.InterruptMotion():
                request.interrupt.turn = turn
                await self._motion.discard(lambda waiting: _media_of(waiting) == turn)
        await self._motion.send(request)

    async def _deliver(
        self,
        command: c.StartPlaying
        | c.PlayAudio
        | c.PlayMotion
        | c.PlayWords
        | c.FinishPlaying
        | c.InterruptPlaying,
    ) -> None:
        turn, pb, request = command.turn, egress_pb2, egress_pb2.DeliverRequest()
        match command:
            case c.StartPlaying():
                request.turn_start.CopyFrom(pb.TurnStart(turn=turn, trace=self._trace))
            case c.PlayAudio():
                audio = audio_pb2.Audio(data=command.data, start_sample=command.start_sample)
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
                await self._egress.discard(lambda waiting: _media_of(waiting) == turn)
        await self._egress.send(request)

    async def _keep_warm(self) -> None:
        """Prefills the newest wanted prefix, one at a time; older wishes are forgotten."""
        while True:
            await self._warm_news.wait()
            self._warm_news.clear()
            wanted, self._warm_wanted = self._warm_wanted, None
            if wanted is None:
                continue
            request = llm_pb2.WarmRequest(
                session_id=self.session_id,
                messages=_messages(wanted.messages),
                last_message_open=wanted.open_ended,
                trace=self._trace,
            )
            try:
                await self._llm.Warm(request, metadata=self._metadata, timeout=_WARM_SECONDS)
            except grpc.aio.AioRpcError as error:
                logger.debug("llm did not warm: %s", error.code())

    # --- stages ------------------------------------------------------------------------------

    def _asr_link(self) -> Link[asr_pb2.TranscribeRequest]:
        def opening() -> asr_pb2.TranscribeRequest:
            return asr_pb2.TranscribeRequest(
                open=asr_pb2.Open(
                    session_id=self.session_id,
                    format=self._microphone,
                    language=self.locale,
                    phrases=self._avatar.phrases,
                    wants_partials=True,
                    trace=self._trace,
                )
            )

        async def lost(problem: StageError) -> None:
            await self.post(e.AsrLost())
            await self._notice(problem)

        async def back(ready: asr_pb2.Ready) -> None:
            logger.info("asr is back")

        stub = asr_pb2_grpc.AsrServiceStub(self._stages.channel(self._avatar, "asr"))
        return Link(
            "asr",
            stub.Transcribe,
            opening,
            self._metadata,
            on_message=self._from_asr,
            on_lost=lost,
            on_back=back,
            keep=_MICROPHONE_MESSAGES_KEPT,
        )

    async def _from_asr(self, arm: str, message: Any) -> None:
        match arm:
            case "speech_started":
                await self.post(e.SpeechStarted(message.utterance))
            case "partial":
                first = message.from_utterance or message.utterance
                await self.post(
                    e.Partial(message.utterance, first, message.text, message.stable_characters)
                )
            case "speech_stopped":
                at, sample = self._heard_until
                behind = (sample - message.sample) / self._microphone.sample_rate_hertz
                await self.post(e.SpeechStopped(message.utterance, at - max(0.0, behind)))
            case "end_of_turn":
                await self.post(e.EndOfTurn(message.utterance, message.probability))
            case "final":
                first = message.from_utterance or message.utterance
                await self.post(e.Final(message.utterance, first, message.text))
            case "fault":
                await self.post(e.Noticed(message))

    def _motion_link(self) -> Link[motion_bridge_pb2.AnimateRequest]:
        def opening() -> motion_bridge_pb2.AnimateRequest:
            return motion_bridge_pb2.AnimateRequest(
                open=motion_bridge_pb2.Open(
                    session_id=self.session_id,
                    avatar_id=self._avatar.name,
                    format=self._voice,
                    return_frames=motion_bridge_pb2.ReturnFrames(),
                    trace=self._trace,
                )
            )

        async def lost(problem: StageError) -> None:
            await self.post(e.MotionLost())
            await self._notice(problem)

        async def back(ready: motion_bridge_pb2.Ready) -> None:
            # Egress has told the client which codec comes: another one cannot be shown.
            if ready.codec == self._motion_ready.codec:
                await self.post(e.MotionBack())

        stub = motion_bridge_pb2_grpc.MotionBridgeServiceStub(
            self._stages.channel(self._avatar, "motion_bridge")
        )
        return Link(
            "motion_bridge",
            stub.Animate,
            opening,
            self._metadata,
            on_message=self._from_motion,
            on_lost=lost,
            on_back=back,
        )

    async def _from_motion(self, arm: str, message: Any) -> None:
        match arm:
            case "motion":
                span = (message.start_sample, message.end_sample)
                await self.post(e.MotionFrames(message.turn, message.payload, *span))
            case "turn_ended":
                await self.post(e.MotionEnded(message.turn))
            case "degraded":
                await self.post(e.MotionEnded(message.turn))
                problem = StageError(message.reason, f"motion_bridge: {message.message}")
                await self.post(e.Noticed(problem.to_fault(message.turn)))
            case "fault":
                await self.post(e.Noticed(message))

    def _egress_link(self) -> Link[egress_pb2.DeliverRequest]:
        def opening() -> egress_pb2.DeliverRequest:
            return egress_pb2.DeliverRequest(
                open=egress_pb2.Open(
                    session_id=self.session_id,
                    web_socket=egress_pb2.WebSocketTarget(join_token=self.join_token),
                    voice_format=self._voice,
                    motion_codec=self._motion_ready.codec,
                    motion_frame_rate=self._motion_ready.frame_rate,
                    microphone_format=self._microphone,
                    trace=self._trace,
                )
            )

        async def lost(problem: StageError) -> None:
            await self.post(e.EgressLost())
            await self.post(e.ClientLeft())
            await self._notice(problem)

        async def back(ready: egress_pb2.Ready) -> None:
            await self.post(e.EgressBack())

        stub = egress_pb2_grpc.EgressServiceStub(self._stages.channel(self._avatar, "egress"))
        return Link(
            "egress",
            stub.Deliver,
            opening,
            self._metadata,
            on_message=self._from_egress,
            on_lost=lost,
            on_back=back,
        )

    async def _from_egress(self, arm: str, message: Any) -> None:
        match arm:
            case "user_audio":
                end = message.start_sample + len(message.data) // 2
                self._heard_until = (self._loop.time(), end)
                await self._asr.send(asr_pb2.TranscribeRequest(audio=message))
            case "playback":
                await self.post(e.Played(message.turn, message.played_samples))
            case "turn_ended":
                await self.post(e.EgressEnded(message.turn, message.reason, message.played_samples))
            case "user_text":
                await self.post(e.UserText(message.text))
            case "user_interrupt":
                await self.post(e.UserInterrupt())
            case "participant":
                left = message.change == egress_pb2.Participant.CHANGE_LEFT
                await self.post(e.ClientLeft() if left else e.ClientJoined())
            case "fault":
                await self.post(e.Noticed(message))

    # --- telling -----------------------------------------------------------------------------

    async def _notice(self, problem: StageError) -> None:
        if problem.reason != error_pb2.ERROR_REASON_DRAINING:
            await self.post(e.Noticed(problem.to_fault()))

    def _stamp(self, event: SessionEvent) -> SessionEvent:
        stamped = SessionEvent(session_id=self.session_id, sequence=self._sequence + 1)
        stamped.MergeFrom(event)
        stamped.time.GetCurrentTime()
        return stamped

    def _publish(self, event: SessionEvent) -> SessionEvent:
        event = self._stamp(event)
        self._sequence = event.sequence
        self._events.append(event)
        self._events_news.set()
        self._events_news = asyncio.Event()
        return event


def _pcm(hertz: int) -> audio_pb2.AudioFormat:
    return audio_pb2.AudioFormat(
        encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=hertz
    )


def _messages(messages: tuple[Message, ...]) -> list[llm_pb2.Message]:
    return [llm_pb2.Message(role=_ROLES[m.role], text=m.text) for m in messages]


def _media_of(request: Any) -> int:
    """The turn of a queued media message; 0 for anything that must not be forgotten."""
    arm = request.WhichOneof("message")
    return getattr(request, arm).turn if arm in ("audio", "motion", "words", "phonemes") else 0
