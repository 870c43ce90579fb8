"""What a conversation gets through the spatius backend when all is well, and when it is cut."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from motion.conftest import COMPLETED, INTERRUPTED, voice
from stagewire_motion_codec import spatius

TRACE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@pytest.mark.parametrize("hertz", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
async def test_motion_covers_the_voice_at_any_rate(rig: Any, hertz: int) -> None:
    conversation = await (await rig()).conversation(hertz)
    ended = await conversation.turn(1, seconds=2.5)
    assert ended.reason == COMPLETED
    motion = conversation.motion(1)
    assert [m.start_sample for m in motion] == [0, *(m.end_sample for m in motion[:-1])]
    assert all(m.end_sample * 25 // hertz * hertz // 25 == m.end_sample for m in motion)
    # Whole keyframes only, and a resampler may keep the last sample.
    assert 2.5 - 0.08 <= motion[-1].end_sample / hertz <= 2.5
    assert conversation.keyframes(1) in (61, 62)


async def test_ready_announces_the_codec_and_how_long_lips_are_worth_waiting_for(rig: Any) -> None:
    started = await rig(first_motion_wait=0.6)
    ready = (await started.conversation()).ready
    assert (ready.codec, ready.frame_rate) == ("spatius.message", 25)
    assert ready.connection_id == started.sessions[0].connection_id
    assert ready.first_motion_wait.ToNanoseconds() == 600_000_000


async def test_payloads_are_the_servers_own_bytes(rig: Any, monkeypatch: Any) -> None:
    sent: list[bytes] = []
    pack = spatius.pack
    monkeypatch.setattr(spatius, "pack", lambda animation: sent.append(pack(animation)) or sent[-1])
    conversation = await (await rig()).conversation()
    await conversation.turn(1, seconds=7)
    assert [m.payload for m in conversation.motion(1)] == sent
    assert [len(spatius.unpack(p).keyframes) for p in sent] == [50, 100, 25]


async def test_one_session_serves_all_turns_and_each_is_a_request(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    for turn in (1, 2, 3):
        assert (await conversation.turn(turn)).reason == COMPLETED
    assert len(started.sessions) == 1
    requests = [spatius.unpack(m.payload).req_id for m in conversation.of("motion")]
    assert len(set(requests)) == 3
    ends = [spatius.unpack(m.payload).end for m in conversation.of("motion")]
    assert ends == [True] * 3, "a turn of a second is one message, and its last"


async def test_a_turn_without_a_word_completes(rig: Any) -> None:
    conversation = await (await rig()).conversation()
    await conversation.start(1)
    await conversation.end(1)
    assert (await conversation.ended(1)).reason == COMPLETED
    # The vendor's client waits for the mark that the turn is over, also when it shows nothing.
    (mark,) = conversation.motion(1)
    assert (mark.start_sample, mark.end_sample) == (0, 0)
    assert spatius.unpack(mark.payload).end


async def test_the_turns_trace_goes_out_with_its_audio(rig: Any) -> None:
    conversation = await (await rig()).conversation()
    for turn, trace in ((1, TRACE), (2, TRACE.replace("ab", "ef"))):
        await conversation.start(turn, trace)
        await conversation.say(turn, voice(1))
        await conversation.end(turn)
        await conversation.ended(turn)
        (motion,) = conversation.motion(turn)
        # The Motion Server continues the trace that came with the request.
        assert spatius.unpack(motion.payload).traceparent.split("-")[1] == trace.split("-")[1]


async def test_opus_goes_up_as_well(rig: Any) -> None:
    started = await rig(audio="opus")
    conversation = await started.conversation(22_050)
    assert (await conversation.turn(1, seconds=2.5)).reason == COMPLETED
    assert conversation.keyframes(1) in (61, 62, 63)
    assert not conversation.of("degraded")


async def test_an_interrupt_reaches_the_server_and_nothing_late_gets_by(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    started.faults(latency=0.3)
    await conversation.start(1)
    await conversation.say(1, voice(20))
    began = time.monotonic()
    await conversation.interrupt(1)
    assert (await conversation.ended(1)).reason == INTERRUPTED
    assert time.monotonic() - began < 1.0
    started.faults()
    assert (await conversation.turn(2)).reason == COMPLETED
    after = [r.WhichOneof("message") for r in conversation.seen]
    assert "motion" not in after[: after.index("turn_ended")]
    assert not conversation.motion(1)


async def test_an_interrupt_overtakes_audio_that_waits(rig: Any) -> None:
    """The server stops making motion as soon as it hears it, although a minute was queued."""
    started = await rig()
    conversation = await started.conversation()
    await conversation.start(1)
    await conversation.say(1, voice(50), piece=1.0)
    await conversation.interrupt(1)
    await conversation.turn(2)
    made = sum(conversation.keyframes(turn) for turn in (1, 2))
    assert made < 50 * 25
    assert conversation.keyframes(2) == 25


@pytest.mark.parametrize("seconds", [0.0, 0.02, 1.0])
async def test_interrupts_before_the_first_byte_and_after_the_end(rig: Any, seconds: float) -> None:
    conversation = await (await rig()).conversation()
    await conversation.start(1)
    if seconds:
        await conversation.say(1, voice(seconds))
        await conversation.end(1)
    await conversation.interrupt(1)
    await conversation.interrupt(1)
    assert (await conversation.ended(1)).reason in (INTERRUPTED, COMPLETED)
    assert (await conversation.turn(2)).reason == COMPLETED
    assert conversation.keyframes(2) == 25


async def test_ten_interrupts_per_second(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    for turn in range(1, 21):
        await conversation.start(turn)
        await conversation.say(turn, voice(3))
        await asyncio.sleep(0.1)
        await conversation.interrupt(turn)
    assert (await conversation.turn(21)).reason == COMPLETED
    assert [e.reason for e in conversation.of("turn_ended")] == [INTERRUPTED] * 20 + [COMPLETED]
    assert conversation.keyframes(21) == 25
    assert len(started.sessions) == 1


async def test_a_new_turn_supersedes_the_one_before(rig: Any) -> None:
    conversation = await (await rig()).conversation()
    await conversation.start(1)
    await conversation.say(1, voice(9))
    assert (await conversation.turn(2)).reason == COMPLETED
    assert [e.turn for e in conversation.of("turn_ended")] == [1, 2]
    turns = [m.turn for m in conversation.of("motion")]
    assert turns == sorted(turns)
    assert conversation.keyframes(2) == 25


async def test_two_conversations_share_nothing(rig: Any) -> None:
    started = await rig()
    one, two = await started.conversation(), await started.conversation(session_id="t")
    await asyncio.gather(one.turn(1, seconds=1), two.turn(1, seconds=3))
    assert (one.keyframes(1), two.keyframes(1)) == (25, 75)
    ids = {spatius.unpack(m.payload).connection_id for m in one.of("motion")}
    assert ids == {one.ready.connection_id} != {two.ready.connection_id}


async def test_a_peer_that_closes_its_side_still_gets_the_last_motion(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    started.faults(latency=0.2)
    await conversation.start(1)
    await conversation.say(1, voice(1))
    await conversation.end(1)
    await conversation.leave()
    assert (await conversation.ended(1)).reason == COMPLETED
    assert conversation.keyframes(1) == 25


async def test_a_conversation_that_ends_ends_its_session(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    assert len(started.sessions) == 1
    await conversation.leave()
    async with asyncio.timeout(5):
        while started.sessions:
            await asyncio.sleep(0.01)
