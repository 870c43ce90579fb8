"""What six processes measure of a conversation: fetched by Prometheus, exported by OTLP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from stagewire_cli.conversation import Conversation
from stagewire_cli.stack import STAGES
from support.stack import typed
from tracing.conftest import Traced, noise

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]


async def fetch(traced: Traced, stage: str) -> dict[str, list[Any]]:
    """A service's /metrics, as Prometheus asks for it."""
    port = getattr(traced.stack.ports, f"{stage}_metrics")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/metrics", headers=accept)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {family.name: family.samples for family in families}


def total(samples: list[Any], suffix: str = "_count", **labels: str) -> float:
    """The sum of a family's samples with these labels."""
    return sum(
        sample.value
        for sample in samples
        if sample.name.endswith(suffix) and labels.items() <= sample.labels.items()
    )


async def test_every_service_tells_what_it_does(traced: Traced) -> None:
    before = {stage: await fetch(traced, stage) for stage in STAGES}
    async with traced.stack.client() as (session, client):
        during = await fetch(traced, "orchestrator")
        questions = [typed("one two three"), noise(), typed("explode")]
        await Conversation(client, print, answer_seconds=8).run(questions, None)
    after = {stage: await fetch(traced, stage) for stage in STAGES}
    assert total(during["stagewire_active"], "") == 1
    for stage in STAGES:
        assert total(after[stage]["stagewire_limit"], "") > 0

    def more(stage: str, family: str, suffix: str = "_count", **labels: str) -> float:
        was = total(before[stage].get(family, []), suffix, **labels)
        return total(after[stage][family], suffix, **labels) - was

    for stage, turns in (("asr", 1), ("llm", 3), ("tts", 2), ("motion_bridge", 2), ("egress", 2)):
        assert more(stage, "stagewire_time_to_first_output_seconds") >= turns - (stage == "llm")
        assert more(stage, "stagewire_queue_wait_seconds") >= turns
    assert more("orchestrator", "stagewire_turn_latency_seconds") == 2
    parts = "stagewire_turn_latency_part_seconds"
    assert more("orchestrator", parts, stagewire_latency_part="llm_first_token") == 2
    assert more("orchestrator", parts, "_sum") == pytest.approx(
        more("orchestrator", "stagewire_turn_latency_seconds", "_sum"), abs=0.001
    )
    ends = {"stagewire_turn_end_reason": "failed"}
    assert more("orchestrator", "stagewire_turns", "_total", **ends) == 1
    assert more("orchestrator", "stagewire_notices", "_total", error_type="CONTEXT_TOO_LONG") == 1
    assert more("llm", "stagewire_refusals", "_total", error_type="CONTEXT_TOO_LONG") == 1
    exemplars = [
        sample.exemplar.labels["trace_id"]
        for sample in after["orchestrator"]["stagewire_turn_latency_seconds"]
        if sample.exemplar
    ]
    assert session.trace_id in exemplars
    for stage in STAGES:
        for samples in after[stage].values():
            for sample in samples:
                assert session.session_id not in sample.labels.values()


async def test_the_same_is_exported(traced: Traced) -> None:
    def names() -> set[str]:
        return {metric.name for metric in traced.sink.metrics()}

    wanted = {
        *("stagewire.turn.latency", "stagewire.turn.latency.part", "stagewire.turns"),
        *("stagewire.queue_wait", "stagewire.time_to_first_output", "stagewire.active"),
    }
    await asyncio.to_thread(traced.sink.wait, lambda: wanted <= names())
    points = [
        point
        for metric in traced.sink.metrics()
        if metric.name == "stagewire.turn.latency"
        for point in metric.histogram.data_points
    ]
    traces = {exemplar.trace_id.hex() for point in points for exemplar in point.exemplars}
    assert traces & {span.trace_id for span in traced.sink.spans() if span.name == "turn"}
