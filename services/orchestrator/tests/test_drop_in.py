"""The routes of Spatius' demos, called by clients that send exactly what those demos' clients send.

Each client here follows a file of a public demo; its class says which.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fake_livekit import KEY, SECRET, FakeLiveKit
from orchestrating import Orchestrator, orchestrator
from test_rooms import claims, configured, with_livekit


class LiveKitRoomDemo:
    """As livekit-room-demo's web client: fetch('/token') with room and an empty identity."""

    def __init__(self, orch: Orchestrator) -> None:
        self._http = orch.http

    async def token(self, room: str = "pure-rtc-room") -> httpx.Response:
        return await self._http.post(
            "/token",
            content=json.dumps({"room": room, "identity": ""}),
            headers={"Content-Type": "application/json", "Origin": "http://localhost:3003"},
        )


class AgentsQuickstart:
    """As the LiveKit agents quickstart's page: room alone; url, token and room must be there."""

    def __init__(self, orch: Orchestrator) -> None:
        self._http = orch.http

    async def token(self, room: str = "voice-agent-room") -> dict[str, str]:
        answer = await self._http.post("/token", json={"room": room})
        assert answer.is_success
        body: dict[str, str] = answer.json()
        assert body["url"]
        assert body["token"]
        assert body["room"]
        return body


class RtcMode:
    """As rtc-mode/clients/web/*/utils/rtcSession.ts."""

    def __init__(self, orch: Orchestrator) -> None:
        self._http = orch.http

    async def fetch_config(self) -> dict[str, Any]:
        answer = await self._http.get("/api/config")
        assert answer.is_success
        body: dict[str, Any] = answer.json()
        return body

    async def save_config(self, values: dict[str, str]) -> None:
        answer = await self._http.post("/api/config", json=values)
        assert answer.is_success, "Could not save configuration"

    async def start(self, language: str = "en") -> dict[str, Any]:
        answer = await self._http.post("/api/session", json={"language": language})
        body: dict[str, Any] = answer.json()
        if not answer.is_success:
            raise RuntimeError(f"Server is missing: {', '.join(body['missingKeys'])}")
        return body

    async def stop(self, session_id: str) -> None:
        await self._http.post("/api/session/stop", json={"sessionId": session_id})

    async def beacon(self, session_id: str) -> httpx.Response:
        """navigator.sendBeacon as the page unloads: JSON that says it is text/plain."""
        return await self._http.post(
            "/api/session/stop",
            content=json.dumps({"sessionId": session_id}),
            headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": "http://localhost:5173"},
        )


# --- the LiveKit demos ----------------------------------------------------------------------


async def test_a_token_brings_the_avatar_into_the_room() -> None:
    async with with_livekit() as (orch, livekit):
        answer = await LiveKitRoomDemo(orch).token()
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3003"
        body = answer.json()
        assert (body["url"], body["room"]) == (livekit.url, "pure-rtc-room")
        assert body["identity"].startswith("browser-")
        granted = claims(body["token"])
        assert (granted.identity, granted.name) == (body["identity"], body["identity"])
        assert granted.video is not None
        assert granted.video.room == "pure-rtc-room"
        (opened,) = orch.stages.egress.opened
        assert opened.livekit.room == "pure-rtc-room"
        assert (await orch.http.get("/health")).json() == {"status": "ok"}


async def test_a_second_browser_joins_the_running_session() -> None:
    async with with_livekit() as (orch, livekit):
        browsers = [AgentsQuickstart(orch) for _ in range(3)]
        entered = await asyncio.gather(*(browser.token() for browser in browsers))
        assert len({body["identity"] for body in entered}) == 3
        assert len({body["session_id"] for body in entered}) == 1
        assert len(orch.stages.egress.opened) == 1
        await orch.http.delete(f"/v1/sessions/{entered[0]['session_id']}")
        assert livekit.rooms == {}
        again = await browsers[0].token()
        assert again["session_id"] != entered[0]["session_id"]


async def test_nobody_enters_a_session_that_is_ending() -> None:
    async with with_livekit() as (orch, livekit):
        first = await AgentsQuickstart(orch).token()
        livekit.delay = 0.3  # the room goes slowly
        ending = asyncio.create_task(orch.http.delete(f"/v1/sessions/{first['session_id']}"))
        await asyncio.sleep(0.1)
        second = await AgentsQuickstart(orch).token()
        await ending
        assert second["session_id"] != first["session_id"]
        assert set(livekit.rooms) == {second["room"]}


