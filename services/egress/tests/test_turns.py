"""Turns through the whole stage: a real gRPC stream at one end, a real WebSocket at the other."""

from __future__ import annotations

import asyncio
from typing import Any

from stagewire.common.v1 import error_pb2, turn_pb2

RATE = 24_000


async def test_media_reaches_the_client_unchanged_and_in_order(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.say(turn_start={"turn": 1})
    voice = bytes(range(256)) * 8
    await orchestrator.say(audio={"turn": 1, "audio": {"data": voice, "start_sample": 0}})
    await orchestrator.say(
        motion={"turn": 1, "payload": b"\x00motion\xff", "start_sample": 0, "end_sample": 480}
    )
    mark = {"turn": 1, "payload": b"over", "start_sample": 480, "end_sample": 480}
    await orchestrator.say(motion=mark)  # a vendor's, which shows nothing
    word = {"text": "Röm", "start_sample": 1, "end_sample": 9, "text_start": 0, "text_end": 3}
    await orchestrator.say(words={"turn": 1, "words": [word]})
    await orchestrator.say(end_of_turn={"turn": 1})
    assert await client.until("end_of_turn") == [
        {"type": "turn_start", "turn": 1},
        {"type": "voice", "turn": 1, "start": 0, "end": 1024, "payload": voice},
        {"type": "motion", "turn": 1, "start": 0, "end": 480, "payload": b"\x00motion\xff"},
        {"type": "motion", "turn": 1, "start": 480, "end": 480, "payload": b"over"},
        {"type": "words", "turn": 1, "words": [word]},
        {"type": "end_of_turn", "turn": 1, "sample_count": 1024},
    ]


async def test_a_turn_completes_when_the_client_has_confirmed_all_of_it(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    length = await orchestrator.turn(1)
    await client.until("end_of_turn")
    await client.played(1, length // 2)
    playback = await orchestrator.wait("playback")
    assert playback.played_samples == length // 2
    assert not playback.HasField("client_buffer")
    assert not orchestrator.all("turn_ended")
    await client.played(1, length)
    ended = await orchestrator.wait("turn_ended")
    assert (ended.turn, ended.played_samples) == (1, length)
    assert ended.reason == turn_pb2.TURN_END_REASON_COMPLETED
    assert ended.timing.since_trigger.ToMilliseconds() >= 0


async def test_how_long_the_client_held_the_first_sound_is_told(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    length = await orchestrator.turn(1)
    await client.until("end_of_turn")
    await client.played(1, 100, buffer_milliseconds=82.5)
    playback = await orchestrator.wait("playback")
    assert playback.client_buffer.ToMicroseconds() == 82_500
    await client.played(1, 200, buffer_milliseconds=-1)
    assert (await client.until("error"))[-1]["code"] == "INVALID_FIELD"
    await client.played(1, length)
    assert (await orchestrator.wait("turn_ended")).played_samples == length
    assert orchestrator.all("playback")[-1].client_buffer.ToMicroseconds() == 82_500


async def test_an_interrupt_is_sent_at_once_and_ends_with_the_clients_last_report(
    egress: Any,
) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.turn(1, end=False)
    await client.until("motion", end=4_800)
    await client.played(1, 1_000)
    await orchestrator.wait("playback")
    await orchestrator.say(interrupt={"turn": 1})
    await client.until("interrupt", turn=1)
    await client.played(1, 2_500, stopped=True)
    ended = await orchestrator.wait("turn_ended")
    assert (ended.played_samples, ended.reason) == (2_500, turn_pb2.TURN_END_REASON_INTERRUPTED)


async def test_a_client_that_does_not_answer_an_interrupt_leaves_the_last_position(
    egress: Any,
) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.turn(1, end=False)
    await client.until("motion", end=4_800)
    await client.played(1, 1_000)
    await orchestrator.wait("playback")
    await orchestrator.say(interrupt={"turn": 1})
    ended = await orchestrator.wait("turn_ended")
    assert (ended.played_samples, ended.reason) == (1_000, turn_pb2.TURN_END_REASON_INTERRUPTED)


async def test_what_was_cut_is_dropped_and_the_next_turn_need_not_wait(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.turn(1, chunks=2, end=False)
    await client.until("motion", end=1_920)
    await orchestrator.say(interrupt={"turn": 1})
    await orchestrator.audio(1, 1_920, 960)  # late, of the old turn
    await orchestrator.turn(2, chunks=1)
    seen = await client.until("end_of_turn")
    assert seen[0] == {"type": "interrupt", "turn": 1}
    assert [m["turn"] for m in seen[1:]] == [2, 2, 2, 2]
    await client.played(1, 500, stopped=True)  # the old turn's last report comes late, and counts
    await client.played(2, 960)
    first, second = await orchestrator.wait("turn_ended"), await orchestrator.wait("turn_ended", 2)
    assert (first.turn, first.played_samples) == (1, 500)
    assert (second.turn, second.reason) == (2, turn_pb2.TURN_END_REASON_COMPLETED)
    assert not orchestrator.all("fault")


async def test_a_newer_turn_supersedes(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.turn(1, chunks=1)
    await client.until("end_of_turn")
    await orchestrator.say(turn_start={"turn": 2})
    ended = await orchestrator.wait("turn_ended")
    assert (ended.turn, ended.reason) == (1, turn_pb2.TURN_END_REASON_SUPERSEDED)
    assert [m["type"] for m in await client.until("turn_start")] == ["interrupt", "turn_start"]


async def test_impossible_reports_are_ignored_and_told_once(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    length = await orchestrator.turn(1)
    await client.until("end_of_turn")
    await client.played(1, 2_000)
    await client.played(1, 1_000)  # backwards
    await client.played(1, length + 1)  # past what was sent
    await client.played(9, 1)  # a turn that never was
    await client.played(1, 3_000)
    assert (await orchestrator.wait("playback", 2)).played_samples == 3_000
    assert len(orchestrator.all("fault")) == 1
    assert orchestrator.all("fault")[0].reason == error_pb2.ERROR_REASON_INVALID_FIELD


async def test_a_gap_ends_the_stream_and_the_client_may_come_back(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.say(turn_start={"turn": 1})
    await orchestrator.audio(1, 0, 100)
    await orchestrator.audio(1, 101, 100)
    await orchestrator.done.wait()
    assert "starts at sample 101; expected 100" in orchestrator.error.details()
    assert await client.closed() == 1012
    await egress.client(await egress.session())


async def test_an_empty_turn_completes(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.say(turn_start={"turn": 1})
    await orchestrator.say(end_of_turn={"turn": 1})
    ended = await orchestrator.wait("turn_ended")
    assert (ended.played_samples, ended.reason) == (0, turn_pb2.TURN_END_REASON_COMPLETED)
    await client.until("end_of_turn")


async def test_events_and_control_overtake_queued_media(egress_with: Any) -> None:
    """The client stops reading; 30 s of media pile up; then it reads: the interrupt came first."""
    async with egress_with(stall_seconds=30.0) as egress:
        await _overtakes(egress)


async def _overtakes(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator, max_queue=1)
    await orchestrator.turn(1, chunks=750, end=False)
    await asyncio.sleep(0.2)  # nothing is read: buffers fill, the rest waits in egress
    await orchestrator.say(event={"session_id": "s1", "sequence": 5, "state_changed": {"state": 2}})
    await orchestrator.say(interrupt={"turn": 1})
    await orchestrator.wait("turn_ended")
    seen = await client.until("interrupt")
    heard = sum(m["end"] - m["start"] for m in seen if m["type"] == "voice") / RATE
    assert heard < 15  # of 30 s; what is in the sockets' buffers (about 5 s) cannot be overtaken
    assert (await client.recv())["event"]["state_changed"] == {
        "state": "CONVERSATION_STATE_LISTENING"
    }
    await orchestrator.say(turn_start={"turn": 2})
    assert await client.recv() == {"type": "turn_start", "turn": 2}  # nothing of turn 1 follows


async def test_turns_wait_for_a_client_that_has_not_joined_yet(egress: Any) -> None:
    orchestrator = await egress.session()
    await orchestrator.turn(1)
    await asyncio.sleep(1.3)  # longer than return_seconds, which only counts from a departure
    assert not orchestrator.all("turn_ended")
    client = await egress.client(orchestrator)
    assert [m["type"] for m in await client.until("end_of_turn")].count("voice") == 5


async def test_a_client_that_confirms_nothing_meets_the_deadline(
    egress: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("stagewire_egress.playout.PATIENCE_SECONDS", 0.2)
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.turn(1)
    await client.until("end_of_turn")
    ended = await orchestrator.wait("turn_ended")
    assert (ended.reason, ended.played_samples) == (turn_pb2.TURN_END_REASON_DEADLINE, 0)
    await client.until("interrupt")


async def test_the_end_of_the_stream_ends_the_turn_and_the_client(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.turn(1)
    await client.until("end_of_turn")
    await orchestrator.say(event={"session_ended": {"reason": "ended by the caller"}})
    await orchestrator.hang_up()
    assert orchestrator.error is None
    (ended,) = orchestrator.all("turn_ended")
    assert ended.reason == turn_pb2.TURN_END_REASON_INTERRUPTED
    assert [m["type"] for m in await client.until("interrupt")] == ["event", "interrupt"]
    assert await client.closed() == 1000


async def test_a_flooding_orchestrator_is_slowed_down_not_buffered(egress_with: Any) -> None:
    async with egress_with(max_media_bytes=1 << 16) as egress:
        orchestrator = await egress.session()
        await orchestrator.say(turn_start={"turn": 1})

        async def flood() -> None:
            for index in range(40):  # 40 MB
                await orchestrator.audio(1, index * 500_000, 500_000)

        sending = asyncio.create_task(flood())
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        client = await egress.client(orchestrator)
        position = 0
        while position < 20_000_000:
            message = await client.recv()
            if message["type"] == "voice":
                position = message["end"]
                await client.played(1, position)
        await sending
