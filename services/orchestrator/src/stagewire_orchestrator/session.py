"""One conversation's shell: owns its stages, feeds the machine, carries out its commands."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from stagekit import log
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.audio_pb2 import Audio
from stagewire.common.v1.session_event_pb2 import SessionEnded, SessionEvent
from stagewire.motion_bridge.v1 import motion_bridge_pb2

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.avatars import Avatar
from stagewire_orchestrator.conversation_metrics import ConversationMetrics
from stagewire_orchestrator.history import History
from stagewire_orchestrator.machine import Conversation
from stagewire_orchestrator.places import Place
from stagewire_orchestrator.policy import Policy
from stagewire_orchestrator.spans import SessionSpans
from stagewire_orchestrator.stages.asr import Asr
from stagewire_orchestrator.stages.channels import Channels
from stagewire_orchestrator.stages.context import Context, pcm
from stagewire_orchestrator.stages.egress import Egress
from stagewire_orchestrator.stages.llm import Warmer, generate
from stagewire_orchestrator.stages.motion_bridge import MotionBridge
from stagewire_orchestrator.stages.tts import Script, synthesize, voice_format
from stagewire_orchestrator.timeline.recording import Recording

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 15.0
_INBOX_LIMIT = 256
_EVENTS_KEPT = 1000
_ROOM_SECONDS = 0.25


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
        channels: Connections to the stages.
        policy: The conversation's numbers.
        microphone_hertz: The rate in which the microphone is wanted.
        place: Where the client is, and who publishes there.
        recording: Follows it, for its timeline.
        metrics: Of all sessions.
        caused_by: The caller's traceparent, if it sent one.
    """

    def __init__(
        self,
        session_id: str,
        avatar: Avatar,
        locale: str,
        channels: Channels,
        policy: Policy,
        microphone_hertz: int,
        place: Place,
        recording: Recording,
        metrics: ConversationMetrics,
        caused_by: str = "",
    ) -> None:
        """Connects nothing yet."""
        self.session_id = session_id
        self.locale = locale or avatar.language
        self.join_url = ""
        self._place = place
        self.end_reason = ""
        self._recording = recording
        self._loop = asyncio.get_running_loop()
        self._spans = SessionSpans(
            session_id,
            avatar.name,
            lambda stage: channels.target(avatar, stage),
            metrics,
            self._loop.time,
            caused_by,
        )
        self.trace_id = recording.trace_id = self._spans.session.trace_id
        self._context = Context(session_id, avatar, self.locale, self._spans, channels, self.post)
        self._microphone = pcm(microphone_hertz)
        self._inbox: asyncio.Queue[e.Event] = asyncio.Queue(_INBOX_LIMIT)
        self._machine = Conversation(
            History(avatar.persona), avatar.greeting, policy, self._loop.time()
        )
        self._progress = asyncio.Event()
        self._turn_calls: dict[int, _TurnCalls] = {}
        self._sequence = 0
        self._events: deque[SessionEvent] = deque(maxlen=_EVENTS_KEPT)
        self._events_news = asyncio.Event()

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
                with self._spans.session:
                    await self._connect()
                connected.set_result(None)
                logger.info("connected")
                await self._converse()
                raise _SessionOverError
        except* _SessionOverError:
            logger.info("ended: %s", self.end_reason)
        except* Exception as group:
            problem = _cause(group)
            self.end_reason = problem.message
            if not connected.done():
                connected.set_exception(problem)
        finally:
            self.end_reason = self.end_reason or "the orchestrator stopped"
            if not connected.done():
                connected.cancel()
            self._spans.close()
            self._publish(self._farewell())
            self._recording.end(self.end_reason, self._loop.time())

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

    async def events(self, after: int = 0) -> AsyncIterator[SessionEvent]:
        """Every kept event with a sequence greater than ``after``, then live, to the last."""
        seen = after
        while True:
            news = self._events_news
            for event in [event for event in self._events if event.sequence > seen]:
                seen = event.sequence
                yield event
            if self._events and self._events[-1].WhichOneof("event") == "session_ended":
                return
            await news.wait()

    async def _connect(self) -> None:
        run = self._tasks.create_task
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._asr = Asr(self._context, self._microphone)
                run(self._asr.link.run())
                self._voice = await voice_format(self._context, CONNECT_SECONDS)
                await self._asr.link.first_ready()
                self._motion = MotionBridge(self._context, self._voice, self._place.engine)
                run(self._motion.link.run())
                motion = await self._motion.connect()
                engine_plays = self._place.engine is not None
                self._egress = Egress(
                    self._context,
                    self._place.egress,
                    self._voice,
                    self._microphone,
                    motion_bridge_pb2.Ready() if engine_plays else motion,
                    self._hear,
                )
                self._egress_task = run(self._egress.link.run())
                self.join_url = (await self._egress.link.first_ready()).join_url
        except TimeoutError:
            raise StageError(
                error_pb2.ERROR_REASON_STAGE_UNREACHABLE,
                f"the stages were not connected within {CONNECT_SECONDS:g} s",
            ) from None
        self._warmer = Warmer(self._context)
        run(self._warmer.run())
        wait = motion.first_motion_wait.ToNanoseconds() / 1e9
        asked = wait if motion.HasField("first_motion_wait") else None
        hertz = self._voice.sample_rate_hertz
        await self.post(e.Started(hertz, True, motion_wait=asked, engine_plays=engine_plays))

    async def _converse(self) -> None:
        while not self.end_reason:
            try:
                async with asyncio.timeout_at(self._machine.deadline):
                    event = await self._inbox.get()
            except TimeoutError:
                event = e.Tick()
            now = self._loop.time()
            commands = self._machine.handle(event, now)
            self._spans.follow(event, commands)
            self._recording.note(event, commands, now)
            for command in commands:
                await self._carry_out(command)
            self._progress.set()
            self._progress = asyncio.Event()
            if self._machine.idle:
                for stage in (self._asr, self._motion, self._egress):
                    stage.link.leave_if_told()
        await self._egress.farewell(self._farewell(), self._egress_task)

    # --- commands ----------------------------------------------------------------------------

    async def _carry_out(self, command: c.Command) -> None:
        match command:
            case c.CommitUtterance():
                await self._asr.commit(command.utterance)
            case c.HintSpeaking():
                await self._asr.hint(command.speaking)
            case c.WarmLlm():
                self._warmer.want(command)
            case c.StartLlm() | c.StartTts() | c.FeedTts() | c.FinishTts() | c.CancelCalls():
                self._call(command)
            case (
                c.StartMotion()
                | c.MoveAudio()
                | c.MovePhonemes()
                | c.FinishMotion()
                | c.InterruptMotion()
            ):
                await self._motion.carry_out(command)
            case c.Announce():
                event = self._publish(self._stamp(command.event))
                await self._egress.announce(event)
                if event.WhichOneof("event") == "turn_summary":
                    self._turn_calls.pop(event.turn, None)
            case c.EndSession():
                self.end_reason = command.reason
            case _:
                await self._egress.carry_out(command)

    def _call(
        self, command: c.StartLlm | c.StartTts | c.FeedTts | c.FinishTts | c.CancelCalls
    ) -> None:
        turn = command.turn
        calls = self._turn_calls.setdefault(turn, _TurnCalls())
        match command:
            case c.StartLlm():
                self._warmer.forget()
                calls.tasks.append(self._tasks.create_task(generate(self._context, command)))
            case c.StartTts():
                speak = synthesize(
                    self._context, turn, self._voice, calls.script, self._room_for_audio
                )
                calls.tasks.append(self._tasks.create_task(speak))
            case c.FeedTts():
                calls.script.add(command.text)
            case c.FinishTts():
                calls.script.finish()
            case c.CancelCalls():
                for task in self._turn_calls.pop(turn).tasks:
                    task.cancel()

    async def _hear(self, audio: Audio) -> None:
        self._recording.hear(audio.data, self._loop.time())
        await self._asr.hear(audio)

    async def _room_for_audio(self, turn: int) -> None:
        while not self._machine.wants_audio(turn, self._loop.time()):
            with suppress(TimeoutError):  # where nothing is reported, time makes room
                async with asyncio.timeout(_ROOM_SECONDS):
                    await self._progress.wait()

    # --- telling -----------------------------------------------------------------------------

    def _farewell(self) -> SessionEvent:
        return self._stamp(SessionEvent(session_ended=SessionEnded(reason=self.end_reason)))

    def _stamp(self, event: SessionEvent) -> SessionEvent:
        stamped = SessionEvent(session_id=self.session_id, sequence=self._sequence + 1)
        stamped.MergeFrom(event)
        stamped.time.GetCurrentTime()
        return stamped

    def _publish(self, event: SessionEvent) -> SessionEvent:
        self._sequence = event.sequence
        self._events.append(event)
        self._events_news.set()
        self._events_news = asyncio.Event()
        return event


def _cause(group: BaseExceptionGroup[Exception]) -> StageError:
    """What ended the session; anything but a StageError is logged and not told."""
    problem: BaseException = group
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    if isinstance(problem, StageError):
        return problem
    logger.error("the session failed", exc_info=problem)
    return StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "the session failed; see the log")
