"""Sessions in LiveKit rooms, against a fake of LiveKit's room service and scripted stages."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fake_livekit import KEY, SECRET, FakeLiveKit
from livekit import api
from orchestrating import Orchestrator, orchestrator
from scripted import until
from stagekit.errors import StageError
from stagewire.egress.v1 import egress_pb2
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb


def configured(livekit: FakeLiveKit, **more: Any) -> dict[str, Any]:
    credentials = {"livekit_api_key": KEY, "livekit_api_secret": SECRET}
    return {"livekit_url": livekit.url, **credentials, **more}


@asynccontextmanager
async def with_livekit(**more: Any) -> AsyncIterator[tuple[Orchestrator, FakeLiveKit]]:
    async with (
        FakeLiveKit().serving() as livekit,
        orchestrator(**configured(livekit, **more)) as orch,
    ):
        yield orch, livekit


async def create(orch: Orchestrator, **body: Any) -> httpx.Response:
    return await orch.http.post("/v1/sessions", json={"transport": "livekit", **body})


def claims(token: str) -> api.access_token.Claims:
    return api.TokenVerifier(KEY, SECRET).verify(token)


async def nothing_is_left(orch: Orchestrator) -> None:
    assert orch.sessions.list(include_ended=True) == []
    await until(lambda: orch.admission.active == 0)


async def test_one_call_makes_the_room_the_token_and_the_avatar() -> None:
    async with with_livekit(livekit_public_url="wss://public") as (orch, livekit):
        answer = await create(orch, room="lobby")
        assert answer.status_code == 201
        created = answer.json()
        session_id = created["session"]["session_id"]
        assert created["url"] == "wss://public"
        assert created["session"]["room"] == "lobby"
        assert json.loads(livekit.rooms["lobby"].metadata) == {
            "stagewire": {"session_id": session_id}
        }
        client = claims(created["client_token"])
        assert client.video is not None
        assert (client.video.room_join, client.video.room) == (True, "lobby")
        assert not any((client.video.room_create, client.video.room_list, client.video.room_admin))
        assert not client.kind
        (opened,) = orch.stages.egress.opened
        target = opened.livekit
        assert (target.url, target.room) == (livekit.url, "lobby")
        assert target.identity == f"agent-{session_id}"
        assert target.publisher == egress_pb2.MEDIA_PUBLISHER_EGRESS
        avatar = claims(target.token)
        assert avatar.kind == "agent"
        assert avatar.video is not None
        assert avatar.video.can_update_own_metadata
        assert not any((avatar.video.room_create, avatar.video.room_list, avatar.video.room_admin))
        assert SECRET not in answer.text + str(opened)
        await orch.http.delete(f"/v1/sessions/{session_id}")
        assert livekit.rooms == {}


async def test_a_room_that_nobody_named_is_new_each_time() -> None:
    async with with_livekit() as (orch, livekit):
        rooms = {(await create(orch)).json()["session"]["room"] for _ in range(2)}
        assert len(rooms) == 2
        assert rooms == set(livekit.rooms)


async def test_a_room_has_one_session() -> None:
    async with with_livekit() as (orch, _):
        answers = await asyncio.gather(create(orch, room="lobby"), create(orch, room="lobby"))
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert refused.json()["error"]["reason"] == "SESSION_EXISTS"
        first = next(answer for answer in answers if answer.status_code == 201)
        await orch.http.delete(f"/v1/sessions/{first.json()['session']['session_id']}")
        assert (await create(orch, room="lobby")).status_code == 201


@pytest.mark.parametrize(
    "room",
    ["", " ", "a b", "../etc", "-x", "x" * 129, "café", "a\nb", "a\0b", "<script>", "a/b", "💬"],
)
async def test_odd_room_names(room: str) -> None:
    async with with_livekit() as (orch, livekit):
        answer = await create(orch, room=room)
        if room == "":
            assert answer.status_code == 201
            return
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("room: 1 to 128 letters")
        assert livekit.calls == []


async def test_a_room_needs_the_transport_livekit_and_its_settings() -> None:
    async with orchestrator() as orch:
        answer = await create(orch)
        assert answer.status_code == 400
        assert "LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET" in answer.text
        answer = await orch.http.post("/v1/sessions", json={"room": "lobby"})
        assert answer.json()["error"]["message"].startswith("room:")


@pytest.mark.parametrize("how", ["refuses", "hangs", "fails"])
async def test_livekit_away_is_said_within_two_seconds_and_leaves_nothing(how: str) -> None:
    async with FakeLiveKit().serving() as livekit:
        settings = configured(livekit)
        if how == "refuses":
            settings["livekit_url"] = "ws://127.0.0.1:1"
        livekit.delay = 30.0 if how == "hangs" else 0.0
        livekit.broken = how == "fails"
        async with orchestrator(**settings) as orch:
            began = time.monotonic()
            answer = await create(orch, room="lobby")
            assert time.monotonic() - began < 2.0
            assert answer.status_code == 503
            error = answer.json()["error"]
            assert error["reason"] == "STAGE_UNREACHABLE"
            assert "LIVEKIT_URL" in error["message"]
            await nothing_is_left(orch)
            assert orch.stages.asr.streams == 0
            livekit.delay, livekit.broken = 0.0, False
            if how != "refuses":
                assert (await create(orch, room="lobby")).status_code == 201


async def test_a_wrong_secret_is_named_and_not_shown(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeLiveKit().serving() as livekit:
        wrong = "another-secret-that-is-long-enough-too"
        async with orchestrator(**configured(livekit, livekit_api_secret=wrong)) as orch:
            answer = await create(orch)
            assert answer.status_code == 502
            error = answer.json()["error"]
            assert error["reason"] == "BACKEND_UNAUTHENTICATED"
            assert "LIVEKIT_API_SECRET" in error["message"]
            assert wrong not in answer.text + caplog.text
            await nothing_is_left(orch)
            assert orch.stages.asr.streams == 0


async def test_when_a_stage_refuses_the_room_goes_too() -> None:
    async with with_livekit() as (orch, livekit):
        answer = await create(orch, room="lobby", avatar_id="lost")
        assert answer.status_code == 503
        assert livekit.rooms == {}
        await nothing_is_left(orch)


async def test_a_room_of_others_is_used_and_never_marked_or_deleted() -> None:
    async with with_livekit() as (orch, livekit):
        livekit.add_room("theirs", "their own words")
        session_id = (await create(orch, room="theirs")).json()["session"]["session_id"]
        assert livekit.rooms["theirs"].metadata == "their own words"
        await orch.http.delete(f"/v1/sessions/{session_id}")
        assert set(livekit.rooms) == {"theirs"}


async def test_another_instances_room_is_refused_and_a_left_one_is_taken_over() -> None:
    mark = json.dumps({"stagewire": {"session_id": "s-other"}})
    async with with_livekit() as (orch, livekit):
        livekit.add_room("busy", mark, 5.0, "agent-s-other", "user")
        livekit.add_room("left", mark, 5.0, "user")
        assert (await create(orch, room="busy")).status_code == 409
        session_id = (await create(orch, room="left")).json()["session"]["session_id"]
        assert session_id in livekit.rooms["left"].metadata
        await orch.http.delete(f"/v1/sessions/{session_id}")
        assert set(livekit.rooms) == {"busy"}


async def test_the_sweep_deletes_what_sessions_left_behind_and_nothing_else() -> None:
    mark = json.dumps({"stagewire": {"session_id": "s-gone"}})
    async with with_livekit() as (orch, livekit):
        livekit.add_room("stale", mark)
        livekit.add_room("stale-with-user", mark, 3600.0, "user")
        livekit.add_room("another-instance", mark, 3600.0, "agent-s-other")
        livekit.add_room("just-made", mark, 1.0)
        livekit.add_room("not-ours", "")
        livekit.add_room("not-ours-either", json.dumps({"app": "stagewire"}))
        livekit.add_room("a-word", json.dumps("stagewire"))
        own = (await create(orch)).json()["session"]["room"]
        livekit.rooms[own].creation_time = 0
        await orch.rooms.sweep()
        kept = {"another-instance", "just-made", "not-ours", "not-ours-either", "a-word", own}
        assert set(livekit.rooms) == kept


async def test_a_lost_room_service_does_not_hold_up_the_end_of_a_session() -> None:
    async with with_livekit() as (orch, livekit):
        session_id = (await create(orch)).json()["session"]["session_id"]
        livekit.broken = True
        ended = await orch.http.delete(f"/v1/sessions/{session_id}")
        assert ended.json()["session"]["state"] == "SESSION_STATE_ENDED"


async def test_who_waits_for_a_session_that_its_caller_gives_up_is_told() -> None:
    async with with_livekit() as (orch, livekit):
        livekit.delay = 5.0
        request = pb.CreateSessionRequest(transport=pb.TRANSPORT_LIVEKIT, room="lobby")
        first = asyncio.create_task(orch.sessions.create(request))
        await until(lambda: livekit.calls)
        waiting = asyncio.create_task(orch.sessions.enter(request, "somebody"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(StageError, match="create it again"):
            await waiting
        await nothing_is_left(orch)
        livekit.delay = 0.0
        assert (await create(orch, room="lobby")).status_code == 201
