"""What a conversation gets through the spatius backend when the Motion Server fails."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import grpc
import pytest
from motion.conftest import API_KEY, COMPLETED, voice
from stagewire.common.v1 import error_pb2
from stagewire_motion_codec import spatius
from support.processes import free_port


def reason(name: str) -> int:
    return error_pb2.ErrorReason.Value(f"ERROR_REASON_{name}")


async def recovers(started: Any, conversation: Any, turn: int) -> None:
    """A turn that has motion again, over whatever session there is now."""
    assert (await conversation.turn(turn)).reason == COMPLETED
    assert conversation.keyframes(turn) == 25, "the next turn has its lips again"
    assert len(started.sessions) == 1


# --- opening ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "settings", "expected", "code"),
    [
        ({"api_key": ("another",)}, {}, "BACKEND_UNAUTHENTICATED", "FAILED_PRECONDITION"),
        ({"avatar_id": ("other",)}, {}, "UNKNOWN_AVATAR", "NOT_FOUND"),
        ({"app_id": ("other",)}, {}, "BACKEND_UNAUTHENTICATED", "FAILED_PRECONDITION"),
        ({"credits": 0}, {}, "BACKEND_EXHAUSTED", "FAILED_PRECONDITION"),
        ({"fault": ("token_status=403",)}, {}, "BACKEND_UNAUTHENTICATED", "FAILED_PRECONDITION"),
        ({"fault": ("token_status=402",)}, {}, "BACKEND_EXHAUSTED", "FAILED_PRECONDITION"),
        ({"fault": ("token_status=429",)}, {}, "BACKEND_FULL", "RESOURCE_EXHAUSTED"),
        ({"fault": ("close_code=4003", "at_message=0")}, {}, "BACKEND_FULL", "RESOURCE_EXHAUSTED"),
        ({"fault": ("close_code=4001", "at_message=0")}, {}, "BACKEND_EXHAUSTED", None),
        ({"fault": ("close_code=4044", "at_message=0")}, {}, "BACKEND_FAILED", "INTERNAL"),
        ({}, {"SPATIUS_AVATAR_ID": ""}, "UNKNOWN_AVATAR", "NOT_FOUND"),
        ({}, {"SPATIUS_CONSOLE_ENDPOINT": "http://127.0.0.1:9/nowhere"}, None, None),
    ],
)
async def test_what_somebody_must_change_fails_open(
    rig: Any,
    refusal: Any,
    caplog: Any,
    server: dict[str, Any],
    settings: dict[str, Any],
    expected: str | None,
    code: str | None,
) -> None:
    caplog.set_level(logging.DEBUG, "stagewire_motion_bridge")
    started = await rig(server, **settings)
    if expected is None:  # unreachable: the conversation begins without lips
        await started.conversation()
        return
    error = await refusal(started)
    assert error.reason_name == expected
    assert code is None or error.code.name == code
    assert (error.retry_after is not None) == (expected == "BACKEND_FULL")
    if "api_key" in server:
        assert "SPATIUS_API_KEY" in error.message
    assert API_KEY not in error.message + caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        {"token_status": 500},
        {"connect_status": 503},
        {"close_code": 4503, "at_message": 0},
        {"drop": True, "at_message": 0},
        {"handshake": "text"},
        {"handshake": "garbage"},
        {"handshake": "never"},
        {"server_error": 14, "server_error_message": "egress", "at_message": 0},
    ],
)
async def test_what_passes_lets_the_conversation_begin_and_lips_follow(
    rig: Any, fault: dict[str, Any]
) -> None:
    started = await rig(connect_seconds=1.0)
    started.faults(**fault)
    conversation = await started.conversation()
    await conversation.until(lambda: conversation.of("fault"))
    (told,) = conversation.of("fault")
    assert told.reason in (reason("BACKEND_UNAVAILABLE"), reason("BACKEND_FAILED"))
    assert (await conversation.turn(1)).reason == COMPLETED
    (degraded,) = conversation.of("degraded")
    assert degraded.reason == told.reason
    started.faults()
    await recovers(started, conversation, 2)


async def test_a_passing_failure_at_open_is_tried_again_at_once(rig: Any) -> None:
    started = await rig()
    started.faults(connect_status=500, times=2)
    conversation = await started.conversation()
    assert conversation.ready.connection_id
    assert not conversation.of("fault")


async def test_a_second_confirmation_is_ignored(rig: Any) -> None:
    started = await rig()
    started.faults(handshake="twice")
    conversation = await started.conversation()
    await recovers(started, conversation, 1)


@pytest.mark.parametrize("hertz", [0, 7_999, 96_000])
async def test_a_rate_that_is_none_is_refused(rig: Any, refusal: Any, hertz: int) -> None:
    error = await refusal(await rig(), hertz=hertz)
    assert error.reason_name == "UNSUPPORTED_FORMAT"


async def test_odd_pcm_ends_the_stream_with_a_reason(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    await conversation.start(1)
    await conversation.say(1, b"\0" * 3)
    assert await conversation.code() == grpc.StatusCode.INVALID_ARGUMENT
    async with asyncio.timeout(5):
        while started.sessions:
            await asyncio.sleep(0.01)


# --- in the middle ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"close_code": 4002},
        {"close_code": 4010},
        {"close_code": 4503},
        {"close_code": 1011},
        {"close_code": 1012},
        {"close_code": 1000},
        {"close_code": 4599},
        {"drop": True},
        {"server_error": 4002, "server_error_message": "session time limit", "close_code": 4002},
        {"motion": "oversized"},
    ],
)
async def test_a_session_that_ends_in_mid_turn_is_replaced_and_the_lips_go_on(
    rig: Any, fault: dict[str, Any]
) -> None:
    """The second message of a turn never comes; another session makes it."""
    started = await rig()
    conversation = await started.conversation()
    first = started.sessions[0].connection_id
    await conversation.start(1)
    await conversation.say(1, voice(2.5))
    await conversation.until(lambda: conversation.motion(1))
    started.faults(**fault, at_message=1, times=1)
    await conversation.say(1, voice(5))
    await conversation.end(1)
    assert (await conversation.ended(1)).reason == COMPLETED
    assert not conversation.of("degraded")
    motion = conversation.motion(1)
    assert [m.start_sample for m in motion] == [0, *(m.end_sample for m in motion[:-1])]
    assert motion[-1].end_sample == 7.48 * 24_000
    assert {spatius.unpack(m.payload).connection_id for m in motion} > {first}
    started.faults()
    await recovers(started, conversation, 2)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"close_code": 4001}, "BACKEND_EXHAUSTED"),
        ({"close_code": 4003}, "BACKEND_FULL"),
        ({"close_code": 4044}, "BACKEND_FAILED"),
        ({"server_error": 4001, "close_code": 1000}, "BACKEND_EXHAUSTED"),
    ],
)
async def test_a_session_that_was_refused_is_not_asked_for_again(
    rig: Any, fault: dict[str, Any], expected: str
) -> None:
    started = await rig()
    conversation = await started.conversation()
    started.faults(**fault)
    for turn in (1, 2, 3):
        assert (await conversation.turn(turn)).reason == COMPLETED
    assert [d.reason for d in conversation.of("degraded")] == [reason(expected)] * 3
    assert not conversation.of("motion")
    assert started.server.server.faults.struck <= 2, "the server was left alone"
    assert not started.sessions


async def test_full_is_asked_again_after_its_pause(
    rig: Any, caplog: pytest.LogCaptureFixture
) -> None:
    started = await rig(full_seconds=0.5)
    conversation = await started.conversation()
    started.faults(close_code=4003, times=1)
    caplog.set_level(logging.INFO)
    assert (await conversation.turn(1)).reason == COMPLETED
    assert [d.reason for d in conversation.of("degraded")] == [reason("BACKEND_FULL")]
    # For motion_bridge, not for the server: a turn that begins between the two is still refused.
    async with asyncio.timeout(5):
        while "session stands" not in caplog.text:
            await asyncio.sleep(0.02)
    await recovers(started, conversation, 2)


async def test_a_token_that_is_refused_again_when_fresh_is_not_tried_for_ever(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    started.faults(close_code=4010, at_message=0)
    started.end_sessions(close_code=4010)
    assert (await conversation.turn(1)).reason == COMPLETED
    assert started.server.server.faults.struck <= 4
    assert [d.reason for d in conversation.of("degraded")] == [reason("BACKEND_UNAUTHENTICATED")]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"motion": "silent"}, "TIMEOUT"),
        ({"motion": "no_end"}, "TIMEOUT"),
        ({"motion": "other_req_id"}, "TIMEOUT"),
        ({"motion": "text"}, "TIMEOUT"),
        ({"motion": "garbage"}, "BACKEND_FAILED"),
        ({"latency": 5.0}, "TIMEOUT"),
        ({"server_error": 13}, "BACKEND_UNAVAILABLE"),
    ],
)
async def test_a_turn_without_its_motion_goes_on_and_the_next_has_lips(
    rig: Any, fault: dict[str, Any], expected: str
) -> None:
    started = await rig(late_seconds=0.5)
    conversation = await started.conversation()
    started.faults(**fault)
    assert (await conversation.turn(1)).reason == COMPLETED
    (degraded,) = conversation.of("degraded")
    assert (degraded.turn, degraded.reason) == (1, reason(expected))
    started.faults()
    await recovers(started, conversation, 2)


async def test_motion_that_ends_before_the_voice_does(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    started.faults(motion="early_end", times=1)
    await conversation.start(1)
    await conversation.say(1, voice(3))
    await conversation.until(lambda: conversation.of("degraded"))
    await conversation.say(1, voice(1))
    await conversation.end(1)
    assert (await conversation.ended(1)).reason == COMPLETED
    await recovers(started, conversation, 2)


async def test_sessions_that_end_between_turns_are_back_before_the_next(rig: Any) -> None:
    started = await rig()
    conversation = await started.conversation()
    await conversation.turn(1)
    for turn, how in enumerate(({"close_code": 4002}, {"close_code": 4010}, {"drop": True}), 2):
        started.end_sessions(**how)
        async with asyncio.timeout(5):
            while not started.sessions:
                await asyncio.sleep(0.01)
        await recovers(started, conversation, turn)
    assert not conversation.of("degraded")


async def test_an_idle_session_is_closed_and_comes_back_with_a_turn(rig: Any) -> None:
    started = await rig(idle_seconds=0.3)
    conversation = await started.conversation()
    async with asyncio.timeout(5):
        while started.sessions:
            await asyncio.sleep(0.02)
    await recovers(started, conversation, 1)


async def test_an_old_session_is_replaced_between_turns(rig: Any) -> None:
    started = await rig(max_session_seconds=0.3)
    conversation = await started.conversation()
    first = started.sessions[0].connection_id
    async with asyncio.timeout(5):
        while not started.sessions or started.sessions[-1].connection_id == first:
            assert started.sessions, "the new one stands before the old one goes"
            await asyncio.sleep(0.02)
    assert (await conversation.turn(1)).reason == COMPLETED
    assert conversation.keyframes(1) == 25


async def test_the_next_region_is_tried_when_one_is_down(rig: Any, monkeypatch: Any) -> None:
    started = await rig(SPATIUS_REGION="us-west,ap-northeast")
    asked: list[int] = []
    session = started.backend._session

    async def in_region(kind: Any, region: int, room: Any = None) -> Any:
        asked.append(region)
        if region == 0:
            raise OSError("this region is down")
        return await session(kind, region, room)

    monkeypatch.setattr(started.backend, "_session", in_region)
    conversation = await started.conversation()
    await recovers(started, conversation, 1)
    assert asked == [0, 1]


async def test_a_pool_has_sessions_ready(rig: Any) -> None:
    started = await rig(pool_size=2, pool_seconds=30)
    first = await started.conversation()
    async with asyncio.timeout(5):
        while len(started.sessions) < 3:
            await asyncio.sleep(0.02)
    ready = {session.connection_id for session in started.sessions}
    ready -= {first.ready.connection_id}
    second = await started.conversation(session_id="t")
    assert second.ready.connection_id in ready
    assert (await second.turn(1)).reason == COMPLETED
    assert second.keyframes(1) == 25


async def test_a_ready_session_does_not_wait_longer_than_it_may(rig: Any) -> None:
    started = await rig(pool_size=1, pool_seconds=0.3)
    await started.conversation()
    seen: set[str] = set()
    async with asyncio.timeout(5):
        while len(seen) < 4:
            seen |= {session.connection_id for session in started.sessions}
            assert len(started.sessions) <= 3
            await asyncio.sleep(0.02)


# --- a room ----------------------------------------------------------------------------------


async def test_a_room_is_handed_to_the_server(rig: Any, refusal: Any) -> None:
    """Nobody is there to be joined; that the Motion Server says so shows that it was asked."""
    room = {
        "url": f"ws://127.0.0.1:{free_port()}",
        "token": "room-token",
        "room": "r",
        "identity": "face",
    }
    started = await rig(connect_seconds=4)
    conversation = await started.conversation(return_frames=None, livekit_room=room)
    await conversation.until(lambda: conversation.of("fault"))
    assert "room" in conversation.of("fault")[0].message
    assert "room-token" not in str(conversation.seen)


# --- secrets ---------------------------------------------------------------------------------


async def test_keys_and_tokens_are_nowhere(rig: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    started = await rig()
    tokens: list[str] = []
    issue = started.server.server.tokens.issue
    started.server.server.tokens.issue = lambda *a: tokens.append(issue(*a)) or tokens[-1]
    conversation = await started.conversation()
    for turn, fault in enumerate(({"drop": True}, {"close_code": 4010}, {"motion": "silent"}), 1):
        started.faults(**fault, times=1)
        await conversation.turn(turn)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("stagewire_motion_bridge")]
    said = "\n".join(ours) + str(conversation.seen)
    assert tokens
    assert not [secret for secret in (API_KEY, *tokens) if secret in said]
    assert re.search(r"connection=\w+", said), "ids are what a log is for"
