"""A session's trace across the proxy."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.behind_envoy import Behind, answered, until
from support.otlp_sink import OtlpSink, attributes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_stage_s_parent_is_envoy_s_span_in_the_session_s_trace(
    behind: Behind, sink: OtlpSink
) -> None:
    async with behind.client() as (session, client):
        await answered(client)
        for stage in ("llm", "tts"):
            instance, _ = behind.serving(stage, session.session_id)
            called = instance.lines("traceparent", session.session_id)[-1]
            _, trace_id, parent_id, flags = called["traceparent"].split("-")
            assert (trace_id, flags) == (session.trace_id, "01")

            def is_parent(span: Span, parent_id: str = parent_id) -> bool:
                return span.span_id.hex() == parent_id

            (span,) = await until(lambda is_parent=is_parent: sink.find(is_parent))
            assert span.trace_id.hex() == session.trace_id
            assert span.kind == Span.SPAN_KIND_CLIENT
            (server,) = await until(
                lambda span=span: sink.find(lambda other: other.span_id == span.parent_span_id)
            )
            assert attributes(server)["session.id"] == session.session_id
            assert ("stagewire-envoy", server) in sink.spans


async def test_streams_for_the_session_are_in_its_trace_too(behind: Behind, sink: OtlpSink) -> None:
    async with behind.client() as (session, _):
        pass

    def of_this_session() -> set[str]:
        spans = sink.find(lambda span: span.trace_id.hex() == session.trace_id)
        return {attributes(span).get("http.url", "").rpartition("/")[2] for span in spans}

    await until(lambda: {"Transcribe", "Animate", "Deliver"} <= of_this_session())


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
