"""The spans of the turns of one session-long stream, whose context comes in band."""

from __future__ import annotations

from stagewire.common.v1.error_pb2 import ErrorReason
from stagewire.common.v1.timing_pb2 import StageTiming
from stagewire.common.v1.trace_pb2 import TraceContext
from stagewire.common.v1.turn_pb2 import (
    TURN_END_REASON_DEADLINE,
    TURN_END_REASON_FAILED,
    TurnEndReason,
)

from stagekit import attributes as a
from stagekit.errors import reason_name
from stagekit.metrics import StageMetrics
from stagekit.tracing import SERVER, Attributes, Span

FAILED = (TURN_END_REASON_FAILED, TURN_END_REASON_DEADLINE)
"""Ends that are errors."""


class TurnSpans:
    """One span for each turn, ended once, whatever ends the turn.

    Args:
        session: The stream's span: what a turn without a context of its own hangs under.
        name: Of each turn's span.
        attributes: On each of them.
        metrics: The stage's.
    """

    def __init__(
        self, session: Span, name: str, attributes: Attributes, metrics: StageMetrics
    ) -> None:
        """No turn yet."""
        self._session, self._name, self._attributes = session, name, attributes
        self._metrics = metrics
        self._open: dict[int, Span] = {}
        self._parts: dict[int, dict[str, Span]] = {}
        self._problems: dict[int, str] = {}

    def start(self, turn: int, trace: TraceContext) -> Span:
        """A turn begins."""
        attributes = {**self._attributes, a.TURN: turn}
        span = self._session.child(self._name, attributes, SERVER, under=trace)
        self._open[turn], self._parts[turn] = span, {}
        return span

    def part(self, turn: int, name: str) -> None:
        """Part of an open turn begins, if it has not begun; it ends with the turn."""
        if turn in self._open and name not in self._parts[turn]:
            self._parts[turn][name] = self._open[turn].child(name)

    def fail(self, turn: int, reason: ErrorReason.ValueType) -> None:
        """Something of the turn failed, for a documented reason; the turn may go on."""
        if turn in self._open:
            self._problems[turn] = reason_name(reason)

    def end(self, turn: int, reason: TurnEndReason.ValueType, timing: StageTiming) -> None:
        """A turn ended; what ended before counts for nothing."""
        span = self._open.pop(turn, None)
        if span is not None:
            self._end_parts(turn)
            told = end_reason(reason)
            span.set({a.TURN_END_REASON: told})
            self._metrics.worked(span, timing)
            span.end(self._problems.pop(turn, told if reason in FAILED else ""))

    def close(self) -> None:
        """The stream is over: so are its turns."""
        for turn, span in self._open.items():
            self._end_parts(turn)
            span.set({a.TURN_END_REASON: "session_ended"})
            span.end()
        self._open.clear()

    def _end_parts(self, turn: int) -> None:
        for part in self._parts.pop(turn).values():
            part.end()


def end_reason(reason: TurnEndReason.ValueType) -> str:
    """A reason as attributes say it, such as ``completed``; ``unknown`` for a newer peer's."""
    known = reason in TurnEndReason.values()
    return (
        TurnEndReason.Name(reason).removeprefix("TURN_END_REASON_").lower() if known else "unknown"
    )
