"""SIGTERM: says so in band, takes nothing new, lets work finish, and ends well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest
from contract.probes import describe
from contract.stage import Stage, Target
from contract.stages.tts import Tts
from contract.wire import Call
from support.processes import Service, health

pytestmark = pytest.mark.ends_the_process

Begin = Callable[..., Call]


def process(target: Target) -> Service:
    if target.process is None:
        pytest.skip("signals are sent only where the suite started the process")
    return target.process


def test_nothing_that_was_said_is_in_the_log(target: Target) -> None:
    log = process(target).log()
    assert log.strip()
    assert "heron" not in log
    assert "Traceback" not in log, log[log.index("Traceback") :][:3_000]


async def test_drain(stage: Stage, target: Target, channel: grpc.aio.Channel) -> None:
    service = process(target)
    call = Call(channel, stage.path, stage.response)
    await stage.occupy(call)
    service.terminate()
    if stage.session_long:
        going_away = (await call.until("going_away"))[-1].going_away
        assert going_away.grace.ToTimedelta().total_seconds() > 0
    async with asyncio.timeout(5):
        while await asyncio.to_thread(health, target.address) != "NOT_SERVING":
            await asyncio.sleep(0.05)
    late = Call(channel, stage.path, stage.response)
    await late.send(stage.open())
    status = await late.status()
    assert (status.code, status.reason) == ("UNAVAILABLE", "DRAINING")
    assert (await describe(channel)).active == 1
    if isinstance(stage, Tts):
        await call.send(stage.text("Goodbye."))
    await call.half_close()
    await call.rest()  # what had begun ends well
    assert await asyncio.to_thread(service.wait, 15) == 0
