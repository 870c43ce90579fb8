"""Opening, being full, deadlines and cancels: how calls begin and end, whatever the stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import grpc
import pytest
from contract.probes import describe, idle
from contract.stage import MAX_SESSIONS, Stage, hum, pcm_format
from contract.wire import Call

Begin = Callable[..., Call]


async def test_short_session(stage: Stage, begin: Begin) -> None:
    await stage.short_session(begin())


async def test_ready_comes_first_though_media_follow_open_at_once(
    stage: Stage, begin: Begin
) -> None:
    call = begin()
    voice = stage.audio(hum(640))
    await call.send(stage.open(), *stage.before_audio(), *([voice] if voice else []))
    assert (await call.receive()).WhichOneof("message") == "ready"


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.about("asr", "motion_bridge", "egress")
async def test_every_sample_rate_in_range_is_taken(stage: Stage, begin: Begin, rate: int) -> None:
    call = begin()
    wanted = {field: pcm_format(rate) for field in stage.formats}
    await call.send(stage.open(**wanted), *stage.before_audio(), stage.audio(hum(rate // 20)))
    assert (await call.receive()).WhichOneof("message") == "ready"
    await call.half_close()
    await call.rest()


async def test_nothing_comes_before_open(stage: Stage, begin: Begin) -> None:
    assert await begin().quiet(0.2) == []


async def test_full(channel: grpc.aio.Channel, stage: Stage, begin: Begin) -> None:
    places = (await describe(channel)).limits["sessions"]
    if places > 32:
        pytest.skip(f"the server under test takes {places} sessions; give it 2")
    holders = [begin() for _ in range(places)]
    for holder in holders:
        await stage.occupy(holder)
    started = time.monotonic()
    refused = begin()
    await refused.send(stage.open())
    status = await refused.status()
    assert time.monotonic() - started < 2.0, "a full stage says so at once"
    assert (status.code, status.reason) == ("RESOURCE_EXHAUSTED", "STAGE_FULL"), status
    assert status.retry_seconds is not None
    assert status.retry_seconds > 0
    assert (await describe(channel)).active == places, "Describe answers while the stage is full"
    for holder in holders:
        holder.cancel()
    await idle(channel)
    await stage.short_session(begin())


async def test_deadline(channel: grpc.aio.Channel, stage: Stage, begin: Begin) -> None:
    call = begin(deadline=0.4)
    await stage.occupy(call)
    assert (await call.status()).code == "DEADLINE_EXCEEDED"
    await idle(channel)
    await stage.short_session(begin())


async def test_a_deadline_that_has_passed_already(stage: Stage, begin: Begin) -> None:
    call = begin(deadline=0.0)
    await call.send(stage.open())
    # Which code is the client library's affair (grpc.aio: also INTERNAL); the stage lives on.
    assert (await call.status()).code != "OK"
    await stage.short_session(begin())


async def test_cancel_frees_the_place(
    channel: grpc.aio.Channel, stage: Stage, begin: Begin
) -> None:
    for _ in range(2 * MAX_SESSIONS):
        call = begin()
        await stage.occupy(call)
        call.cancel()
        await idle(channel)


async def test_cancel_before_ready(channel: grpc.aio.Channel, stage: Stage, begin: Begin) -> None:
    for pause in (0.0, 0.001, 0.005, 0.02):
        call = begin()
        await call.send(stage.open())
        await asyncio.sleep(pause)
        call.cancel()
        await idle(channel)
    await stage.short_session(begin())


async def test_half_close_ends_a_session(stage: Stage, begin: Begin) -> None:
    call = begin()
    await call.send(stage.open())
    assert (await call.receive()).WhichOneof("message") == "ready"
    await call.half_close()
    await call.rest()


@pytest.mark.about("egress")
async def test_a_session_id_in_use(stage: Stage, begin: Begin) -> None:
    first, second = begin(), begin()
    opening = stage.open()
    await first.send(opening)
    assert (await first.receive()).WhichOneof("message") == "ready"
    await second.send(opening)
    status = await second.status()
    assert (status.code, status.reason) == ("ALREADY_EXISTS", "SESSION_EXISTS")
