"""Several instances of egress: a client reaches the one that has its session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from stagewire_cli import api
from stagewire_cli.client import JoinError, join
from support.behind_envoy import SCRIPTED, Behind, answered, behind_envoy, finish, rejoined

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    folder = tmp_path_factory.mktemp("two")
    one_each = dict.fromkeys(SCRIPTED, 1)
    async with behind_envoy(folder, scripted=one_each, egresses=2) as behind:
        yield behind


def instance_of(session: api.Session) -> str:
    return urlsplit(session.join_url).query.removeprefix("at=")


async def test_every_client_reaches_its_session_also_after_envoy_died(two: Behind) -> None:
    async with AsyncExitStack() as leaving:
        sessions: dict[str, api.Session] = {}  # by the instance of egress
        for _ in range(40):
            session = await leaving.enter_async_context(api.session(two.url))
            sessions[instance_of(session)] = session
            if len(sessions) == 2:
                break
        assert set(sessions) == set(two.addresses.instances["egress_websocket"])
        for session in sessions.values():
            async with join(session.join_url, session.client_token) as client:
                assert (await finish(client)).reason == "COMPLETED"
                await answered(client)
        two.supervisor.kill("envoy")
        await two.supervisor.ready("envoy")
        # The orchestrator's streams went back to the same instances, so the URLs still hold.
        for session in sessions.values():
            async with rejoined(session) as client:
                await client.type_text("one two")
                assert (await finish(client)).text.strip() == "one two"


async def test_another_instance_does_not_let_the_client_in(two: Behind) -> None:
    async with api.session(two.url) as session:
        addresses = set(two.addresses.instances["egress_websocket"])
        (wrong,) = addresses - {instance_of(session)}
        url = session.join_url.replace(instance_of(session), wrong)
        with pytest.raises(JoinError, match="opens no session"):
            async with join(url, session.client_token):
                pass
