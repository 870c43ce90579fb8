"""A session's trace across the proxy, with stages that make no spans of their own."""

from __future__ import annotations

import asyncio

import pytest
from support.behind_envoy import Behind, answered, until
from support.otlp import Sink, Span

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_stage_s_parent_is_envoy_s_span_in_the_session_s_trace(
    behind: Behind, collector: Sink
) -> None:
    async with behind.client() as (session, client):
        await answered(client)
        for stage in ("llm", "tts"):
            instance, _ = behind.serving(stage, session.session_id)
            called = instance.lines("traceparent", session.session_id)[-1]
            _, trace_id, parent_id, flags = called["traceparent"].split("-")
            assert (trace_id, flags) == (session.trace_id, "01")

            def found(parent_id: str = parent_id) -> list[Span]:
                return [span for span in collector.spans() if span.span_id == parent_id]

            await asyncio.to_thread(collector.wait, found)
            (span,) = found()
            assert (span.service, span.trace_id) == ("stagewire-envoy", session.trace_id)
            assert (span.kind, span.attributes["session.id"]) == ("CLIENT", session.session_id)
            await asyncio.to_thread(
                collector.wait, lambda span=span: collector.of(session.trace_id).parent(span)
            )


async def test_the_access_log_names_session_and_trace_and_no_secret(behind: Behind) -> None:
    async with behind.client() as (session, client):
        await answered(client, "a word that is nobody's business")
    lines = await until(
        lambda: [x for x in behind.access_log() if x["session_id"] == session.session_id]
    )
    assert all(session.trace_id in line["traceparent"] for line in lines)
    text = (behind.folder / "logs" / "envoy.log").read_text()
    assert session.client_token not in text
    assert "business" not in text
    assert "?" not in "".join(line["path"] for line in behind.access_log())


async def test_a_turn_that_was_spoken_is_two_calls_that_went_well(behind: Behind) -> None:
    def ended(method: str) -> list[str]:
        return [
            line["grpc_status"]
            for line in behind.access_log()
            if line["session_id"] == session.session_id and line["path"].endswith(method)
        ]

    for instance in behind.stages["llm"] + behind.stages["tts"]:
        instance.misbehave("end-late")
    async with behind.client() as (session, client):
        await answered(client)
        await until(lambda: ended("/Generate"))
        await until(lambda: len(ended("/Synthesize")) == 3)
    assert ended("/Generate") == ["OK"]
    # Before the answer: the question which voice there is, and the greeting.
    assert ended("/Synthesize") == ["OK"] * 3
