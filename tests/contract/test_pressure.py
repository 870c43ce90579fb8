"""A peer that does not read, or that floods, costs a bounded amount of memory and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from contract.stage import Stage, Target
from contract.wire import Call

pytestmark = pytest.mark.slow

Begin = Callable[..., Call]
SECONDS = 1.5


def resident(target: Target) -> float:
    if target.process is None:
        pytest.skip("memory is measured only where the suite started the process")
    return target.process.resident_megabytes()


async def pour(call: Call, stage: Stage) -> None:
    """Sends as much as is taken in ``SECONDS``, and gives the stage so long to work on it."""
    try:
        async with asyncio.timeout(SECONDS):
            for message in stage.much():
                await call.send(message)
            await asyncio.sleep(SECONDS)
    except TimeoutError:
        return  # either the stage slowed its peer down, as it should, or it has had its time


@pytest.mark.parametrize("reads", [False, True], ids=["never_reads", "floods"])
async def test_bounded(stage: Stage, target: Target, begin: Begin, reads: bool) -> None:
    # Once before it is measured: a model takes its working memory with its first long input.
    warm = begin()
    await stage.occupy(warm)
    await pour(warm, stage)
    warm.cancel()
    await stage.short_session(begin())
    before = resident(target)
    call = begin()
    await stage.occupy(call)
    reader = asyncio.ensure_future(call.status()) if reads else None
    await pour(call, stage)
    growth = resident(target) - before
    call.cancel()
    if reader is not None:
        await asyncio.gather(reader, return_exceptions=True)  # cancelled, or refused
    assert growth < stage.growth_megabytes, f"grew by {growth:.0f} MB"
    await stage.short_session(begin())


async def test_a_peer_that_never_reads_delays_nobody(stage: Stage, begin: Begin) -> None:
    deaf = begin()
    await stage.occupy(deaf)
    await pour(deaf, stage)
    await stage.short_session(begin())
