"""One session is one trace: its tree, made by six processes."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest
from stagekit.attributes import REGISTRY
from stagewire_cli.client import Voice
from stagewire_cli.conversation import Conversation, Question
from support.otlp import Trace
from support.stack import typed
from tracing.conftest import HEARD, SECRET, Traced, noise

# Motion_bridge is the default one, with its model.
pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]

STAGES = ("asr", "llm", "tts", "motion_bridge", "egress")
TURN, REASON = "stagewire.turn.number", "stagewire.turn.end_reason"


async def converse(
    traced: Traced, *questions: Question, turns: int, interrupt_after: float | None = None
) -> Trace:
    """The whole trace of a session with so many turns."""
    async with traced.stack.client() as (session, client):
        await Conversation(client, print, answer_seconds=8).run(questions, interrupt_after)

    def complete() -> bool:
        found = traced.sink.of(session.trace_id)
        return len(found.named("turn")) == turns and not found.orphans()

    await asyncio.to_thread(traced.sink.wait, complete)
    await asyncio.sleep(0.5)  # what else may be on its way, and should not be
    trace = traced.sink.of(session.trace_id)
    print(trace.drawn())
    (root,) = trace.roots()
    assert (root.service, root.name) == ("orchestrator", "session")
    assert not trace.orphans()
    assert all(span.attributes["session.id"] == session.session_id for span in trace.spans)
    return trace


async def test_every_stage_hangs_under_the_callers_span_of_its_turn(traced: Traced) -> None:
    trace = await converse(traced, typed("one two three"), noise(), turns=2)
    (root,) = trace.roots()
    assert {span.name for span in trace.children(root)} == {
        *("asr open", "tts open", "motion_bridge open", "egress open", "turn")
    }
    assert trace.edges() == {("orchestrator", stage) for stage in STAGES}
    for number, stages in ((1, STAGES[1:]), (2, STAGES)):
        calls = trace.children(trace.turn(number))
        assert sorted(call.attributes["stagewire.stage"] for call in calls) == sorted(stages)
        for call in calls:
            assert call.kind == "CLIENT"
            (answer,) = trace.children(call)
            assert answer.kind == "SERVER"
            assert answer.service == call.attributes["stagewire.stage"]
            assert answer.name == call.name
            assert trace.children(answer), "and under it what the stage does"
        assert trace.turn(number).attributes[REASON] == "completed"
        assert not any(span.failed for span in trace.spans)


async def test_a_turn_carries_its_breakdown(traced: Traced) -> None:
    trace = await converse(traced, noise(), turns=1)
    about = trace.turn(1).attributes
    parts = [value for key, value in about.items() if key.startswith("stagewire.latency.part.")]
    assert sum(parts) == pytest.approx(about["stagewire.latency.total"], abs=0.001)
    assert about["stagewire.turn.speculative"]
    waited = trace.named("egress deliver", "egress")[0].start - trace.turn(1).start
    assert waited == pytest.approx(about["stagewire.latency.total"], abs=0.1), "from last speech"


async def test_an_interrupted_turn_says_so_in_every_stage(traced: Traced) -> None:
    trace = await converse(
        traced, typed("forever"), typed("never mind"), turns=2, interrupt_after=0.4
    )
    cut = trace.turn(1)
    assert cut.attributes[REASON] == "interrupted"
    assert 0 < cut.attributes["stagewire.turn.played"] < 60
    (call,) = trace.children(cut, "tts synthesize")
    for span in (call, *trace.children(call)):
        assert span.attributes["stagewire.outcome"] == "cancelled", span
    for stage in ("motion_bridge animate", "egress deliver"):
        (span,) = [s for s in trace.named(stage, stage.split()[0]) if s.attributes[TURN] == 1]
        assert span.attributes[REASON] == "interrupted"
    assert trace.turn(2).attributes[REASON] == "completed"
    assert not any(span.failed for span in trace.spans)


@pytest.mark.slow
async def test_a_voice_that_is_made_much_faster_than_it_sounds_is_heard_to_its_end(
    traced: Traced,
) -> None:
    # Its last 10 s lie at egress when it is complete.
    trace = await converse(traced, typed(" ".join(["again"] * 80)), turns=1)
    assert trace.turn(1).attributes[REASON] == "completed"
    assert trace.turn(1).attributes["stagewire.turn.played"] == pytest.approx(16)
    (spoken,) = trace.named("tts synthesize", "orchestrator")
    assert 5 < spoken.end - spoken.start < 10, "it was read as it was played"


async def test_an_answer_that_was_not_needed_is_superseded(traced: Traced) -> None:
    trace = await converse(traced, noise(0.4), turns=2)
    assert trace.turn(1).attributes[REASON] == "superseded"
    assert trace.turn(2).attributes[REASON] == "completed"
    heard = trace.named("asr utterance", "asr")
    assert [trace.parent(span) for span in heard] == 2 * trace.children(
        trace.turn(2), "asr utterance"
    ), "both utterances led to the second answer"


async def test_a_failed_turn_and_its_call_are_errors(traced: Traced) -> None:
    trace = await converse(traced, typed("explode"), turns=1)
    failed = trace.turn(1)
    assert failed.failed
    assert failed.attributes[REASON] == "failed"
    assert failed.attributes["error.type"] == "CONTEXT_TOO_LONG"
    for span in trace.named("llm generate"):
        assert span.failed
        assert span.attributes["error.type"] == "CONTEXT_TOO_LONG"


async def test_a_second_try_is_a_second_span(traced: Traced) -> None:
    trace = await converse(traced, typed("stumble"), turns=1)
    calls = trace.children(trace.turn(1), "llm generate")
    assert [call.attributes["stagewire.attempt"] for call in calls] == [1, 2]
    assert [call.failed for call in calls] == [True, False]
    assert not trace.turn(1).failed


async def test_a_session_that_ends_in_mid_turn_leaves_no_span_open(traced: Traced) -> None:
    async with (
        httpx.AsyncClient(base_url=traced.stack.url, trust_env=False) as http,
        traced.stack.client() as (session, client),
    ):
        await client.type_text("forever")
        ended = False
        async for message in client:  # to the end: the server closes
            if isinstance(message, Voice) and not ended:
                ended = (await http.delete(f"/v1/sessions/{session.session_id}")).is_success

    def told() -> bool:
        trace = traced.sink.of(session.trace_id)
        deliveries = trace.named("egress deliver", "egress")
        return bool(trace.named("turn") and deliveries and not trace.orphans())

    await asyncio.to_thread(traced.sink.wait, told)
    trace = traced.sink.of(session.trace_id)
    assert trace.turn(1).attributes[REASON] == "session_ended"
    for span in trace.named("llm generate", "llm"):
        assert span.attributes["stagewire.outcome"] == "cancelled", span


async def test_a_callers_own_trace_is_linked_and_decides_nothing(traced: Traced) -> None:
    theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with httpx.AsyncClient(base_url=traced.stack.url, trust_env=False) as http:
        for header, links in (
            (f"00-{theirs}-00f067aa0ba902b7-00", (theirs,)),
            (f"00-{theirs}-00f067aa0ba902b7-0", ()),
        ):
            answer = await http.post("/v1/sessions", json={}, headers={"traceparent": header})
            created = answer.json()["session"]
            await http.delete(f"/v1/sessions/{created['session_id']}")
            assert created["trace_id"] != theirs
            ours = partial(traced.sink.of, created["trace_id"])
            await asyncio.to_thread(traced.sink.wait, lambda found=ours: bool(found().roots()))
            (root,) = ours().roots()
            assert root.links == links
            assert not traced.sink.of(theirs).spans


async def test_only_registered_attributes_are_set(traced: Traced) -> None:
    whole = {str(key) for key in REGISTRY if not key.template}
    begun = tuple(f"{key}." for key in REGISTRY if key.template)
    await converse(traced, typed("one"), noise(), turns=2)
    for span in traced.sink.spans():
        for key in span.attributes:
            assert key in whole or key.startswith(begun), (span.name, key)


async def test_no_words_and_no_secrets_are_exported(traced: Traced) -> None:
    async with traced.stack.client() as (session, client):
        await Conversation(client, print).run([typed("xylophone forty-seven"), noise()], None)
    await asyncio.to_thread(
        traced.sink.wait, lambda: len(traced.sink.of(session.trace_id).named("turn")) == 2
    )
    everything = b"".join(traced.sink.raw)
    assert session.session_id.encode() in everything
    for secret in (SECRET, session.client_token, "xylophone", *HEARD.split()[1:]):
        assert secret.encode() not in everything, secret
