"""`/ws/agent`: the sessions that its clients begin and end, and the pages on the same port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from backend_mode import CHUNK, SPATIUS, speaks, until
from demo_clients import VariantA, VariantB
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


@pytest.mark.parametrize(("key", "shown"), [("", ""), ("a-key", "Bearer a-key")])
async def test_egress_shows_the_orchestrator_its_key(backend: Any, key: str, shown: str) -> None:
    async with backend(settings={"session_key": key}) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        client.ws.transport.abort()
        await until(lambda: running.sessions.ended)
        assert running.sessions.shown == [shown, shown]


async def test_the_avatar_that_is_there_stays_when_a_client_sets_it(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)  # sets its character when it is ready
        await client.wait("status", message="the avatar is set")
        await client.send(type="set_avatar", avatarId="")
        await client.wait("status", 2, message="the avatar is set")
        assert len(running.sessions.asked) == 1


async def test_another_avatar_is_another_session_on_the_same_connection(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        first = running.orchestrator
        await first.say(turn_start={"turn": 1})
        for index in range(50):
            await first.audio(1, index * CHUNK, CHUNK)
        await client.wait("avatar_audio")
        await client.send(type="set_avatar", avatarId="max")
        assert (await client.wait("interrupt"))["reason"] == "agent_interrupt"
        await until(lambda: running.sessions.ended == ["s1"])
        assert running.sessions.asked[-1].avatar_id == "max"
        await speaks(running.orchestrator, 1)
        await client.wait("avatar_frames", isLast=True, turnId="s2-1")
        await client.send(type="text", text="hello max")
        assert (await running.orchestrator.wait("user_text")).text == "hello max"
        assert not first.all("user_text")


async def test_start_agent_is_answered_and_another_language_is_another_session(
    backend: Any,
) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        await client.send(type="start_agent", language="en")
        await client.wait("agent_ready")
        assert len(running.sessions.asked) == 1
        await client.send(type="start_agent", language="zh")
        await client.wait("agent_ready", 2)
        assert running.sessions.asked[-1].locale == "zh"
        await until(lambda: running.sessions.ended == ["s1"])


async def test_a_client_that_goes_ends_its_session(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        one, other = [await running.connect(VariantA) for _ in range(2)]
        await one.wait("ready")
        await other.wait("ready")
        one.ws.transport.abort()
        await until(lambda: len(running.sessions.ended) == 1)
        await other.send(type="ping")
        await other.wait("pong")


async def test_no_session_is_said_and_the_connection_closes(backend: Any) -> None:
    async with backend(settings={"session_target": "127.0.0.1:1"}) as running:
        client = await running.connect(VariantA)
        await client.gone()
        assert client.all("error")
        assert client.ws.close_code == 1013
    async with backend() as running:
        running.sessions.elsewhere = True
        client = await running.connect(VariantA)
        await client.gone()
        assert "INSTANCE_TARGET" in client.all("error")[0]["message"]
        await until(lambda: running.sessions.ended == ["s1"])


async def test_the_session_is_asked_to_come_to_this_instance(backend: Any) -> None:
    async with backend(settings={"instance_target": "egress-7:50055"}) as running:
        await (await running.connect(VariantA)).wait("ready")
        assert running.sessions.asked[0].egress_target == "egress-7:50055"


async def test_the_session_that_ends_closes_the_connection(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        await running.orchestrator.hang_up()
        await client.gone()
        assert client.ws.close_code == 1000


# --- the pages on the same port -------------------------------------------------------------


@pytest.fixture
async def page() -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Origin": "http://localhost:5173"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
        yield client


async def test_configuration_and_health_are_beside_the_socket(
    backend: Any, page: httpx.AsyncClient
) -> None:
    async with backend(settings={"spatius_avatar_id": "face", "spatius_app_id": ""}) as running:
        config = await page.get(f"{running.http}/api/config")
        assert config.headers["content-type"] == "application/json"
        assert config.headers["access-control-allow-origin"] == "http://localhost:5173"
        assert config.json() == {
            "appId": "",
            "avatarId": "face",
            "region": "us-west",
            "outputSampleRate": 16_000,
            "inputSampleRate": 16_000,
            "missing": {"sample": ["SPATIUS_APP_ID"], "realtime": ["SPATIUS_APP_ID"]},
            "clips": [],
            "clipsHint": "this server has no sample clips",
        }
        health = (await page.get(f"{running.http}/healthz")).json()
        assert health == {"ok": False, "missing": ["SPATIUS_APP_ID"]}
        foreign = await page.get(f"{running.http}/healthz", headers={"Origin": "https://evil"})
        assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize("size", [0, 100, 40_000])
async def test_a_page_that_saves_its_configuration_goes_on(
    backend: Any, page: httpx.AsyncClient, size: int
) -> None:
    async with backend() as running:
        url = f"{running.http}/api/config"
        asking = await page.options(url, headers={"Access-Control-Request-Method": "POST"})
        assert "POST" in asking.headers["access-control-allow-methods"]
        saved = await page.post(url, json={"SPATIUS_API_KEY": "k" * size})
        assert saved.status_code == 200
        assert saved.json()["saved"] == []
        with pytest.raises(httpx.TransportError):
            await page.post(url, content=b" " * 100_000)
        assert (await page.post(f"{running.http}/ws/agent", content=b"x")).status_code >= 400


async def test_there_is_no_such_path_unless_it_is_wanted(egress: Any) -> None:
    url = (await egress.session()).join_url.replace("/v1/join", "/ws/agent")
    with pytest.raises(InvalidStatus, match="404"):
        await connect(url)


async def test_pages_of_other_origins_get_no_session(backend: Any) -> None:
    async with backend() as running:
        with pytest.raises(InvalidStatus, match="403"):
            await running.connect(VariantA, origin="https://evil.example")
        assert running.sessions.asked == []
