"""Turns of session-long streams: fenced by their number, each ended exactly once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest
from contract.ledger import Ledger
from contract.stage import RATE, TurnStage, hum
from contract.wire import Call
from stagewire.common.v1 import turn_pb2

pytestmark = pytest.mark.about("motion_bridge", "egress")

Begin = Callable[..., Call]
INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED
SUPERSEDED = turn_pb2.TURN_END_REASON_SUPERSEDED
PIECE = RATE // 20


async def opened(stage: TurnStage, begin: Begin) -> Call:
    call = begin()
    await call.send(stage.open())
    assert (await call.receive()).WhichOneof("message") == "ready"
    return call


def voice(stage: TurnStage, turn: int, pieces: int) -> list[object]:
    return [stage.audio(hum(PIECE), n * PIECE, turn) for n in range(pieces)]


def ends(messages: list[object]) -> list[tuple[int, int]]:
    return [
        (message.turn_ended.turn, message.turn_ended.reason)
        for message in messages
        if message.WhichOneof("message") == "turn_ended"
    ]


@pytest.mark.parametrize("pause", [0.0, 0.005, 0.02])
async def test_interrupt_in_the_first_moments(stage: TurnStage, begin: Begin, pause: float) -> None:
    call = await opened(stage, begin)
    await call.send(stage.turn_start(1), *voice(stage, 1, 4))
    await asyncio.sleep(pause)
    await call.send(stage.interrupt(1))
    assert ends(await call.until("turn_ended")) == [(1, INTERRUPTED)]
    await call.send(*voice(stage, 1, 2))  # late, and dropped
    assert await call.quiet(0.3) == []


async def test_an_interrupt_does_not_wait_behind_media(stage: TurnStage, begin: Begin) -> None:
    """Ten seconds of voice ahead of playback is what a caller may have sent."""
    call = await opened(stage, begin)
    await call.send(stage.turn_start(1), *voice(stage, 1, 200))
    started = time.monotonic()
    await call.send(stage.interrupt(1))
    assert ends(await call.until("turn_ended")) == [(1, INTERRUPTED)]
    assert time.monotonic() - started < 2.0, "generous, for a busy machine; 20 ms is meant"


async def test_interrupt_before_any_media(stage: TurnStage, begin: Begin) -> None:
    call = await opened(stage, begin)
    await call.send(stage.turn_start(1), stage.interrupt(1))
    assert ends(await call.until("turn_ended")) == [(1, INTERRUPTED)]


async def test_interrupt_twice_ends_once(stage: TurnStage, begin: Begin) -> None:
    call = await opened(stage, begin)
    await call.send(stage.turn_start(1), *voice(stage, 1, 2))
    await call.send(stage.interrupt(1), stage.interrupt(1), stage.interrupt(1))
    assert ends(await call.until("turn_ended")) == [(1, INTERRUPTED)]
    assert await call.quiet(0.3) == []


async def test_interrupt_of_a_turn_that_was_never_started_is_ignored(
    stage: TurnStage, begin: Begin
) -> None:
    """A stream that was opened anew may be told to stop what only the stream before it knew."""
    call = await opened(stage, begin)
    await call.send(stage.interrupt(7), stage.turn_start(8), stage.interrupt(8))
    assert ends(await call.until("turn_ended")) == [(8, INTERRUPTED)]


async def test_a_newer_turn_supersedes(stage: TurnStage, begin: Begin) -> None:
    call = await opened(stage, begin)
    await call.send(stage.turn_start(1), *voice(stage, 1, 2), stage.turn_start(2))
    assert ends(await call.until("turn_ended")) == [(1, SUPERSEDED)]
    await call.send(*voice(stage, 1, 1), *voice(stage, 2, 2), stage.interrupt(2))
    assert ends(await call.until("turn_ended")) == [(2, INTERRUPTED)]


async def test_ten_interruptions_in_a_second(stage: TurnStage, begin: Begin) -> None:
    call = await opened(stage, begin)
    for turn in range(1, 11):
        await call.send(stage.turn_start(turn), *voice(stage, turn, 3), stage.interrupt(turn))
    seen: list[tuple[int, int]] = []
    while len(seen) < 10:
        seen += ends(await call.until("turn_ended"))
    assert seen == [(turn, INTERRUPTED) for turn in range(1, 11)]


@pytest.mark.parametrize("seed", range(8))
async def test_any_legal_order(stage: TurnStage, begin: Begin, seed: int) -> None:
    call = await opened(stage, begin)
    ledger = Ledger(stage, seed)
    pauses = random.Random(seed)

    async def speak() -> None:
        for command in ledger.commands(turns=10):
            await call.send(command)
            await asyncio.sleep(pauses.choice([0, 0, 0, 0.003]))
        async with asyncio.timeout(10):
            while len(ledger.ended) < len(ledger.started):
                await asyncio.sleep(0.01)
        await call.half_close()

    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        while (message := await call.receive()) is not None:
            ledger.check(message)
    assert list(ledger.ended) == ledger.started


async def test_half_close_in_a_turn_ends_it_once(stage: TurnStage, begin: Begin) -> None:
    call = await opened(stage, begin)
    await call.send(stage.turn_start(1), *voice(stage, 1, 2))
    await call.half_close()
    assert [turn for turn, _ in ends(await call.rest())] == [1]
