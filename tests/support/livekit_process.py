"""A real egress process, and sessions in LiveKit rooms at it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from fake_orchestrator import RATE, FakeOrchestrator
from stagekit.channel import connect
from stagewire.egress.v1 import egress_pb2, egress_pb2_grpc
from support.livekit import LiveKitServer
from support.processes import Service, free_port
from support.room import User

PCM = "AUDIO_ENCODING_PCM_S16LE"


def egress_process(**settings: str) -> Service:
    environment = {f"STAGEWIRE_EGRESS_{name.upper()}": value for name, value in settings.items()}
    ports = {"STAGEWIRE_EGRESS_WEBSOCKET_PORT": str(free_port())}
    service = Service("stagewire_egress", "STAGEWIRE_EGRESS_", {**ports, **environment})
    service.wait_ready()
    return service


class Stage:
    """Opens sessions at an egress, and users in their rooms."""

    def __init__(self, channel: grpc.aio.Channel, server: LiveKitServer) -> None:
        self.server = server
        self._stub = egress_pb2_grpc.EgressServiceStub(channel)
        self._closing = AsyncExitStack()

    def call(self) -> FakeOrchestrator:
        orchestrator = FakeOrchestrator(self._stub.Deliver())
        self._closing.callback(orchestrator.cancel)
        return orchestrator

    def opening(self, room: str, *, token: str = "", **target: Any) -> egress_pb2.Open:
        return egress_pb2.Open(
            session_id=f"s-{secrets.token_hex(4)}",
            livekit={
                "url": self.server.url,
                "token": token or self.server.agent_token(room),
                "room": room,
                "identity": "avatar",
                "publisher": "MEDIA_PUBLISHER_EGRESS",
                **target,
            },
            voice_format={"encoding": PCM, "sample_rate_hertz": RATE},
            motion_codec="stagewire.arkit52",
            motion_frame_rate=25,
            idle_motion=[b"idle"],
            microphone_format={"encoding": PCM, "sample_rate_hertz": 16_000},
        )

    async def session(self, room: str) -> FakeOrchestrator:
        orchestrator = self.call()
        await orchestrator.say(open=self.opening(room))
        await orchestrator.wait("ready", seconds=10)
        return orchestrator

    async def refused(self, opening: egress_pb2.Open, seconds: float = 10.0) -> Any:
        """Opens, and returns the error that comes instead of `ready`."""
        orchestrator = self.call()
        await orchestrator.say(open=opening)
        async with asyncio.timeout(seconds):
            await orchestrator.done.wait()
        assert not orchestrator.answers
        return orchestrator.error

    async def user(self, room: str, identity: str = "ann", **grants: Any) -> User:
        user = User(self.server.url, self.server.token(identity, room, **grants))
        await user.join()
        self._closing.push_async_callback(user.leave)
        return user

    async def close(self) -> None:
        await self._closing.aclose()


@asynccontextmanager
async def stage_at(service: Service, server: LiveKitServer) -> AsyncIterator[Stage]:
    async with connect(service.address) as channel:
        stage = Stage(channel, server)
        try:
            yield stage
        finally:
            await stage.close()