async def test_which_avatar_answers_can_be_said() -> None:
    async with with_livekit() as (orch, _):
        for avatar_id in ("face", "aed008e4-8ddf-41aa-b5b2-5d7321dd4165"):
            answer = await orch.http.post(
                "/token", json={"room": f"with-{avatar_id}", "avatar_id": avatar_id}
            )
            assert answer.json()["avatar_id"] == "face"
        answer = await orch.http.post("/token", json={"room": "r", "avatar_id": "nobody"})
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("unknown_avatar: ")


@pytest.mark.parametrize("identity", ["agent-s-1", "agent", "x" * 129, "a\nb"])
async def test_nobody_can_be_the_avatar(identity: str) -> None:
    async with with_livekit() as (orch, livekit):
        answer = await orch.http.post("/token", json={"room": "r", "identity": identity})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("invalid_field: identity")
        assert livekit.rooms == {}


async def test_odd_rooms_are_refused_as_the_demo_reads_it() -> None:
    async with with_livekit() as (orch, _):
        answer = await LiveKitRoomDemo(orch).token("../../etc")
        assert answer.status_code == 400
        assert isinstance(answer.json()["error"], str)


async def test_what_keeps_a_token_server_from_serving_is_said_as_the_demos_do() -> None:
    async with orchestrator() as orch:
        answer = await LiveKitRoomDemo(orch).token()
        assert answer.status_code == 500
        assert answer.json()["error"] == "missing_livekit_env"
    async with FakeLiveKit().serving() as livekit:
        for wrong in ({"livekit_url": "ws://127.0.0.1:1"}, {"livekit_api_secret": "x" * 32}):
            async with orchestrator(**configured(livekit, **wrong)) as orch:
                answer = await LiveKitRoomDemo(orch).token()
                assert answer.status_code == 502
                assert answer.json()["error"].startswith("create_room_failed: ")
                assert "x" * 32 not in answer.text


# --- RTC mode -------------------------------------------------------------------------------


async def test_rtc_mode_starts_and_stops_a_session() -> None:
    async with with_livekit(spatius_app_id="app") as (orch, livekit):
        client = RtcMode(orch)
        config = await client.fetch_config()
        assert config["missing"] == []
        assert config["TRANSPORT"] == "livekit"
        await client.save_config(
            {"SPATIUS_API_KEY": "typed into the page", "LIVEKIT_URL": "ws://x"}
        )
        session = await client.start()
        assert session["transport"] == "livekit"
        assert session["spatiusAppId"] == "app"
        granted = claims(session["token"])
        assert granted.video is not None
        assert granted.video.room == session["roomName"]
        assert session["url"] == livekit.url, "what the page wanted saved was not"
        # The page looks for a participant whose identity begins with `agent`.
        assert orch.stages.egress.opened[0].livekit.identity.startswith("agent")
        assert orch.sessions.get(session["sessionId"]).locale == "en-US"
        await client.stop(session["sessionId"])
        assert livekit.rooms == {}


async def test_rtc_modes_page_that_closes_ends_its_session() -> None:
    async with with_livekit() as (orch, livekit):
        client = RtcMode(orch)
        session = await client.start("zh")
        assert orch.sessions.get(session["sessionId"]).locale == "zh"
        assert (await client.beacon(session["sessionId"])).json() == {"ok": True}
        assert livekit.rooms == {}
        assert (await client.beacon("s-unknown")).status_code == 404
        for odd in (b"", b"[]", b"{}", b"\xff", b'"x"'):
            answer = await orch.http.post("/api/session/stop", content=odd)
            assert answer.status_code == 400


async def test_rtc_mode_is_told_what_is_missing() -> None:
    async with orchestrator() as orch:
        client = RtcMode(orch)
        assert "LIVEKIT_URL" in (await client.fetch_config())["missing"]
        with pytest.raises(RuntimeError, match="LIVEKIT_URL, LIVEKIT_API_KEY"):
            await client.start()
    async with with_livekit() as (orch, _):
        answer = await orch.http.post("/api/session", json={"transport": "agora"})
        assert answer.json()["missingKeys"][0] == "AGORA_APP_ID"


async def test_no_secret_is_in_any_configuration() -> None:
    async with with_livekit(api_keys="key-of-a-caller", open_drop_in=True) as (orch, _):
        for path in ("/api/config", "/healthz", "/health", "/openapi.json"):
            shown = (await orch.http.get(path)).text
            assert not any(secret in shown for secret in (KEY, SECRET, "key-of-a-caller"))
