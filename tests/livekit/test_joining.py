"""Rooms that cannot be joined: each with one clear error, in time, and with nothing left behind."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from support.livekit import LiveKitServer
from support.processes import free_port

Tokens = Callable[[LiveKitServer, str], str]


def reason(error: grpc.aio.AioRpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status is not None
    assert status.details[0].Unpack(info)
    return str(info.reason)


@pytest.mark.parametrize(
    ("token", "expected", "says"),
    [
        (lambda s, r: s.agent_token(r, secret="x" * 40), "BACKEND_UNAUTHENTICATED", "secret"),
        (lambda s, r: s.agent_token(r, seconds=-600), "BACKEND_UNAUTHENTICATED", "expired"),
        (lambda s, r: "not-a-token-at-all", "BACKEND_UNAUTHENTICATED", "refused"),
        (lambda s, r: s.agent_token("another"), "INVALID_FIELD", "another room"),
        (lambda s, r: s.agent_token(r, "somebody"), "INVALID_FIELD", "identity"),
        (lambda s, r: s.agent_token(r, can_publish=False), "INVALID_FIELD", "canPublish"),
        (
            lambda s, r: s.agent_token(r, can_update_own_metadata=False),
            "INVALID_FIELD",
            "canUpdateOwnMetadata",
        ),
    ],
    ids=["secret", "expired", "garbage", "room", "identity", "publish", "attributes"],
)
async def test_a_token_that_will_not_do(
    stage: Any, room: str, egress_service: Any, token: Tokens, expected: str, says: str
) -> None:
    wrong = token(stage.server, room)
    error = await stage.refused(stage.opening(room, token=wrong))
    assert reason(error) == expected
    assert says in error.details()
    secret = wrong.rpartition(".")[2]
    assert secret not in error.details()
    assert secret not in egress_service.log()
    watching = await stage.user(room)
    assert not watching.room.remote_participants


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
async def test_an_unreachable_server_is_told_within_two_seconds(
    stage: Any, room: str, silent: bool
) -> None:
    with socket.socket() as listener:  # takes connections, answers nothing
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1] if silent else free_port()
        began = time.monotonic()
        error = await stage.refused(stage.opening(room, url=f"ws://127.0.0.1:{port}"))
        assert time.monotonic() - began < 2.0
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(error) == "BACKEND_FAILED"
    assert "cannot be reached" in error.details()


@pytest.mark.parametrize("room", ["ein Raum/mit:Zeichen?&#", "房间 🎭", "a" * 200])
async def test_odd_room_names(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await user.until_attribute("ready", "1")
    await orchestrator.hang_up()


async def test_two_sessions_for_one_room_the_newer_one_has_it(stage: Any, room: str) -> None:
    first = await stage.session(room)
    second = await stage.session(room)
    async with asyncio.timeout(5):
        await first.done.wait()
    assert first.error is not None
    assert first.error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "another participant took this identity" in str(first.error.details())
    user = await stage.user(room)
    await user.until_attribute("ready", "1")
    assert not second.done.is_set()
