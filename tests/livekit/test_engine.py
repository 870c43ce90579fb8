"""A motion engine publishes the voice by itself; egress takes its reports, and nobody else's.

The engine here is a participant of the test's own, with the token that an orchestrator mints for
one; what the local Motion Server does in its place is in test_motion_server.py.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_orchestrator import RATE, FakeOrchestrator
from livekit import rtc
from stagewire.common.v1 import turn_pb2
from stagewire_egress.livekit.engine_voice import (
    FINISHED_METHOD,
    FORBIDDEN,
    MALFORMED,
    STARTED_METHOD,
)
from support.room import User

ENGINE = "motion-engine"
COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED
INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED


class Caller:
    """Somebody who calls egress' playback methods."""

    def __init__(self, room: rtc.Room) -> None:
        self._participant = room.local_participant

    async def call(self, method: str, payload: str = "") -> str:
        """The answer; raises rtc.RpcError."""
        return await self._participant.perform_rpc(
            destination_identity="avatar", method=method, payload=payload, response_timeout=5.0
        )

    async def started(self) -> None:
        assert await self.call(STARTED_METHOD) == "ok"

    async def finished(self, seconds: float, interrupted: bool = False) -> str:
        report = {"playback_position": seconds, "interrupted": interrupted}
        return await self.call(FINISHED_METHOD, json.dumps(report))

    async def refused(self, method: str, payload: str) -> rtc.RpcError:
        with pytest.raises(rtc.RpcError) as refusal:
            await self.call(method, payload)
        return refusal.value


def opening(stage: Any, room: str, **target: Any) -> Any:
    """With a token for egress that may not publish: it need not."""
    opening = stage.opening(
        room,
        token=stage.server.agent_token(room, can_publish=False),
        publisher="MEDIA_PUBLISHER_MOTION_ENGINE",
        **{"publisher_identity": ENGINE, **target},
    )
    opening.ClearField("motion_codec")
    opening.ClearField("idle_motion")
    return opening


async def session(stage: Any, room: str) -> FakeOrchestrator:
    orchestrator = stage.call()
    await orchestrator.say(open=opening(stage, room))
    await orchestrator.wait("ready", seconds=10)
    return orchestrator


@pytest.fixture
async def engine(stage: Any, room: str) -> AsyncIterator[Caller]:
    """The engine, in the room with what it is granted in production."""
    token = stage.server.token(
        ENGINE,
        room,
        kind="agent",
        can_publish=True,
        can_publish_sources=["camera", "microphone"],
        can_subscribe=False,
        can_publish_data=True,
    )
    member = rtc.Room()
    await member.connect(stage.server.url, token)
    yield Caller(member)
    await member.disconnect()


async def send(
    orchestrator: FakeOrchestrator, turn: int, seconds: float, words: str = "", end: bool = True
) -> None:
    """A turn's voice; each of its words takes a second."""
    await orchestrator.say(turn_start={"turn": turn})
    timed, text = [], 0
    for at, word in enumerate(words.split()):
        span = {"start_sample": at * RATE, "end_sample": (at + 1) * RATE}
        place = {"text_start": text, "text_end": text + len(word)}
        timed.append({"text": word, **span, **place})
        text += len(word) + 1
    if words:
        await orchestrator.say(event={"turn": turn, "avatar_transcript": {"text": words}})
        await orchestrator.say(words={"turn": turn, "words": timed})
    await orchestrator.audio(turn, 0, int(seconds * RATE))
    if end:
        await orchestrator.say(end_of_turn={"turn": turn})


async def ready(orchestrator: FakeOrchestrator, stage: Any, room: str) -> User:
    user = await stage.user(room)
    await user.until_attribute("ready", "1")
    await orchestrator.wait("participant", seconds=10)
    return user


async def speaking(stage: Any, room: str, engine: Caller) -> FakeOrchestrator:
    """A session whose engine has begun to play a turn that goes on."""
    orchestrator = await session(stage, room)
    await ready(orchestrator, stage, room)
    await send(orchestrator, 1, 8.0, end=False)
    await engine.started()
    return orchestrator


async def test_a_turn_ends_where_the_engine_says_and_words_come_as_they_sound(
    stage: Any, room: str, engine: Caller
) -> None:
    orchestrator = await session(stage, room)
    user = await ready(orchestrator, stage, room)
    assert user.avatar is not None
    assert not user.avatar.track_publications, "egress publishes nothing"
    await user.until(lambda: user.events)
    assert user.events[0]["motion"] is None
    await send(orchestrator, 1, 1.5, "One two")
    await asyncio.sleep(0.3)
    assert not user.captions, "nothing sounds yet"
    await engine.started()
    await user.until(lambda: user.captions and user.captions[0].text == "One")
    await asyncio.sleep(0.5)
    assert user.captions[0].text == "One", "the second word begins after a second"
    await user.until(lambda: user.captions[0].text == "One two", seconds=2)
    await asyncio.sleep(0.4)
    assert await engine.finished(1.5) == "ok"
    ended = await orchestrator.wait("turn_ended")
    assert (ended.turn, ended.reason, ended.played_samples) == (1, COMPLETED, 36_000)
    (begun,) = orchestrator.all("playback")
    assert (begun.turn, begun.played_samples) == (1, 0), "positions in between would be guesses"
    waited = begun.timing.queue_wait.ToMilliseconds()
    assert waited >= 200, "until the engine said that it plays: 300 ms, less the way to egress"


