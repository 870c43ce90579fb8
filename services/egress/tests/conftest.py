"""A real egress on loopback, a fake orchestrator for its gRPC side, and a bare WebSocket client."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import grpc
import pytest
from backend_mode import running_backend
from fake_orchestrator import RATE, FakeOrchestrator
from stagekit.server import Stage
from stagekit.testing import channel_to
from stagewire.egress.v1 import egress_pb2, egress_pb2_grpc
from stagewire_egress.service import build
from stagewire_egress.settings import EgressSettings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

HEADER = struct.Struct("<BBHIqII")


def opening(session: str = "s1", token: str = "", **fields: Any) -> egress_pb2.Open:
    pcm = {"encoding": "AUDIO_ENCODING_PCM_S16LE"}
    message: dict[str, Any] = {
        "session_id": session,
        "web_socket": {"join_token": token or f"token-of-{session}-0123456789"},
        "voice_format": {**pcm, "sample_rate_hertz": RATE},
        "motion_codec": "stagewire.arkit52",
        "motion_frame_rate": 50,
        "microphone_format": {**pcm, "sample_rate_hertz": 16_000},
    }
    return egress_pb2.Open(**{**message, **fields})


class Client:
    """A bare client: it plays nothing by itself and reports only what a test tells it to."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self._microphone_sample = 0

    async def send(self, **message: Any) -> None:
        await self.ws.send(json.dumps(message))

    async def recv(self, seconds: float = 5.0) -> dict[str, Any]:
        """The next message; a binary one as a dict with `kind` and `payload`."""
        async with asyncio.timeout(seconds):
            message = await self.ws.recv()
        if isinstance(message, str):
            return dict(json.loads(message))
        kind, version, _, turn, start, count, _ = HEADER.unpack_from(message)
        assert version == 1
        payload = message[HEADER.size :]
        return {
            "type": {2: "voice", 3: "motion"}[kind],
            "turn": turn,
            "start": start,
            "end": start + count,
            "payload": payload,
        }

    async def until(self, type_: str, seconds: float = 5.0, **fields: Any) -> list[dict[str, Any]]:
        """Reads up to the first message of this type (and these fields); returns all, it last."""
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(seconds):
            while True:
                message = await self.recv(seconds)
                seen.append(message)
                if message["type"] == type_ and fields.items() <= message.items():
                    return seen

    async def speak(self, pcm: bytes) -> None:
        count = len(pcm) // 2
        await self.ws.send(HEADER.pack(1, 1, 0, 0, self._microphone_sample, count, 0) + pcm)
        self._microphone_sample += count

    async def played(self, turn: int, samples: int, **more: Any) -> None:
        await self.send(type="playback", turn=turn, played_samples=samples, **more)

    async def closed(self, seconds: float = 5.0) -> int | None:
        """Reads to the end; returns the close code."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(seconds):
                while True:
                    await self.ws.recv()
        return self.ws.close_code


class Bench:
    """One egress, its orchestrators and clients."""

    def __init__(self, stage: Stage, channel: grpc.aio.Channel) -> None:
        self.stage = stage
        self._stub = egress_pb2_grpc.EgressServiceStub(channel)
        self._orchestrators: list[FakeOrchestrator] = []
        self._clients: list[ClientConnection] = []

    def call(self) -> FakeOrchestrator:
        orchestrator = FakeOrchestrator(self._stub.Deliver())
        self._orchestrators.append(orchestrator)
        return orchestrator

    async def session(self, session: str = "s1", **fields: Any) -> FakeOrchestrator:
        orchestrator = self.call()
        await orchestrator.say(open=opening(session, **fields))
        orchestrator.join_url = (await orchestrator.wait("ready")).join_url
        return orchestrator

    async def socket(self, url: str, **options: Any) -> Client:
        ws = await connect(url, compression=None, max_size=None, **options)
        self._clients.append(ws)
        return Client(ws)

    async def client(
        self,
        orchestrator: FakeOrchestrator,
        session: str = "s1",
        rate: int = 16_000,
        **options: Any,
    ) -> Client:
        client = await self.socket(orchestrator.join_url, **options)
        token = f"token-of-{session}-0123456789"
        await client.send(type="join", token=token, microphone={"sample_rate_hertz": rate})
        assert (await client.recv())["type"] == "joined"
        return client

    async def close(self) -> None:
        for ws in self._clients:
            if ws.state is not State.CLOSED:
                ws.transport.abort()
        for orchestrator in self._orchestrators:
            orchestrator.cancel()


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Bench]:
    stage = await build(EgressSettings(**{"websocket_port": 0, **settings}))
    async with channel_to(stage) as channel:
        bench = Bench(stage, channel)
        try:
            yield bench
        finally:
            await bench.close()


@pytest.fixture
async def egress() -> AsyncIterator[Bench]:
    """An egress with short waits."""
    async with running(join_seconds=0.3, return_seconds=1.0, stall_seconds=1.0) as bench:
        yield bench


@pytest.fixture
def egress_with() -> Any:
    """Makes an egress with other settings."""
    return running


@pytest.fixture
def open_message() -> Any:
    """Makes an opening message."""
    return opening


@pytest.fixture
def backend(egress_with: Any) -> Any:
    """Begins an egress that serves `/ws/agent`; takes settings and fields of the sessions' open."""
    return partial(running_backend, egress_with)
