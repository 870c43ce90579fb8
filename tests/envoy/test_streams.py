"""What a session does when something that holds one of its streams is killed."""

from __future__ import annotations

import pytest
from stagewire_cli import api
from support.behind_envoy import Behind, answered, finish, rejoined, until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("stage", ["asr", "motion_bridge"])
async def test_a_killed_instance_s_stream_is_opened_on_another(behind: Behind, stage: str) -> None:
    async with behind.client() as (session, client):
        await answered(client)
        killed, other = behind.serving(stage, session.session_id)
        killed.kill()
        await until(lambda: other.lines("call", session.session_id))
        # What the client is told of the loss comes with its next turn, which is whole.
        await client.type_text("one two")
        ended = await finish(client)
        assert (ended.reason, ended.text.strip()) == ("COMPLETED", "one two")
        await answered(client)


@pytest.mark.parametrize("killed", ["egress", "envoy"])
async def test_a_client_comes_back_after_egress_or_envoy_died(behind: Behind, killed: str) -> None:
    async with api.session(behind.url) as session:
        async with rejoined(session) as client:
            assert (await finish(client)).reason == "COMPLETED"
            await answered(client)
            behind.supervisor.kill(killed)
            assert (await finish(client)).reason == "LOST"
        await behind.supervisor.ready(killed)
        async with rejoined(session) as client:
            await client.type_text("one two")
            ended = await finish(client)
            assert (ended.reason, ended.text.strip()) == ("COMPLETED", "one two")
            await answered(client)