async def test_an_interrupted_turn_ends_with_the_position_that_is_reported(
    stage: Any, room: str, engine: Caller
) -> None:
    orchestrator = await speaking(stage, room, engine)
    await asyncio.sleep(0.5)
    await orchestrator.say(interrupt={"turn": 1})
    await asyncio.sleep(0.5)
    assert not orchestrator.all("turn_ended"), "the engine has time to say where it was"
    await engine.finished(0.4, interrupted=True)
    ended = await orchestrator.wait("turn_ended")
    assert (ended.reason, ended.played_samples) == (INTERRUPTED, 9_600)


async def test_an_engine_that_does_not_report_its_interrupt_is_not_waited_for_long(
    stage: Any, room: str, engine: Caller
) -> None:
    orchestrator = await speaking(stage, room, engine)
    await asyncio.sleep(0.2)
    cut = time.monotonic()
    await orchestrator.say(interrupt={"turn": 1})
    ended = await orchestrator.wait("turn_ended")
    assert 1.9 < time.monotonic() - cut < 4.0
    assert (ended.reason, ended.played_samples) == (INTERRUPTED, 0), "nothing was confirmed"
    refusal = await engine.refused(
        FINISHED_METHOD, '{"playback_position": 0.2, "interrupted": true}'
    )
    assert refusal.code == MALFORMED
    await send(orchestrator, 2, 0.2)
    await engine.finished(0.2)
    assert (await orchestrator.wait("turn_ended", count=2)).reason == COMPLETED


async def test_nobody_else_may_report(
    stage: Any, room: str, engine: Caller, egress_service: Any
) -> None:
    orchestrator = await session(stage, room)
    user = await ready(orchestrator, stage, room)
    await send(orchestrator, 1, 0.5)
    stranger = Caller(user.room)
    for method, payload in (
        (STARTED_METHOD, ""),
        (FINISHED_METHOD, '{"playback_position": 0.5, "interrupted": false}'),
    ):
        refusal = await stranger.refused(method, payload)
        assert refusal.code == FORBIDDEN
        assert "only the motion engine" in refusal.message
    assert not orchestrator.all("turn_ended")
    await engine.finished(0.5)
    assert (await orchestrator.wait("turn_ended")).reason == COMPLETED
    assert "somebody else than the motion engine" in egress_service.log()


MALFORMED_REPORTS = (
    "",
    "ok",
    "[]",
    '{"playback_position": 0.5}',
    '{"interrupted": false}',
    '{"playback_position": "0.5", "interrupted": false}',
    '{"playback_position": NaN, "interrupted": false}',
    '{"playback_position": Infinity, "interrupted": false}',
    '{"playback_position": 1e400, "interrupted": false}',
    '{"playback_position": -1, "interrupted": false}',
    '{"playback_position": true, "interrupted": false}',
    '{"playback_position": 0.5, "interrupted": 0}',
    '{"playback_position": 0.5, "interrupted": "false"}',
    '{"playback_position": 3600, "interrupted": false}',
    '{"playback_position": 3600, "interrupted": true}',
)


async def test_a_report_that_cannot_be_right_is_refused_and_counts_for_nothing(
    stage: Any, room: str, engine: Caller
) -> None:
    orchestrator = await session(stage, room)
    await ready(orchestrator, stage, room)
    await send(orchestrator, 1, 0.5)
    await engine.started()
    for payload in MALFORMED_REPORTS:
        refusal = await engine.refused(FINISHED_METHOD, payload)
        assert refusal.code == MALFORMED, payload
    assert not orchestrator.all("turn_ended")
    await engine.finished(0.5)
    assert (await orchestrator.wait("turn_ended")).played_samples == 12_000


async def test_a_user_types_and_interrupts_as_in_any_room(
    stage: Any, room: str, engine: Caller
) -> None:
    orchestrator = await session(stage, room)
    user = await ready(orchestrator, stage, room)
    await user.type("Hello!")
    assert (await orchestrator.wait("user_text")).text == "Hello!"
    await Caller(user.room).call("stagewire.interrupt")
    await orchestrator.wait("user_interrupt")
    async with user.microphone(16_000) as microphone:
        await microphone.tone(440, 0.4)
        await orchestrator.wait("user_audio", count=10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"publisher_identity": ""}, "publisher_identity"),
        ({"publisher_identity": "avatar"}, "publisher_identity"),
        ({"publisher": "MEDIA_PUBLISHER_UNSPECIFIED"}, "publisher"),
        ({"motion_codec": "stagewire.arkit52"}, "motion_codec"),
    ],
)
async def test_openings_that_cannot_be(
    stage: Any, room: str, change: dict[str, str], says: str
) -> None:
    codec = change.pop("motion_codec", "")
    message = opening(stage, room)
    message.motion_codec = codec
    for field, value in change.items():
        if field == "publisher":
            message.livekit.publisher = 0
        else:
            setattr(message.livekit, field, value)
    error = await stage.refused(message)
    assert says in error.details()
