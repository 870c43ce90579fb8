"""The session API over gRPC: who may call what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from scripted import ScriptedStages
from stagekit.server import serving
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb
from stagewire.orchestrator.v1 import orchestrator_pb2_grpc
from stagewire_orchestrator.__main__ import build
from stagewire_orchestrator.settings import OrchestratorSettings

KEY = "key-of-a-caller"
STAGES = ("asr", "llm", "tts", "motion_bridge", "egress")


@asynccontextmanager
async def api(**settings: Any) -> AsyncIterator[Any]:
    """The service as its process serves it, with scripted stages."""
    async with ScriptedStages().serving() as target:
        targets = {f"{stage}_target": target for stage in STAGES}
        stage = await build(OrchestratorSettings(http_port=0, **targets, **settings))
        async with (
            serving(stage) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield orchestrator_pb2_grpc.SessionServiceStub(channel)


def showing(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


@pytest.mark.parametrize(
    "call",
    [
        ("CreateSession", pb.CreateSessionRequest()),
        ("ListSessions", pb.ListSessionsRequest()),
        ("GetSession", pb.GetSessionRequest(session_id="s-1")),
        ("EndSession", pb.EndSessionRequest(session_id="s-1")),
        ("SendText", pb.SendTextRequest(session_id="s-1", text="hi")),
        ("Interrupt", pb.InterruptRequest(session_id="s-1")),
        ("WatchSession", pb.WatchSessionRequest(session_id="s-1")),
    ],
    ids=lambda call: call[0],
)
async def test_without_a_key_nothing_is_done(call: tuple[str, Any]) -> None:
    name, request = call
    async with api(api_keys=KEY) as stub:
        for metadata in ((), showing("another"), (("authorization", "Basic eA=="),)):
            made = getattr(stub, name)(request, metadata=metadata, timeout=5)
            assert await made.code() in (
                grpc.StatusCode.UNAUTHENTICATED,
                grpc.StatusCode.PERMISSION_DENIED,
            )
            assert KEY not in await made.details()


async def test_a_key_does_all_and_a_client_s_token_its_own_session() -> None:
    async with api(api_keys=KEY) as stub:
        created = await stub.CreateSession(pb.CreateSessionRequest(), metadata=showing(KEY))
        mine = showing(created.api_token)
        session_id = created.session.session_id
        got = await stub.GetSession(pb.GetSessionRequest(session_id=session_id), metadata=mine)
        assert got.session.session_id == session_id
        other = await stub.CreateSession(pb.CreateSessionRequest(), metadata=showing(KEY))
        foreign = pb.EndSessionRequest(session_id=other.session.session_id)
        for refused in (
            stub.EndSession(foreign, metadata=mine),
            stub.ListSessions(pb.ListSessionsRequest(), metadata=mine),
            stub.CreateSession(pb.CreateSessionRequest(), metadata=mine),
        ):
            assert await refused.code() == grpc.StatusCode.PERMISSION_DENIED
        await stub.EndSession(foreign, metadata=showing(KEY))


async def test_where_there_are_no_keys_none_is_asked_for() -> None:
    async with api() as stub:
        assert (await stub.CreateSession(pb.CreateSessionRequest())).client_token
