"""A turn's request to Motion Server is a span of the turn's, and continues its trace there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from stagewire_cli.conversation import Conversation
from stagewire_cli.recorder import Recorder
from stagewire_motion_codec import spatius
from support.motion_server import MotionServer
from support.otlp import Sink
from support.stack import typed
from tracing.conftest import exporting, running

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture
def motion_server(tmp_path: Path) -> Iterator[MotionServer]:
    server = MotionServer(tmp_path / "motion_server.log")
    yield server
    server.kill()


async def test_a_turn_s_trace_goes_on_to_motion_server_and_comes_back(
    tmp_path: Path, collector: Sink, motion_server: MotionServer
) -> None:
    async with (
        running(tmp_path, **exporting(collector), **motion_server.environment) as stack,
        stack.client() as (session, client),
    ):
        with Recorder(tmp_path, client.joined) as recorder:
            questions = [typed("forever"), typed("one two three")]
            await Conversation(client, print, recorder).run(questions, 0.4)
    trace = collector.of(session.trace_id)
    print(trace.drawn())
    assert not trace.orphans()
    asked = trace.named("Motion Server request")
    assert [(span.service, span.kind, span.failed) for span in asked] == [
        ("motion_bridge", "CLIENT", False)
    ] * 2
    for number, request in enumerate(asked, 1):
        animate = trace.parent(request)
        assert animate is not None
        call = trace.parent(animate)
        assert call is not None
        assert (animate.kind, call.kind) == ("SERVER", "CLIENT")
        assert trace.parent(call) == trace.turn(number)
    lines = map(json.loads, (tmp_path / "motion.jsonl").read_text().splitlines())
    motion = [(line["turn"], base64.b64decode(line["payload"])) for line in lines]
    assert {turn for turn, _ in motion} == {1, 2}
    answered = {spatius.unpack(payload).traceparent.split("-")[1] for _, payload in motion}
    assert answered == {session.trace_id}
