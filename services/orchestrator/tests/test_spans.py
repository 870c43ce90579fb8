"""The spans of a session from events and commands; what they look like, tests/tracing sees."""

from __future__ import annotations

from stagewire.common.v1 import error_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent
from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.conversation_metrics import ConversationMetrics
from stagewire_orchestrator.spans import SessionSpans


def spans() -> SessionSpans:
    return SessionSpans("s", "Echo", lambda _: "127.0.0.1:1", ConversationMetrics(), lambda: 1.0)


def test_a_vendors_reason_that_is_not_known_here_ends_nothing() -> None:
    session = spans()
    fault = error_pb2.Fault(reason=999)  # as a newer peer sends it
    session.follow(e.Noticed(fault), [c.Announce(SessionEvent(turn=1, notice=fault))])
    session.close()


def test_without_an_sdk_every_call_carries_the_sessions_trace() -> None:
    session = spans()
    session.follow(e.UserText("hello"), [c.StartLlm(1, ()), c.StartTts(1), c.StartPlaying(1)])
    told = [
        session.call("llm", "generate", 1, 1).context.traceparent,
        session.context(1, "egress").traceparent,
        session.context(7, "egress").traceparent,
        session.asr_context.traceparent,
        dict(session.session.metadata)["traceparent"],
    ]
    assert all(traceparent.split("-")[1] == session.session.trace_id for traceparent in told)
    assert dict(session.session.metadata)["x-session-id"] == "s"
