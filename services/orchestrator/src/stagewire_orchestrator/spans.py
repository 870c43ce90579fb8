"""A session's spans, derived from what goes into the machine and what comes out of it.

The machine knows nothing of this. The shell shows each event with its commands to ``follow``
before it carries them out; here turns begin and end with them, and the calls to the stages get
their parents. docs/tracing.md draws the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stagekit import attributes as a
from stagekit import tracing
from stagekit.errors import reason_name
from stagekit.tracing import CLIENT, Span
from stagekit.turn_spans import FAILED, end_reason
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent, TurnSummary
from stagewire.common.v1.trace_pb2 import TraceContext

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.conversation_metrics import ConversationMetrics

METHODS = {
    "asr": "stagewire.asr.v1.AsrService/Transcribe",
    "llm": "stagewire.llm.v1.LlmService/Generate",
    "tts": "stagewire.tts.v1.TtsService/Synthesize",
    "motion_bridge": "stagewire.motion_bridge.v1.MotionBridgeService/Animate",
    "egress": "stagewire.egress.v1.EgressService/Deliver",
}


@dataclass
class _Turn:
    """An open turn: its span, the stages' calls under it, and what was wrong with it."""

    span: Span
    speculative: bool
    stages: dict[str, Span] = field(default_factory=dict)
    problem: str = ""


class SessionSpans:
    """The trace of one session.

    Args:
        session_id: The session.
        avatar: Its name.
        target: Where a stage is, host:port.
        metrics: Of all sessions.
        clock: Monotonic seconds, those of the machine.
        caused_by: The caller's traceparent, or nothing; becomes a link.
    """

    def __init__(
        self,
        session_id: str,
        avatar: str,
        target: Callable[[str], str],
        metrics: ConversationMetrics,
        clock: Callable[[], float],
        caused_by: str = "",
    ) -> None:
        """The session begins."""
        self._target, self._metrics, self._clock = target, metrics, clock
        self.session = tracing.root("session", session_id, {a.AVATAR: avatar}, caused_by)
        self._turns: dict[int, _Turn] = {}
        self._newest = 0
        self._silent_since: float | None = None
        self._worded_at: float | None = None
        self._said = ""

    # --- calls to the stages -------------------------------------------------------------------

    def call(self, stage: str, what: str, turn: int = 0, attempt: int = 0) -> Span:
        """A call to a stage: for a turn, or (0) for the session."""
        under = self._turns.get(turn)
        attributes = self._about(stage)
        if turn:
            attributes[a.TURN] = turn
        if attempt:
            attributes[a.ATTEMPT] = attempt
        parent = under.span if under is not None else self.session
        return parent.child(f"{stage} {what}", attributes, CLIENT)

    def context(self, turn: int, stage: str) -> TraceContext:
        """What a stage with a session-long stream is told with the start of a turn."""
        known = self._turns.get(turn)
        span = known.stages.get(stage) if known is not None else None
        return (span or self.session).context

    @property
    def asr_context(self) -> TraceContext:
        """What asr is told with a commit: the newest turn is what the words led to."""
        return self.context(self._newest, "asr")

    # --- the session's life --------------------------------------------------------------------

    def follow(self, event: e.Event, commands: Sequence[c.Command]) -> None:
        """Begins and ends what this event and its commands begin and end."""
        self._see(event)
        for command in commands:
            match command:
                case c.StartLlm():
                    self._begin(command.turn, command.speculative)
                case c.StartTts():
                    self._begin(command.turn, speculative=False)
                case c.StartMotion():
                    self._begin_stage(command.turn, "motion_bridge", "animate")
                case c.StartPlaying():
                    self._begin_stage(command.turn, "egress", "deliver")
                case c.Announce():
                    self._announced(command.event)

    def close(self) -> None:
        """The session is over, and what is still open with it."""
        for turn in list(self._turns):
            self._end(turn, "session_ended", "")
        self.session.end()

    def _see(self, event: e.Event) -> None:
        match event:
            case e.SpeechStarted() | e.UserText() | e.AsrLost():
                self._silent_since = self._worded_at = None
            case e.SpeechStopped():
                self._silent_since = event.spoken_at
            case e.Final():
                self._worded_at, self._said = self._clock(), event.text
            case e.MotionEnded():
                self._end_stage(event.turn, "motion_bridge")
            case e.EgressEnded():
                self._end_stage(event.turn, "egress")
            case e.MotionLost():
                self._lost("motion_bridge")
            case e.EgressLost():
                self._lost("egress")

    def _begin(self, number: int, speculative: bool) -> None:
        if number <= self._newest:
            return
        self._newest = number
        about: tracing.Attributes = {a.TURN: number, a.TURN_SPECULATIVE: speculative}
        since = self._silent_since
        # The user has waited since the last sound of speech, and so does the span.
        ago = max(0.0, self._clock() - since) if since is not None else 0.0
        turn = _Turn(self.session.child("turn", about, ago=ago), speculative)
        self._turns[number] = turn
        if since is not None and self._worded_at is not None:
            worded = max(0.0, self._clock() - self._worded_at)
            asr = turn.span.child("asr utterance", self._about("asr"), CLIENT, ago=ago)
            asr.content(a.CONTENT_USER, self._said)
            asr.end(ago=worded)
            turn.stages["asr"] = asr

    def _begin_stage(self, number: int, stage: str, what: str) -> None:
        turn = self._turns.get(number)
        if turn is not None and stage not in turn.stages:
            turn.stages[stage] = self.call(stage, what, number)

    def _end_stage(self, number: int, stage: str, problem: str = "") -> None:
        turn = self._turns.get(number)
        if turn is not None and stage in turn.stages:
            turn.stages[stage].end(problem)

    def _lost(self, stage: str) -> None:
        problem = reason_name(error_pb2.ERROR_REASON_STAGE_UNREACHABLE)
        for number in self._turns:
            self._end_stage(number, stage, problem)

    def _announced(self, event: SessionEvent) -> None:
        turn = self._turns.get(event.turn)
        match event.WhichOneof("event"):
            case "latency" if turn is not None:
                self._metrics.sounded(turn.span, event.latency)
            case "notice":
                reason = reason_name(event.notice.reason)
                self._metrics.noticed(reason)
                if turn is not None:
                    turn.problem = reason
            case "turn_summary":
                self._summed_up(event.turn, event.turn_summary)

    def _summed_up(self, number: int, summary: TurnSummary) -> None:
        turn = self._turns.get(number)
        if turn is None:
            return
        turn.span.set(
            {
                a.TURN_PLAYED: summary.played_milliseconds / 1000,
                a.TURN_HEARD: summary.heard_characters,
                a.TURN_CHARACTERS: len(summary.text),
            }
        )
        turn.span.content(a.CONTENT_AVATAR, summary.text)
        reason = end_reason(summary.reason)
        self._end(number, reason, (turn.problem or reason) if summary.reason in FAILED else "")

    def _end(self, number: int, reason: str, problem: str) -> None:
        turn = self._turns.pop(number)
        for stage in turn.stages.values():
            stage.end()
        turn.span.set({a.TURN_END_REASON: reason})
        turn.span.end(problem)
        self._metrics.ended(reason, turn.speculative)

    def _about(self, stage: str) -> dict[a.Attribute, tracing.Value]:
        return {
            a.STAGE: stage,
            a.RPC_SYSTEM: "grpc",
            a.RPC_METHOD: METHODS[stage],
            **tracing.target(self._target(stage)),
        }
