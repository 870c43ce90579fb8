"""The avatar's voice and face in a room: joined, played, reported, cut."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from fake_orchestrator import RATE
from stagewire.common.v1 import turn_pb2
from stagewire.egress.v1 import egress_pb2
from stagewire_egress.livekit import packets
from support.livekit_turns import speak, tone
from support.room import dominant


async def test_a_turn_is_heard_seen_and_reported(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await user.until_attribute("ready", "1")
    joined = await orchestrator.wait("participant")
    assert (joined.identity, joined.change) == ("ann", egress_pb2.Participant.CHANGE_JOINED)
    length = await speak(orchestrator, 1, tone(440, 1.5))
    ended = await orchestrator.wait("turn_ended", seconds=10)
    assert (ended.played_samples, ended.reason) == (length, turn_pb2.TURN_END_REASON_COMPLETED)
    reports = [report.played_samples for report in orchestrator.all("playback")]
    assert reports == sorted(reports)
    assert len(reports) >= 10
    await user.until(lambda: user.of(packets.Kind.END, 1))
    assert user.of(packets.Kind.END, 1)[0].sample == length
    await asyncio.sleep(0.3)
    heard = user.heard()
    loud = heard[np.abs(heard) > 0.05]
    frequency, level = dominant(heard[np.argmax(np.abs(heard) > 0.05) :][: RATE // 2], RATE)
    assert abs(frequency - 440) < 5
    assert level > 0.1
    assert len(loud) > RATE  # most of 1.5 s of a sine is above 0.05
    assert [p.sample for p in user.motion(1)] == list(range(0, length, RATE // 25))
    assert all(int.from_bytes(p.payload, "big") == p.sample for p in user.motion(1))


async def test_motion_larger_than_a_packet_comes_in_parts(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await orchestrator.wait("participant", seconds=10)
    payload = bytes(range(256)) * 200
    await orchestrator.say(turn_start={"turn": 1})
    await orchestrator.audio(1, 0, RATE // 5)
    await orchestrator.say(
        motion={"turn": 1, "payload": payload, "start_sample": 0, "end_sample": RATE // 5}
    )
    await orchestrator.say(end_of_turn={"turn": 1})
    await user.until(lambda: user.motion(1) and len(user.motion(1)) == user.motion(1)[0].parts)
    assert b"".join(p.payload for p in sorted(user.motion(1), key=lambda p: p.part)) == payload
    assert len(user.motion(1)) > 1


async def test_an_interrupt_silences_at_once_and_reports_no_more_than_was_played(
    stage: Any, room: str
) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await orchestrator.wait("participant", seconds=10)
    await speak(orchestrator, 1, tone(440, 8.0))
    await orchestrator.wait("playback", count=8, seconds=10)
    await orchestrator.say(interrupt={"turn": 1})
    cut = time.perf_counter()
    ended = await orchestrator.wait("turn_ended")
    assert ended.reason == turn_pb2.TURN_END_REASON_INTERRUPTED
    (stop,) = await user.until(lambda: user.of(packets.Kind.INTERRUPT, 1))
    assert stop.sample == ended.played_samples
    await asyncio.sleep(1.0)
    heard = user.heard()
    # What was reported had entered the room, and little more did. The receiver's jitter buffer may
    # stretch or shrink it by a tenth of a second or two; tests of Pace hold the bound itself.
    loud = np.flatnonzero(np.abs(heard) > 0.05)
    received = loud[-1] - loud[0]
    assert received >= ended.played_samples - 0.2 * RATE
    assert received <= ended.played_samples + 0.5 * RATE
    assert np.max(np.abs(user.heard(since=cut + 0.7))) < 0.01
    length = await speak(orchestrator, 2, tone(880, 0.5))
    ended = await orchestrator.wait("turn_ended", count=2, seconds=5)
    assert (ended.turn, ended.played_samples) == (2, length)
    assert not [p for p in user.motion(1) if p.at > stop.at]


async def test_turns_wait_for_the_first_user_and_nothing_of_them_is_lost(
    stage: Any, room: str
) -> None:
    orchestrator = await stage.session(room)
    length = await speak(orchestrator, 1, tone(440, 1.0))
    await asyncio.sleep(1.5)
    assert not orchestrator.all("playback")
    user = await stage.user(room)
    ended = await orchestrator.wait("turn_ended", seconds=10)
    assert ended.played_samples == length
    await asyncio.sleep(0.3)
    loud = np.flatnonzero(np.abs(user.heard()) > 0.05)
    assert loud[-1] - loud[0] > 0.97 * length


@pytest.mark.slow
async def test_a_user_who_leaves_and_returns_hears_the_rest(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await orchestrator.wait("participant", seconds=10)
    length = await speak(orchestrator, 1, tone(440, 4.0))
    await orchestrator.wait("playback", count=8, seconds=10)
    await user.room.disconnect()
    assert (await orchestrator.wait("participant", count=2)).change == (
        egress_pb2.Participant.CHANGE_LEFT
    )
    await asyncio.sleep(0.2)
    played = orchestrator.all("playback")[-1].played_samples
    again = await stage.user(room)
    assert (await orchestrator.wait("participant", count=3)).change == (
        egress_pb2.Participant.CHANGE_RETURNED
    )
    ended = await orchestrator.wait("turn_ended", seconds=15)
    assert (ended.reason, ended.played_samples) == (turn_pb2.TURN_END_REASON_COMPLETED, length)
    await asyncio.sleep(0.3)
    loud = np.flatnonzero(np.abs(again.heard()) > 0.05)
    rest = length - played
    assert 0.9 * rest < loud[-1] - loud[0] < rest + 0.3 * RATE
    assert min(p.sample for p in again.motion(1)) <= played


async def test_without_motion_the_voice_waits_a_moment_and_then_goes_on(
    stage: Any, room: str
) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await orchestrator.wait("participant", seconds=10)
    await asyncio.sleep(0.5)
    began = time.perf_counter()
    await orchestrator.say(turn_start={"turn": 1})
    await orchestrator.audio(1, 0, RATE // 2, tag=9)
    await user.until(lambda: user.of(packets.Kind.CLOCK, 1), seconds=2)
    assert user.of(packets.Kind.CLOCK, 1)[0].at - began > 0.2
