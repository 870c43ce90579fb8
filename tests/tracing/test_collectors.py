"""Whatever becomes of the collector, nothing becomes of a conversation."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from stagewire_cli.conversation import Conversation
from stagewire_cli.stack import STAGES
from stagewire_cli.transcript import Turn
from support.otlp import Sink
from support.processes import free_port
from support.stack import Stack, typed
from tracing.conftest import HEARD, exporting, noise, running

pytestmark = [pytest.mark.models, pytest.mark.slow]


async def talk(stack: Stack) -> tuple[str, list[Turn]]:
    """The trace id of a conversation, and its turns."""
    async with stack.client() as (session, client):
        conversation = Conversation(client, print)
        await conversation.run([typed("one two three"), noise()], None)
    return session.trace_id, list(conversation.transcript.turns.values())


@asynccontextmanager
async def stopped_in_time(folder: Path, **more: str) -> AsyncIterator[Stack]:
    """A stack of which no service is killed because it hangs at its end."""
    async with running(folder, **more) as stack:
        yield stack
        began = time.monotonic()
    for stage in STAGES:
        assert "INFO stagekit.server: stopped" in (folder / "logs" / f"{stage}.log").read_text()
    # Six services, one after the other, at most 2 s for what they have not sent.
    assert time.monotonic() - began < 30


async def test_a_collector_that_hangs_delays_no_turn_and_no_end(
    tmp_path: Path, collector: Sink
) -> None:
    collector.hangs.set()
    queue = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    async with stopped_in_time(tmp_path, **exporting(collector), **queue) as stack:
        _, turns = await talk(stack)
        assert collector.taken.is_set(), "something did hang"
    assert [turn.reason for turn in turns] == ["COMPLETED", "COMPLETED"]


async def test_a_collector_that_is_not_there_harms_nothing(tmp_path: Path) -> None:
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    async with stopped_in_time(tmp_path, **nowhere, OTEL_BSP_SCHEDULE_DELAY="100") as stack:
        _, turns = await talk(stack)
    assert [turn.reason for turn in turns] == ["COMPLETED", "COMPLETED"]


@pytest.mark.parametrize(
    "off", [{}, {"OTEL_SDK_DISABLED": "true"}], ids=["nothing is set", "the SDK is disabled"]
)
async def test_without_an_exporter_the_trace_id_still_travels(
    tmp_path: Path, collector: Sink, off: dict[str, str]
) -> None:
    more = exporting(collector) if off else {}
    async with stopped_in_time(tmp_path, **more, **off) as stack:
        trace_id, _ = await talk(stack)
    assert not collector.raw
    assert re.fullmatch("(?!0{32})[0-9a-f]{32}", trace_id)
    for stage in ("orchestrator", "egress"):
        log = (tmp_path / "logs" / f"{stage}.log").read_text()
        named = [line for line in log.splitlines() if "session=" in line]
        assert named
        assert all(f"trace={trace_id}" in line for line in named)


async def test_what_was_said_is_there_when_it_is_wanted(tmp_path: Path, collector: Sink) -> None:
    more = {**exporting(collector), "STAGEWIRE_TRACE_CONTENT": "true"}
    async with running(tmp_path, **more) as stack:
        trace_id, _ = await talk(stack)
    trace = collector.of(trace_id)
    second = trace.turn(2)
    assert HEARD in second.attributes["stagewire.content.avatar"]
    chat = trace.named("llm chat")[-1].attributes
    assert HEARD in chat["gen_ai.output.messages"]
    assert "You repeat what you hear." in chat["gen_ai.input.messages"]
    said = {key for s in trace.spans for key, value in s.attributes.items() if HEARD in str(value)}
    assert said == {
        *("stagewire.content.user", "stagewire.content.avatar"),
        *("gen_ai.input.messages", "gen_ai.output.messages"),
    }, "and nowhere but there"
