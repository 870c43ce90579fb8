"""Opening, refusing, draining."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2


def _reason(error: Any) -> str:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.ErrorInfo()
            status_pb2.Status.FromString(value).details[0].Unpack(info)
            return str(info.reason)
    return ""


async def _refused(orchestrator: Any) -> Any:
    async with asyncio.timeout(5):
        await orchestrator.done.wait()
    assert not orchestrator.answers
    return orchestrator.error


PCM = "AUDIO_ENCODING_PCM_S16LE"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"session_id": ""}, "INVALID_FIELD"),
        ({"session_id": "x" * 129}, "INVALID_FIELD"),
        ({"web_socket": None}, "INVALID_FIELD"),
        ({"web_socket": {"join_token": "x" * 15}}, "INVALID_FIELD"),
        ({"web_socket": {"join_token": "x" * 513}}, "INVALID_FIELD"),
        ({"web_socket": None, "livekit": {"url": "http://127.0.0.1"}}, "INVALID_FIELD"),
        ({"web_socket": None, "livekit": {"url": "ws://127.0.0.1"}}, "INVALID_FIELD"),
        ({"voice_format": {}}, "UNSUPPORTED_FORMAT"),
        ({"voice_format": {"encoding": PCM, "sample_rate_hertz": 7_999}}, "UNSUPPORTED_FORMAT"),
        ({"microphone_format": {"encoding": PCM}}, "UNSUPPORTED_FORMAT"),
        ({"motion_codec": "x" * 65}, "INVALID_FIELD"),
        ({"motion_frame_rate": -1}, "INVALID_FIELD"),
        ({"idle_motion": [bytes(128 * 1024), bytes(128 * 1024 + 1)]}, "INVALID_FIELD"),
    ],
)
async def test_impossible_openings_are_refused(
    egress: Any, open_message: Any, fields: dict[str, Any], reason: str
) -> None:
    orchestrator = egress.call()
    await orchestrator.say(open=open_message(**fields))
    error = await _refused(orchestrator)
    assert _reason(error) == reason
    assert "x" * 15 not in error.details()
    if "livekit" in fields:
        assert "livekit." in error.details()


async def test_open_comes_first_and_once(egress: Any, open_message: Any) -> None:
    orchestrator = egress.call()
    await orchestrator.say(turn_start={"turn": 1})
    assert _reason(await _refused(orchestrator)) == "NOT_OPEN"
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    await orchestrator.say(open=open_message())
    await orchestrator.done.wait()
    assert _reason(orchestrator.error) == "ALREADY_OPEN"
    assert await client.closed() == 1012


async def test_a_session_and_a_token_are_open_once(egress: Any, open_message: Any) -> None:
    first = await egress.session("a")
    again = egress.call()
    await again.say(open=open_message("a", token="another-token-0123456789"))
    assert _reason(await _refused(again)) == "SESSION_EXISTS"
    thief = egress.call()
    await thief.say(open=open_message("b", token="token-of-a-0123456789"))
    assert _reason(await _refused(thief)) == "INVALID_FIELD"
    client = await egress.client(first, "a")
    await first.hang_up()
    assert await client.closed() == 1000
    await egress.session("a")  # both are free again


async def test_ready_says_how_to_join(egress_with: Any, open_message: Any) -> None:
    async with egress_with(public_url="wss://avatar.example.com/v1/join") as egress:
        orchestrator = await egress.session()
        (ready,) = orchestrator.all("ready")
        assert ready.join_url == "wss://avatar.example.com/v1/join"
        assert ready.microphone_format.sample_rate_hertz == 16_000
        assert ready.max_audio_bytes == 1 << 20
        assert list(ready.features) == ["web_socket", "playback", "user_text"]


async def test_a_taken_port_is_said_plainly(egress: Any, egress_with: Any) -> None:
    port = int((await egress.session()).join_url.split(":")[2].split("/")[0])
    with pytest.raises(SystemExit, match=f"cannot listen on 127.0.0.1:{port}"):
        async with egress_with(websocket_port=port):
            pass


async def test_a_full_stage_says_so_at_once(egress_with: Any, open_message: Any) -> None:
    async with egress_with(max_sessions=1) as egress:
        await egress.session("a")
        second = egress.call()
        await second.say(open=open_message("b"))
        error = await _refused(second)
        assert _reason(error) == "STAGE_FULL"


async def test_a_drain_is_told_to_both_sides_and_the_session_goes_on(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    egress.stage.drain.set()
    going_away = await orchestrator.wait("going_away")
    assert going_away.grace.seconds == 30
    assert await client.recv() == {"type": "going_away", "grace_milliseconds": 30_000}
    length = await orchestrator.turn(1)
    await client.until("end_of_turn")
    await client.played(1, length)
    await orchestrator.wait("turn_ended")


async def test_a_broken_stream_lets_the_client_come_back(egress: Any) -> None:
    orchestrator = await egress.session()
    client = await egress.client(orchestrator)
    orchestrator.cancel()
    assert await client.closed() == 1012
    again = await egress.session()
    await egress.client(again)
