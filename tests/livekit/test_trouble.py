"""Rooms beside each other, servers and processes that end: what breaks, breaks alone."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from fake_orchestrator import RATE
from livekit import api
from stagewire.common.v1 import turn_pb2
from stagewire.egress.v1 import egress_pb2
from stagewire_egress.livekit import packets
from support.livekit import OwnServer
from support.livekit_process import egress_process, stage_at
from support.livekit_turns import microphone_audio, speak, tone
from support.room import dominant

pytestmark = pytest.mark.slow


async def test_two_rooms_at_once_hear_nothing_of_each_other(stage: Any, room: str) -> None:
    pitches = {"a": (440.0, 700.0), "b": (880.0, 1900.0)}

    async def converse(name: str) -> tuple[Any, Any]:
        spoken, sung = pitches[name]
        orchestrator = await stage.session(f"{room}-{name}")
        user = await stage.user(f"{room}-{name}")
        async with user.microphone() as microphone:
            await asyncio.gather(
                speak(orchestrator, 1, tone(spoken, 1.5)), microphone.tone(sung, 1.5)
            )
            await user.type(name)
            await orchestrator.wait("turn_ended", seconds=10)
            await asyncio.sleep(0.3)
        return orchestrator, user

    rooms = await asyncio.gather(converse("a"), converse("b"))
    for name, (orchestrator, user) in zip("ab", rooms, strict=True):
        for samples, rate, own, other in (
            (user.heard(), RATE, pitches[name][0], pitches["ba"["ab".index(name)]][0]),
            (
                microphone_audio(orchestrator),
                16_000,
                pitches[name][1],
                pitches["ba"["ab".index(name)]][1],
            ),
        ):
            assert abs(dominant(samples, rate)[0] - own) < 10
            spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
            hertz = np.fft.rfftfreq(len(samples), 1 / rate)
            foreign = spectrum[np.abs(hertz - other) < 20].max()
            assert foreign < spectrum.max() / 100
        assert [text.text for text in orchestrator.all("user_text")] == [name]


async def test_a_restarted_server_is_a_pause(mortal_server: OwnServer, room: str) -> None:
    service = egress_process(return_seconds="60")
    try:
        async with stage_at(service, mortal_server) as stage:
            orchestrator = await stage.session(room)
            user = await stage.user(room)
            await orchestrator.wait("participant", seconds=10)
            length = await speak(orchestrator, 1, tone(440, 6.0))
            await orchestrator.wait("playback", count=10, seconds=10)
            mortal_server.kill()
            left = await orchestrator.wait("participant", count=2)
            assert left.change == egress_pb2.Participant.CHANGE_LEFT
            await asyncio.sleep(0.5)
            played = orchestrator.all("playback")[-1].played_samples
            assert played < 0.6 * length
            mortal_server.start()
            back = await orchestrator.wait("participant", count=3, seconds=40)
            assert back.change == egress_pb2.Participant.CHANGE_RETURNED
            ended = await orchestrator.wait("turn_ended", seconds=20)
            assert ended.reason == turn_pb2.TURN_END_REASON_COMPLETED
            assert ended.played_samples == length
            await user.until(lambda: user.of(packets.Kind.END, 1))
            assert user.voice_tracks == 2  # republished
            await user.until_attribute("ready", "1")
            await user.type("still there?")
            assert (await orchestrator.wait("user_text")).text == "still there?"
            epochs = {p.epoch for p in user.of(packets.Kind.CLOCK, 1)}
            assert len(epochs) >= 2
    finally:
        service.stop()


async def test_a_turn_ends_honestly_when_the_server_stays_away(
    mortal_server: OwnServer, room: str
) -> None:
    service = egress_process(return_seconds="1")
    try:
        async with stage_at(service, mortal_server) as stage:
            orchestrator = await stage.session(room)
            await stage.user(room)
            await orchestrator.wait("participant", seconds=10)
            await speak(orchestrator, 1, tone(440, 6.0))
            await orchestrator.wait("playback", count=10, seconds=10)
            mortal_server.kill()
            ended = await orchestrator.wait("turn_ended", seconds=10)
            assert ended.reason == turn_pb2.TURN_END_REASON_FAILED
            assert 0 < ended.played_samples < 0.6 * 6.0 * RATE
            assert not orchestrator.done.is_set()  # the session goes on, and waits
    finally:
        service.stop()


async def test_a_drain_is_announced_and_the_room_is_left(server: Any, room: str) -> None:
    service = egress_process(drain_seconds="2")
    try:
        async with stage_at(service, server) as stage:
            orchestrator = await stage.session(room)
            user = await stage.user(room)
            await user.until_attribute("ready", "1")
            service.terminate()
            assert (await orchestrator.wait("going_away")).grace.seconds == 2
            await user.until(lambda: user.events and user.events[-1]["type"] == "going_away")
            await orchestrator.hang_up()
            await user.until(lambda: user.avatar is None)
            assert await asyncio.to_thread(service.wait, 10) == 0
            assert "never retrieved" not in service.log()
            assert "WARNING" not in service.log()
    finally:
        service.stop()


async def test_an_orchestrator_that_vanishes_leaves_no_avatar_behind(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await user.until_attribute("ready", "1")
    orchestrator.cancel()
    await user.until(lambda: user.avatar is None)


async def test_a_deleted_room_ends_its_session_and_no_other(stage: Any, room: str) -> None:
    other = await stage.session(f"{room}-other")
    orchestrator = await stage.session(room)
    http = stage.server.url.replace("ws", "http", 1)
    async with api.LiveKitAPI(http, *stage.server.keys) as admin:
        await admin.room.delete_room(api.DeleteRoomRequest(room=room))
    async with asyncio.timeout(5):
        await orchestrator.done.wait()
    assert orchestrator.error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "deleted" in orchestrator.error.details()
    user = await stage.user(f"{room}-other")
    length = await speak(other, 1, tone(440, 0.3))
    assert (await other.wait("turn_ended", seconds=10)).played_samples == length
    assert user.of(packets.Kind.MOTION, 1)


async def test_a_hundred_sessions_leave_little_memory(server: Any, room: str) -> None:
    service = egress_process()
    try:
        async with stage_at(service, server) as stage:

            async def sessions(count: int) -> None:
                for _ in range(count):
                    orchestrator = await stage.session(room)
                    await orchestrator.hang_up()

            await sessions(20)
            before = service.resident_megabytes()
            await sessions(100)
            # The client library itself keeps about half a megabyte of each room.
            assert service.resident_megabytes() - before < 100
    finally:
        service.stop()
