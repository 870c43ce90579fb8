"""Changing what runs while people talk: a canary, a drain, other weights."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import pytest
from stagewire_cli import proxy
from support.behind_envoy import Behind, answered, until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def talk(behind: Behind, turns: int) -> None:
    """A session of whole turns; a single one that is not fails the test."""
    async with behind.client() as (_, client):
        for _ in range(turns):
            await answered(client, "one two")


def calls(behind: Behind, stage: str) -> list[int]:
    return [len(instance.lines("call")) for instance in behind.stages[stage]]


def weigh(behind: Behind, stage: str, *weights: int) -> None:
    """What an operator does: other weights into clusters.yaml, moved over the old one."""
    addresses = [instance.address for instance in behind.stages[stage]]
    weighed = dict(zip(addresses, weights, strict=True))
    instances = {**behind.addresses.instances, stage: weighed}
    proxy.write_clusters(behind.folder / "envoy", replace(behind.addresses, instances=instances))


async def updated(behind: Behind, before: int) -> None:
    """Envoy has taken the new clusters, and has asked every instance for its health."""
    await until(lambda: behind.statistics("cluster_manager.cds.update_success") > before)
    await until(lambda: behind.statistics("cluster_manager.warming_clusters") == 0)


async def test_a_canary_gets_its_share_and_dies_without_a_failed_turn(behind: Behind) -> None:
    before = behind.statistics("cluster_manager.cds.update_success")
    weigh(behind, "tts", 90, 10)
    await updated(behind, before)
    earlier = calls(behind, "tts")
    await talk(behind, 40)
    stable, canary = (now - then for now, then in zip(calls(behind, "tts"), earlier, strict=True))
    assert 1 <= canary <= 10, f"{canary} of {stable + canary} calls; 10 % were meant"
    try:
        talking = asyncio.create_task(talk(behind, 40))  # awaited below
        await asyncio.sleep(1.0)
        behind.stages["tts"][1].kill()
        await talking
    finally:
        before = behind.statistics("cluster_manager.cds.update_success")
        weigh(behind, "tts", 1, 1)
        await updated(behind, before)


async def test_new_weights_are_taken_while_turns_and_streams_go_on(behind: Behind) -> None:
    async with behind.client() as (session, client):
        await answered(client)
        restarts = behind.supervisor.pid("envoy")
        for weights in ((1, 3), (1, 1)):
            before = behind.statistics("cluster_manager.cds.update_success")
            weigh(behind, "tts", *weights)
            weigh(behind, "asr", *weights)
            asking = asyncio.create_task(answered(client))  # awaited below
            await updated(behind, before)
            await asking
        assert behind.supervisor.pid("envoy") == restarts
        # The session's own streams were never opened again.
        for stage in ("asr", "motion_bridge"):
            lines = [x.lines("call", session.session_id) for x in behind.stages[stage]]
            assert sum(map(len, lines)) == 1, stage


@pytest.mark.parametrize("stage", ["llm", "tts"])
async def test_a_drain_under_load_loses_no_turn(behind: Behind, stage: str) -> None:
    drained, other = behind.stages[stage]
    for instance in (drained, other):
        instance.misbehave("slow")  # so that the drain meets calls in progress
    async with asyncio.TaskGroup() as talking:
        for _ in range(4):
            talking.create_task(talk(behind, 5))
        await until(lambda: len(drained.lines("call")) > len(drained.lines("done")))
        drained.signal(signal.SIGTERM)
        status = await asyncio.to_thread(drained.wait)
    assert status == 0
    assert drained.lines("stopped")
    assert len(drained.lines("done")) >= 1
