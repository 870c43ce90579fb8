"""Clients that send what they must not, send too much, or read nothing: it is their own loss."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stagewire.common.v1 import error_pb2, turn_pb2
from stagewire.egress.v1 import egress_pb2
from websockets.exceptions import ConnectionClosed

Change = egress_pb2.Participant


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01" * 23,
        bytes([1, 1]) + bytes(22),  # no samples
        bytes([1, 1]) + bytes(14) + (1).to_bytes(4, "little") + bytes(4) + b"\0\0\0",  # odd
        bytes([1, 1]) + bytes(14) + (2).to_bytes(4, "little") + bytes(4) + b"\0\0",  # a lie
        bytes([1, 2]) + bytes(14) + (1).to_bytes(4, "little") + bytes(4) + b"\0\0",  # version
        bytes([2, 1]) + bytes(14) + (1).to_bytes(4, "little") + bytes(4) + b"\0\0",  # kind
        "not json",
        "17",
        '{"no":"type"}',
    ],
)
async def test_malformed_messages_end_the_connection_with_an_error(
    egress: Any, message: str | bytes
) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await client.ws.send(message)
    assert (await client.recv())["type"] == "error"
    assert await client.closed() == 4400
    await egress.client(orchestrator)  # the session lives


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "dance"}, "UNKNOWN_COMMAND"),
        ({"type": "text", "text": ""}, "INVALID_FIELD"),
        ({"type": "text", "text": " \n "}, "INVALID_FIELD"),
        ({"type": "text", "text": "x" * 4_001}, "INVALID_FIELD"),
        ({"type": "text"}, "INVALID_FIELD"),
        ({"type": "playback", "turn": -1, "played_samples": 0}, "INVALID_FIELD"),
        ({"type": "playback", "turn": 1, "played_samples": 1.5}, "INVALID_FIELD"),
        ({"type": "playback", "turn": 1, "played_samples": 10**30}, "INVALID_FIELD"),
        ({"type": "playback", "turn": True, "played_samples": 1}, "INVALID_FIELD"),
    ],
)
async def test_wrong_commands_are_told_and_the_connection_goes_on(
    egress: Any, message: dict[str, Any], code: str
) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await client.ws.send(json.dumps(message))
    error = await client.recv()
    assert (error["type"], error["code"]) == ("error", code)
    await client.send(type="text", text="é" * 4_000)
    assert (await orchestrator.wait("user_text")).text == "é" * 4_000
    await client.send(type="interrupt")
    await orchestrator.wait("user_interrupt")


async def test_a_message_of_10_mb_is_refused(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await client.ws.send(bytes(10 << 20))
    assert await client.closed() == 1009
    assert not orchestrator.all("user_audio")


async def test_a_burst_is_taken_and_a_flood_is_not(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    for _ in range(9):  # 4.5 s at once
        await client.speak(bytes(16_000))
    await orchestrator.wait("user_audio", 9)
    for _ in range(20):
        await client.speak(bytes(16_000))
    assert (await client.recv())["code"] == "PEER_TOO_SLOW"
    assert await client.closed() == 4429


async def test_a_flood_of_messages_is_refused(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    for _ in range(400):
        await client.send(type="playback", turn=1, played_samples=0)
    assert await client.closed() == 4429


async def test_a_client_that_never_reads_harms_only_itself(egress: Any) -> None:
    slow, quick = await egress.session("slow"), await egress.session("quick")
    sleeper = await egress.client(slow, "slow", max_queue=1)
    reader = await egress.client(quick, "quick")
    await slow.turn(1, chunks=750)
    for number in range(1, 6):
        length = await quick.turn(number)
        await reader.until("end_of_turn", turn=number, seconds=2)
        await reader.played(number, length)
        ended = await quick.wait("turn_ended", number)
        assert ended.reason == turn_pb2.TURN_END_REASON_COMPLETED
    fault = await slow.wait("fault")
    assert fault.reason == error_pb2.ERROR_REASON_PEER_TOO_SLOW
    assert (await slow.wait("participant", 2)).change == Change.CHANGE_LEFT
    ended = await slow.wait("turn_ended")
    assert (ended.reason, ended.played_samples) == (turn_pb2.TURN_END_REASON_FAILED, 0)
    assert not quick.all("fault")
    assert sleeper.ws.close_code in {None, 1006, 4408}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all examples: grpc's poller may still have something for one that is closed."""
    with asyncio.Runner() as runner:
        yield runner


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(messages=st.lists(st.one_of(st.binary(max_size=200), st.text(max_size=200)), max_size=5))
def test_no_bytes_crash_the_stage(
    egress_with: Any, runner: asyncio.Runner, caplog: Any, messages: list[str | bytes]
) -> None:
    async def run() -> None:
        async with egress_with() as egress:
            orchestrator = await egress.session()
            client = await egress.client(orchestrator)
            with suppress(ConnectionClosed):  # it may be refused before all is said
                for message in messages:
                    await client.ws.send(message)
                await client.send(type="leave")
            assert await client.closed() in {1000, 4400}
            again = await egress.client(orchestrator)
            await again.send(type="text", text="still here")
            await orchestrator.wait("user_text")

    runner.run(run())
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
