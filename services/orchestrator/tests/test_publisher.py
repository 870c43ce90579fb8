"""Who publishes into a room: chosen by profile or session, told to both stages by scoped tokens."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fake_livekit import KEY, SECRET
from livekit import api
from orchestrating import PROFILES, Orchestrator, first_events, orchestrator
from pydantic import ValidationError
from scripted import until
from stagewire.egress.v1 import egress_pb2
from stagewire_orchestrator.avatars import Avatar
from test_rooms import create, with_livekit

ENGINE = {"avatar_id": "face", "publisher": "motion_engine"}


def claims(token: str) -> api.access_token.Claims:
    return api.TokenVerifier(KEY, SECRET).verify(token)


def publishes_by_itself(orch: Orchestrator) -> None:
    orch.stages.motion.features = ["livekit_room"]


async def test_the_engine_gets_a_token_of_its_own_and_egress_one_that_publishes_nothing() -> None:
    more = {"livekit_public_url": "wss://public", "max_session_seconds": 7_200}
    async with with_livekit(**more) as (orch, livekit):
        publishes_by_itself(orch)
        answer = await create(orch, room="lobby", **ENGINE)
        assert answer.status_code == 201, answer.text
        session = answer.json()["session"]
        assert session["publisher"] == "PUBLISHER_MOTION_ENGINE"
        agent, engine = f"agent-{session['session_id']}", f"motion-engine-{session['session_id']}"

        (opened,) = orch.stages.motion.opened
        assert opened.avatar_id == PROFILES["face"].motion_avatar_id
        told = opened.livekit_room
        assert (told.url, told.room, told.identity) == ("wss://public", "lobby", engine)
        behalf = {"lk.publish_on_behalf": agent, "livekit_agent_identity": agent}
        assert dict(told.attributes) == behalf
        granted = claims(told.token)
        assert (granted.identity, granted.name, granted.kind) == (engine, engine, "agent")
        assert granted.attributes == behalf
        video = granted.video
        assert video is not None
        assert (video.room_join, video.room) == (True, "lobby")
        assert (video.can_publish, video.can_publish_data) == (True, True)
        assert video.can_subscribe is False
        assert video.can_publish_sources == ["camera", "microphone"]
        rest = (video.room_create, video.room_list, video.room_admin, video.can_update_own_metadata)
        assert not any(rest)
        seconds = _expiry(told.token) - time.time()
        assert 7_100 < seconds < 7_300, "the session may last so long, and it is handed over once"

        (egress,) = orch.stages.egress.opened
        target = egress.livekit
        assert target.publisher == egress_pb2.MEDIA_PUBLISHER_MOTION_ENGINE
        assert (target.identity, target.publisher_identity) == (agent, engine)
        assert target.url == livekit.url
        assert (egress.motion_codec, list(egress.idle_motion)) == ("", [])
        avatar = claims(target.token)
        assert avatar.video is not None
        assert avatar.video.can_publish is False
        assert avatar.video.can_publish_data
        assert SECRET not in answer.text + str(opened) + str(egress)


def _expiry(token: str) -> float:
    import jwt

    return float(jwt.decode(token, options={"verify_signature": False})["exp"])


async def test_by_default_egress_publishes_and_motion_comes_back() -> None:
    async with with_livekit() as (orch, _):
        answer = await create(orch, avatar_id="face")
        assert answer.json()["session"]["publisher"] == "PUBLISHER_EGRESS"
        assert orch.stages.motion.opened[0].WhichOneof("delivery") == "return_frames"
        assert orch.stages.egress.opened[0].motion_codec == "scripted"


async def test_a_profile_chooses_and_a_session_may_choose_otherwise() -> None:
    chosen = PROFILES["face"].model_copy(update={"publisher": "motion_engine"})
    async with with_livekit() as (orch, _):
        publishes_by_itself(orch)
        orch.sessions._avatars = {**PROFILES, "chosen": chosen}
        asked: list[dict[str, Any]] = [{}, {"publisher": "egress"}]
        said = [(await create(orch, avatar_id="chosen", **more)).json() for more in asked]
        assert [answer["session"]["publisher"] for answer in said] == [
            "PUBLISHER_MOTION_ENGINE",
            "PUBLISHER_EGRESS",
        ]
        created = await orch.create("chosen")  # on a WebSocket the profile's choice means nothing
        assert created["session"]["publisher"] == "PUBLISHER_UNSPECIFIED"
        assert orch.stages.motion.opened[-1].WhichOneof("delivery") == "return_frames"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"transport": "websocket", **ENGINE}, "transport LIVEKIT"),
        ({"transport": "websocket", "publisher": "egress"}, "transport LIVEKIT"),
        ({"avatar_id": "mute", "publisher": "motion_engine"}, "motion_avatar_id"),
        (ENGINE, 'feature "livekit_room"'),
    ],
)
async def test_what_cannot_be_is_said_and_leaves_nothing(body: dict[str, str], says: str) -> None:
    async with with_livekit() as (orch, livekit):
        answer = await create(orch, **body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["reason"] == "INVALID_FIELD"
        assert "publisher:" in error["message"]
        assert says in error["message"]
        assert livekit.rooms == {}
        await until(lambda: orch.admission.active == 0)


async def test_an_unknown_publisher_is_refused() -> None:
    async with orchestrator() as orch:
        answer = await orch.http.post("/v1/sessions", json={"publisher": "somebody"})
        assert answer.status_code == 422
    with pytest.raises(ValidationError):
        Avatar(name="A", persona="P", publisher="somebody")


async def test_nobody_may_take_the_engines_name() -> None:
    async with with_livekit() as (orch, _):
        asked = {"room": "lobby", "identity": "motion-engine-s-1"}
        answer = await orch.http.post("/token", json=asked)
        assert answer.status_code == 400
        assert "motion-engine-" in answer.text


async def test_a_conversation_goes_to_the_engine_and_to_egress() -> None:
    """Egress here ends turns as an engine would report them; nothing comes back from the bridge."""
    async with with_livekit() as (orch, _):
        publishes_by_itself(orch)
        session_id = (await create(orch, **ENGINE)).json()["session"]["session_id"]
        await orch.sessions.send_text(session_id, "one two three")
        events = await first_events(orch, session_id, "turn_summary")
        assert events[-1].turn_summary.text.strip() == "one two three"
        moved = [r for r in orch.stages.motion.received if r.WhichOneof("message") == "audio"]
        played = [r for r in orch.stages.egress.received if r.WhichOneof("message") == "audio"]
        assert [m.audio.audio.data for m in moved] == [p.audio.audio.data for p in played] != []
        last = orch.stages.motion.received[-1].WhichOneof("message")
        assert last == "end_of_audio"
