"""An instance of llm or tts is killed: between turns, before its first output, after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.behind_envoy import Behind, Instance, answered, finish, until

pytestmark = pytest.mark.asyncio(loop_scope="session")
per_turn = pytest.mark.parametrize("stage", ["llm", "tts"])


async def kill_at_work(
    behind: Behind, stage: str, where: str, ask: Callable[[], Awaitable[None]]
) -> Instance:
    """Has both instances hang in their next work, asks, and kills the one that hangs.

    Returns:
        The other, which works again.
    """
    one, other = behind.stages[stage]
    before = len(one.lines("hangs")), len(other.lines("hangs"))
    for instance in (one, other):
        instance.misbehave(where)
    await ask()
    await until(lambda: (len(one.lines("hangs")), len(other.lines("hangs"))) != before)
    killed, spared = (one, other) if len(one.lines("hangs")) > before[0] else (other, one)
    spared.misbehave("")
    killed.kill()
    return spared


@per_turn
async def test_killed_between_turns_the_next_turn_is_another_instance_s(
    behind: Behind, stage: str
) -> None:
    async with behind.client() as (session, client):
        await answered(client)
        killed, other = behind.serving(stage, session.session_id)
        before = len(other.lines("call", session.session_id))
        killed.kill()
        for _ in range(3):
            await answered(client)
        assert len(other.lines("call", session.session_id)) >= before + 3


@per_turn
async def test_killed_before_its_first_output_the_turn_is_another_instance_s(
    behind: Behind, stage: str
) -> None:
    async with behind.client() as (_, client):
        await answered(client)
        async with asyncio.TaskGroup() as tasks:

            async def ask() -> None:
                tasks.create_task(answered(client))

            spared = await kill_at_work(behind, stage, "hang-before", ask)
        assert spared.lines("done")


@per_turn
async def test_killed_after_its_first_output_the_turn_ends_there_and_the_session_lives(
    behind: Behind, stage: str
) -> None:
    async with behind.client() as (_, client):
        await answered(client)
        await kill_at_work(behind, stage, "hang-after", lambda: client.type_text("one two three"))
        # What was heard cannot be taken back: nothing is said twice, the user is told, and the next
        # turn is whole again.
        ended = await finish(client)
        assert [notice for notice in ended.notices if notice.startswith(f"{stage}: ")]
        assert ended.text.strip() == ("one" if stage == "llm" else "one two three")
        await answered(client)


async def test_a_session_s_warm_up_and_turns_reach_one_llm(behind: Behind) -> None:
    async with behind.client() as (session, client):
        for _ in range(4):
            await answered(client)
        calls = [x.lines("call", session.session_id) for x in behind.stages["llm"]]
        assert sorted(map(bool, calls)) == [False, True]
        assert {line["call"] for line in calls[0] or calls[1]} >= {"Generate"}


async def test_sessions_are_spread_over_the_instances(behind: Behind) -> None:
    for _ in range(8):
        async with behind.client() as (_, client):
            await answered(client)
    for stage in ("asr", "llm", "tts", "motion_bridge"):
        assert all(instance.lines("call") for instance in behind.stages[stage]), stage
