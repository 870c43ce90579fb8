"""What users do in a room: speak, mute, type, press stop, come with odd devices."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from support.livekit_turns import microphone_audio
from support.room import dominant


@pytest.mark.parametrize(
    ("rate", "channels"), [(8_000, 1), (44_100, 1), (48_000, 2), (16_000, 1)], ids=str
)
async def test_any_microphone_arrives_at_the_sessions_rate(
    stage: Any, room: str, rate: int, channels: int
) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    async with user.microphone(rate, channels) as microphone:
        await microphone.tone(1000, 1.2)
        await orchestrator.wait("user_audio", count=80)
    heard = microphone_audio(orchestrator)
    loud = np.flatnonzero(np.abs(heard) > 0.1)
    frequency, level = dominant(heard[loud[0] : loud[0] + 12_000], 16_000)
    assert abs(frequency - 1000) < 5
    assert 0.15 < level < 0.25  # a sine of 0.3 has 0.21
    starts = [audio.start_sample for audio in orchestrator.all("user_audio")]
    sizes = [len(audio.data) // 2 for audio in orchestrator.all("user_audio")]
    assert starts == [sum(sizes[:n]) for n in range(len(sizes))]


async def test_what_the_rate_cannot_carry_does_not_fold_back(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    async with user.microphone(48_000) as microphone:
        await microphone.tone(11_000, 1.0, level=0.5)  # would fold to 5 kHz at 16 kHz
        await orchestrator.wait("user_audio", count=60)
    assert np.sqrt(np.mean(microphone_audio(orchestrator)[4_000:] ** 2)) < 0.01


async def test_a_muted_microphone_is_silence_and_then_heard_again(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    async with user.microphone() as microphone:
        await microphone.tone(1000, 0.5)
        microphone.track.mute()
        await asyncio.sleep(0.3)
        begin = len(orchestrator.all("user_audio"))
        talking = asyncio.create_task(microphone.tone(1000, 0.6))
        await orchestrator.wait("user_audio", count=begin + 25)  # the stream goes on
        assert np.max(np.abs(microphone_audio(orchestrator, begin))) < 0.01
        await talking
        microphone.track.unmute()
        await microphone.tone(1000, 0.6)
        await asyncio.sleep(0.2)
    assert np.max(np.abs(microphone_audio(orchestrator, begin + 25))) > 0.1


async def test_a_microphone_that_goes_leaves_silence_behind(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    async with user.microphone() as microphone:
        await microphone.tone(1000, 0.5)
    count = len(orchestrator.all("user_audio"))
    await orchestrator.wait("user_audio", count=count + 30)
    assert np.max(np.abs(microphone_audio(orchestrator, count + 10))) < 0.01


async def test_the_first_speaker_owns_the_conversation_until_they_leave(
    stage: Any, room: str
) -> None:
    orchestrator = await stage.session(room)
    ann, bob = await stage.user(room, "ann"), await stage.user(room, "bob")
    async with bob.microphone() as bobs, ann.microphone() as anns:
        await asyncio.gather(anns.silence(0.4), bobs.silence(0.4))
        await asyncio.gather(anns.tone(600, 0.6), bobs.silence(0.6))
        # Ann took the floor although Bob's microphone came first; nothing of her words is lost.
        await asyncio.sleep(0.3)
        loud = np.flatnonzero(np.abs(microphone_audio(orchestrator)) > 0.1)
        assert loud[-1] - loud[0] > 0.9 * 0.6 * 16_000
        count = len(orchestrator.all("user_audio"))
        await asyncio.gather(anns.silence(0.5), bobs.tone(1500, 0.5))
        await bob.type("may I?")
        await asyncio.sleep(0.2)
        assert np.max(np.abs(microphone_audio(orchestrator, count))) < 0.02
        assert not orchestrator.all("user_text")
        assert [e["code"] for e in bob.events if e["type"] == "error"] == ["INVALID_FIELD"]
        await ann.room.disconnect()
        await asyncio.sleep(0.3)
        await bobs.tone(1500, 0.6)
        await asyncio.sleep(0.2)
    frequency, level = dominant(microphone_audio(orchestrator)[-9_600:], 16_000)
    assert level > 0.02
    assert abs(frequency - 1500) < 10
    assert len(orchestrator.all("participant")) == 1  # the session still has its client


async def test_video_only_is_a_user_who_types(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    source = rtc.VideoSource(64, 48)
    track = rtc.LocalVideoTrack.create_video_track("camera", source)
    await user.room.local_participant.publish_track(
        track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)
    )
    for _ in range(10):
        source.capture_frame(rtc.VideoFrame(64, 48, rtc.VideoBufferType.RGBA, bytes(64 * 48 * 4)))
        await asyncio.sleep(0.03)
    await user.until_attribute("ready", "1")
    await user.type("Hello!")
    assert (await orchestrator.wait("user_text")).text == "Hello!"
    assert not orchestrator.all("user_audio")
    await source.aclose()


@pytest.mark.slow
async def test_typed_texts_are_bounded(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await user.until_attribute("ready", "1")
    async with asyncio.timeout(60):  # the sender's library sends all of it, whatever is taken
        await user.type("x" * 10_000_000)
    fault = await orchestrator.wait("fault", seconds=20)
    assert "4000" in fault.message
    await user.type("   ")
    await orchestrator.wait("fault", count=2, seconds=20)
    await user.type("é" * 4_000)
    assert (await orchestrator.wait("user_text", seconds=20)).text == "é" * 4_000
    assert len(orchestrator.all("user_text")) == 1
    assert not orchestrator.done.is_set()


async def test_stop_is_a_call(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await user.until_attribute("ready", "1")
    await user.room.local_participant.perform_rpc(
        destination_identity="avatar", method="stagewire.interrupt", payload=""
    )
    await orchestrator.wait("user_interrupt")
