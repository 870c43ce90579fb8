"""One call mints the token and brings the avatar into the room: against a real LiveKit server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from livekit import api
from support.livekit import required
from support.stack import Stack

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def meeting(stack: Stack) -> AsyncIterator[tuple[httpx.AsyncClient, api.LiveKitAPI, str]]:
    """The stack's API, the LiveKit server's, and a room that nobody uses."""
    server = required(stack.livekit)
    room = f"test-{secrets.token_hex(4)}"
    async with (
        httpx.AsyncClient(base_url=stack.url, timeout=20, trust_env=False) as http,
        api.LiveKitAPI(server.url.replace("ws", "http", 1), *server.keys) as livekit,
    ):
        yield http, livekit, room


async def avatars_in(livekit: api.LiveKitAPI, room: str) -> list[api.ParticipantInfo]:
    there = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    return [who for who in there.participants if who.identity.startswith("agent-")]


async def exists(livekit: api.LiveKitAPI, room: str) -> bool:
    return bool((await livekit.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms)


async def test_a_token_starts_the_avatar_in_the_room_and_a_second_one_joins_it(
    stack: Stack,
) -> None:
    async with meeting(stack) as (http, livekit, room):
        first = (await http.post("/token", json={"room": room, "identity": ""})).json()
        second = (await http.post("/token", json={"room": room, "identity": ""})).json()
        assert first["session_id"] == second["session_id"]
        assert first["identity"] != second["identity"]
        (avatar,) = await avatars_in(livekit, room)
        assert avatar.kind == api.ParticipantInfo.Kind.AGENT
        async with asyncio.timeout(5):
            while (await avatars_in(livekit, room))[0].attributes.get("ready") != "1":
                await asyncio.sleep(0.1)
        await http.delete(f"/v1/sessions/{first['session_id']}")
        async with asyncio.timeout(5):
            while await exists(livekit, room):
                await asyncio.sleep(0.1)


async def test_rtc_mode_has_a_room_until_its_page_closes(stack: Stack) -> None:
    async with meeting(stack) as (http, livekit, _):
        session = (await http.post("/api/session", json={"language": "en"})).json()
        assert await avatars_in(livekit, session["roomName"])
        await http.post("/api/session/stop", content=f'{{"sessionId": "{session["sessionId"]}"}}')
        async with asyncio.timeout(5):
            while await exists(livekit, session["roomName"]):
                await asyncio.sleep(0.1)


async def test_a_room_of_others_outlives_the_session(stack: Stack) -> None:
    async with meeting(stack) as (http, livekit, room):
        await livekit.room.create_room(api.CreateRoomRequest(name=room, metadata="theirs"))
        wanted = {"transport": "livekit", "room": room}
        created = (await http.post("/v1/sessions", json=wanted)).json()
        assert (await http.post("/v1/sessions", json=wanted)).status_code == 409
        await http.delete(f"/v1/sessions/{created['session']['session_id']}")
        assert await exists(livekit, room)
        await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
