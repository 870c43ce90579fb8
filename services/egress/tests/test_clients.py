"""Clients: joining, talking, coming back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import numpy as np
import pytest
from stagewire.common.v1 import turn_pb2
from stagewire.egress.v1 import egress_pb2
from websockets.exceptions import InvalidStatus

Change = egress_pb2.Participant


async def test_joined_tells_what_will_come(egress: Any) -> None:
    orchestrator = await egress.session(idle_motion=[b"still", b"life"])
    client = await egress.socket(orchestrator.join_url)
    await client.send(
        type="join", token="token-of-s1-0123456789", microphone={"sample_rate_hertz": 48_000}
    )
    assert await client.recv() == {
        "type": "joined",
        "session_id": "s1",
        "voice": {"sample_rate_hertz": 24_000},
        "motion": {
            "codec": "stagewire.arkit52",
            "frame_rate": 50,
            "idle": ["c3RpbGw=", "bGlmZQ=="],
        },
        "turn": 0,
    }
    participant = await orchestrator.wait("participant")
    assert participant.change == Change.CHANGE_JOINED


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"type":"join","token":"wrong-token-0123456789","microphone":MIC}', 4401),
        ('{"type":"join","token":"","microphone":MIC}', 4401),
        ('{"type":"join","token":"token-of-s1-0123456789"}', 4400),
        ('{"type":"join","token":"token-0123456789","microphone":{"sample_rate_hertz":0}}', 4400),
        ('{"type":"join","token":17,"microphone":MIC}', 4400),
        ('{"type":"text","text":"hello"}', 4400),
        ("[" * 50_000, 4400),
        ('{"type":"join","token":"\\ud800","microphone":MIC}', 4400),
        ("", 4400),
        (b"\x01\x01", 4400),
        (None, 4408),
    ],
)
async def test_who_does_not_join_correctly_is_closed(
    egress: Any, first: str | bytes | None, code: int
) -> None:
    orchestrator = await egress.session()
    client = await egress.socket(orchestrator.join_url)
    if first is not None:
        if isinstance(first, str):
            first = first.replace("MIC", '{"sample_rate_hertz":16000}')
        await client.ws.send(first)
    assert await client.closed() == code
    assert client.ws.close_reason
    assert not orchestrator.all("participant")


async def test_a_client_may_come_back_before_its_orchestrator(egress_with: Any) -> None:
    async with egress_with(join_seconds=3.0) as bench:
        first = await bench.session()
        client = await bench.client(first)
        first.cancel()  # a proxy between them restarts, say
        assert await client.closed() == 1012
        again = await bench.socket(first.join_url)
        await again.send(
            type="join", token="token-of-s1-0123456789", microphone={"sample_rate_hertz": 16_000}
        )
        await asyncio.sleep(0.3)
        await bench.session()
        assert (await again.recv())["type"] == "joined"


async def test_the_token_and_what_users_say_are_never_logged(egress: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("stagewire_egress").setLevel(logging.DEBUG)
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await client.send(type="text", text="my secret wish")
    await client.send(type="text", text="", more="my secret wish")
    await orchestrator.wait("user_text")
    await client.until("error")
    log = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("websockets.c"))
    assert "client joins" in log
    assert "token-of-s1" not in log
    assert "secret wish" not in log


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:3000", True),
        ("http://localhost", True),
        ("https://127.0.0.1:8443", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost:3000/x", False),
        ("null", False),
    ],
)
async def test_pages_of_other_origins_are_refused(
    egress: Any, origin: str | None, allowed: bool
) -> None:
    orchestrator = await egress.session()
    if allowed:
        await egress.client(orchestrator, origin=origin)
    else:
        with pytest.raises(InvalidStatus, match="403"):
            await egress.client(orchestrator, origin=origin)


async def test_the_operator_says_which_pages_may_connect(egress_with: Any) -> None:
    async with egress_with(websocket_origins="https://*.example.com, https://a.test") as egress:
        orchestrator = await egress.session()
        for origin in ("https://shop.example.com", "https://a.test"):
            await egress.client(orchestrator, origin=origin)
        for origin in ("https://example.com", "http://localhost:3000", "https://a.test.evil"):
            with pytest.raises(InvalidStatus, match="403"):
                await egress.client(orchestrator, origin=origin)
    async with egress_with(websocket_origins="*") as egress:
        await egress.client(await egress.session(), origin="https://any.example")


async def test_other_paths_do_not_exist(egress: Any) -> None:
    orchestrator = await egress.session()
    with pytest.raises(InvalidStatus, match="404"):
        await egress.socket(orchestrator.join_url.replace("/v1/join", "/"))


async def test_a_second_client_replaces_the_first_and_goes_on_where_that_was(egress: Any) -> None:
    orchestrator = await egress.session()
    first = await egress.client(orchestrator)
    length = await orchestrator.turn(1)
    await first.until("end_of_turn")
    await first.played(1, 2_000)
    await orchestrator.wait("playback")
    second = await egress.client(orchestrator)
    assert await first.closed() == 4409
    assert (await orchestrator.wait("participant", 2)).change == Change.CHANGE_RETURNED
    seen = await second.until("end_of_turn")
    assert seen[0] == {"type": "turn_start", "turn": 1}
    voice = [m for m in seen if m["type"] == "voice"]
    assert voice[0]["start"] <= 2_000 < voice[0]["end"]  # what was played is not sent again
    assert voice[-1]["end"] == length
    await second.played(1, length)
    ended = await orchestrator.wait("turn_ended")
    assert ended.reason == turn_pb2.TURN_END_REASON_COMPLETED


async def test_a_client_that_comes_back_in_time_loses_nothing(egress: Any) -> None:
    orchestrator = await egress.session()
    first = await egress.client(orchestrator)
    await orchestrator.turn(1, chunks=2, end=False)
    await first.until("motion", end=1_920)
    first.ws.transport.abort()  # the network drops
    assert (await orchestrator.wait("participant", 2)).change == Change.CHANGE_LEFT
    await orchestrator.audio(1, 1_920, 960)
    await orchestrator.say(end_of_turn={"turn": 1})
    second = await egress.client(orchestrator)
    seen = await second.until("end_of_turn")
    assert [m["start"] for m in seen if m["type"] == "voice"] == [0, 960, 1_920]
    assert not orchestrator.all("turn_ended")


async def test_a_turn_fails_when_the_client_stays_away(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    length = await orchestrator.turn(1)
    await client.until("end_of_turn")
    await client.played(1, length // 2)
    await client.send(type="leave")
    assert await client.closed() == 1000
    ended = await orchestrator.wait("turn_ended")
    assert (ended.reason, ended.played_samples) == (turn_pb2.TURN_END_REASON_FAILED, length // 2)
    await orchestrator.turn(2)
    ended = await orchestrator.wait("turn_ended", 2)
    assert ended.reason == turn_pb2.TURN_END_REASON_FAILED


async def test_an_interrupt_while_the_client_is_away_reaches_it_as_silence(egress: Any) -> None:
    orchestrator = await egress.session()
    first = await egress.client(orchestrator)
    await orchestrator.turn(1)
    await first.until("end_of_turn")
    first.ws.transport.abort()
    await orchestrator.wait("participant", 2)
    await orchestrator.say(interrupt={"turn": 1})
    ended = await orchestrator.wait("turn_ended")
    assert (ended.reason, ended.played_samples) == (turn_pb2.TURN_END_REASON_INTERRUPTED, 0)
    second = await egress.client(orchestrator)
    await orchestrator.say(event={"sequence": 1})
    assert (await second.recv())["type"] == "event"  # nothing of turn 1, and joined.turn was 0


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
async def test_the_microphone_arrives_at_the_rate_that_was_asked_for(
    egress: Any, rate: int
) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator, rate=rate)
    seconds = np.arange(2 * rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 440 * seconds) * 32767).astype("<i2")
    for start in range(0, len(tone), rate // 50):
        await client.speak(tone[start : start + rate // 50].tobytes())
    expected = 2 * 16_000
    async with asyncio.timeout(5):
        while sum(len(a.data) for a in orchestrator.all("user_audio")) < 2 * expected * 0.98:
            await asyncio.sleep(0.01)
    position = 0
    for audio in orchestrator.all("user_audio"):
        assert audio.start_sample == position
        position += len(audio.data) // 2
    heard = np.frombuffer(b"".join(a.data for a in orchestrator.all("user_audio")), "<i2")
    spectrum = np.abs(np.fft.rfft(heard[4_000:20_000].astype(float)))
    assert int(np.argmax(spectrum)) == 440
    assert np.abs(heard[4_000:20_000]).max() == pytest.approx(0.5 * 32767, rel=0.02)


async def test_microphone_samples_count_on_when_the_client_comes_back(egress: Any) -> None:
    orchestrator = await egress.session()
    first = await egress.client(orchestrator)
    await first.speak(b"\1\0" * 320)
    await orchestrator.wait("user_audio")
    second = await egress.client(orchestrator)
    await second.speak(b"\2\0" * 320)
    audio = await orchestrator.wait("user_audio", 2)
    assert (audio.start_sample, audio.data) == (320, b"\2\0" * 320)


async def test_nothing_of_one_session_reaches_another(egress: Any) -> None:
    names = [f"session-{index}" for index in range(5)]
    orchestrators = [await egress.session(name) for name in names]
    clients = [
        await egress.client(orchestrator, name)
        for orchestrator, name in zip(orchestrators, names, strict=True)
    ]

    async def talk(tag: int) -> None:
        orchestrator, client = orchestrators[tag], clients[tag]
        for number in range(1, 4):
            length = await orchestrator.turn(number, tag=tag + 1)
            await client.speak(bytes([tag + 1]) * 640)
            for message in await client.until("end_of_turn"):
                if "payload" in message:
                    assert set(message["payload"]) == {tag + 1}
            await client.played(number, length)
            await orchestrator.wait("turn_ended", number)
        audio = [await orchestrator.wait("user_audio", number) for number in (1, 2, 3)]
        assert set(b"".join(a.data for a in audio)) == {tag + 1}

    async with asyncio.timeout(20):
        await asyncio.gather(*(talk(tag) for tag in range(len(names))))
