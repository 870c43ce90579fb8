"""What is counted and measured of all conversations together."""

from __future__ import annotations

from stagekit import attributes as a
from stagekit.metrics import meter, seconds
from stagekit.tracing import Span, Value
from stagewire.common.v1.session_event_pb2 import LatencyBreakdown


class ConversationMetrics:
    """One in a process."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._latency = seconds(
            "stagewire.turn.latency",
            "From the user's last speech to the first sound with motion.",
        )
        self._part = seconds("stagewire.turn.latency.part", "One part of it, by name.")
        self._turns = meter().create_counter("stagewire.turns", description="Turns, by their end.")
        self._notices = meter().create_counter(
            "stagewire.notices", description="What was wrong in sessions that went on, by reason."
        )

    def sounded(self, span: Span, latency: LatencyBreakdown) -> None:
        """A turn's breakdown: on its span, and into the histograms."""
        total = latency.total.ToNanoseconds() / 1e9
        told: dict[a.Attribute, Value] = {a.LATENCY_TOTAL: total}
        self._latency.record(total, context=span.otel)
        for part in latency.parts:
            took = part.duration.ToNanoseconds() / 1e9
            told[a.LATENCY_PART.of(part.name)] = took
            self._part.record(took, {a.LATENCY_PART: part.name}, context=span.otel)
        span.set(told)

    def ended(self, reason: str, speculative: bool) -> None:
        """A turn ended."""
        self._turns.add(1, {a.TURN_END_REASON: reason, a.TURN_SPECULATIVE: speculative})

    def noticed(self, reason: str) -> None:
        """Something was wrong, and the session goes on."""
        self._notices.add(1, {a.ERROR_TYPE: reason})
