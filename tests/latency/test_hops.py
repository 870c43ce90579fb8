"""Where a turn's time goes, across real processes: orchestrator and egress as in production.

The other stages are scripted (timed.py): they take a known time, and some are far away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from latency.timed import MICROPHONE_HERTZ, Pace, TimedStages, far
from stagewire.common.v1.session_event_pb2 import LatencyBreakdown
from stagewire_cli import api
from stagewire_cli import client as c
from stagewire_cli.client import Client, join
from stagewire_cli.stack import Ports, services
from stagewire_cli.supervisor import Supervisor

WAY = 0.1
SLACK = 0.25
"""Seconds that a busy machine may add to anything."""
TURNS = 4
FAR = ("asr", "llm", "tts", "motion_bridge", "egress")


class Lab:
    """The running stack: ``near`` avatars, and one with each stage far away."""

    def __init__(self, stages: TimedStages, url: str) -> None:
        self.stages = stages
        self._url = url

    async def typed(self, avatar: str = "near") -> tuple[dict[str, float], float]:
        """A typed turn's parts, and by how much their sum is not what the client saw.

        The least of several turns: a busy machine adds to any part of any turn, and never takes.
        """
        turns: list[tuple[dict[str, float], float]] = []
        async with self._client(avatar) as client:
            for _ in range(TURNS):
                await asyncio.sleep(0.05)
                await client.type_text("one two three four five")
                turns.append(await answer(client, time.monotonic()))
        parts = {name: min(turn[name] for turn, _ in turns) for name in turns[-1][0]}
        return parts, min(abs(sum(turn.values()) - seen) for turn, seen in turns)

    async def spoken(self, avatar: str = "near") -> dict[str, float]:
        """The parts of a turn that was spoken; the least of two."""
        turns: list[dict[str, float]] = []
        for _ in range(2):
            async with self._client(avatar) as client, asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(speak(client))
                turns.append((await answer(client, time.monotonic()))[0])
                speaking.cancel()
        return {name: min(turn[name] for turn in turns) for name in turns[-1]}

    @asynccontextmanager
    async def _client(self, avatar: str) -> AsyncIterator[Client]:
        async with (
            api.session(self._url, avatar) as session,
            join(session.join_url, session.client_token, MICROPHONE_HERTZ) as client,
        ):
            yield client


async def speak(client: Client) -> None:
    """A microphone, in real time."""
    frame = MICROPHONE_HERTZ // 50
    due = time.monotonic()
    while True:
        await client.send_audio(bytes(2 * frame))
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def answer(client: Client, asked: float) -> tuple[dict[str, float], float]:
    """Plays one answer at once; its parts, and when its first voice and motion were there."""
    voice = motion = 0.0
    latency: LatencyBreakdown | None = None
    async with asyncio.timeout(20):
        async for message in client:
            match message:
                case c.Voice():
                    voice = voice or time.monotonic()
                    end = message.start_sample + len(message.pcm) // 2
                    await client.report(message.turn, end)
                case c.Motion():
                    motion = motion or time.monotonic()
                case c.Event() if message.event.WhichOneof("event") == "latency":
                    latency = message.event.latency
                case c.Event() if message.event.WhichOneof("event") == "turn_summary":
                    break
    assert latency is not None
    nanoseconds = [part.duration.ToNanoseconds() for part in latency.parts]
    assert min(nanoseconds) >= 0
    assert sum(nanoseconds) == latency.total.ToNanoseconds(), "to the nanosecond"
    parts = {part.name: part.duration.ToNanoseconds() / 1e9 for part in latency.parts}
    return parts, max(voice, motion) - asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    ports, logs, stages = Ports.free(), tmp_path_factory.mktemp("logs"), TimedStages()
    async with AsyncExitStack() as running:
        target = await running.enter_async_context(stages.serving())
        lines = ["near: {name: Near, persona: p}"]
        for stage in FAR:
            near = f"127.0.0.1:{ports.egress}" if stage == "egress" else target
            away = await running.enter_async_context(far(near, WAY))
            lines.append(f"{stage}: {{name: Far, persona: p, stages: {{{stage}: '{away}'}}}}")
        avatars = Path(logs / "avatars.yaml")
        avatars.write_text("\n".join(lines))
        user = {f"STAGEWIRE_ORCHESTRATOR_{stage.upper()}_TARGET": target for stage in FAR[:-1]}
        own = user | {"STAGEWIRE_ORCHESTRATOR_AVATARS": str(avatars)}
        stack = services(ports, extra={"orchestrator": own}, user=user)
        await running.enter_async_context(Supervisor(stack, logs))
        yield Lab(stages, f"http://127.0.0.1:{ports.orchestrator_http}")


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_parts_sum_to_what_the_client_saw(lab: Lab) -> None:
    lab.stages.set(llm=Pace(work=0.3), tts=Pace(work=0.1))
    parts, off = await lab.typed()
    assert off < SLACK
    told = {"llm_network", "llm_queue", "llm_first_token", "first_clause", "tts_network"}
    told |= {"tts_queue", "tts_first_audio", "motion_network", "motion_queue"}
    told |= {"motion_first_frame", "orchestrator", "egress_network", "egress"}
    assert told == set(parts)


@pytest.mark.parametrize(
    ("stage", "prefix", "work"),
    [
        ("llm", "llm", "llm_first_token"),
        ("tts", "tts", "tts_first_audio"),
        ("motion", "motion", "motion_first_frame"),
    ],
)
async def test_a_slow_stage_is_found_by_its_name(
    lab: Lab, stage: str, prefix: str, work: str
) -> None:
    lab.stages.set(**{stage: Pace(queue=0.06, work=0.15)})
    parts, _ = await lab.typed()
    assert 0.15 <= parts[work] < 0.15 + SLACK
    assert 0.06 <= parts[f"{prefix}_queue"] < 0.06 + SLACK
    assert parts[f"{prefix}_network"] < 0.15, "it has no share in it"


@pytest.mark.parametrize(
    ("stage", "part", "ways"),
    [
        ("llm", "llm_network", 2),
        ("tts", "tts_network", 2),
        ("motion_bridge", "motion_network", 2),
        ("egress", "egress_network", 1),
    ],
)
async def test_a_slow_network_is_the_hops(lab: Lab, stage: str, part: str, ways: int) -> None:
    lab.stages.set()
    parts, _ = await lab.typed(stage)
    assert ways * WAY * 0.95 <= parts[part] < ways * WAY + SLACK
    assert max(seconds for name, seconds in parts.items() if name != part) < 0.15


async def test_a_slow_asr_and_the_way_to_it(lab: Lab) -> None:
    lab.stages.set(asr=Pace(queue=0.06, work=0.2))
    near = await lab.spoken()
    assert 0.2 <= near["asr_final"] < 0.2 + SLACK
    assert 0.06 <= near["asr_queue"] < 0.06 + SLACK
    assert near["asr_network"] < 0.15
    assert 0.05 < near["silence_detection"] < 0.1 + SLACK, "a tenth of a second of silence"
    lab.stages.set(asr=Pace(work=0.2))
    away = await lab.spoken("asr")
    assert 2 * WAY * 0.95 <= away["asr_network"] < 2 * WAY + SLACK
    assert 0.2 <= away["asr_final"] < 0.2 + SLACK


async def test_a_stage_that_tells_nothing_is_not_divided(lab: Lab) -> None:
    lab.stages.set(llm=Pace(queue=0.1, work=0.1, silent=True))
    parts, _ = await lab.typed()
    assert {name for name in parts if name.startswith("llm")} == {"llm_first_token"}
    assert 0.2 <= parts["llm_first_token"] < 0.2 + SLACK


@pytest.mark.parametrize("lie", [30.0, -30.0])
async def test_a_stage_that_lies_breaks_nothing(lab: Lab, lie: float) -> None:
    lab.stages.set(
        llm=Pace(work=0.1, lie=lie), tts=Pace(work=0.1, lie=lie), motion=Pace(work=0.1, lie=lie)
    )
    _, off = await lab.typed()
    assert off < SLACK
