"""`/ws/agent` for tests: an egress that serves it, the fake that gives it sessions, an avatar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from demo_clients import DemoClient
from fake_sessions import FakeSessions
from stagekit.server import serving
from stagewire_motion_codec import spatius
from websockets.asyncio.client import connect
from websockets.protocol import State

SPATIUS: dict[str, Any] = {"motion_codec": "spatius.message", "motion_frame_rate": 25}
CHUNK = 960  # 40 ms at the voice's 24 kHz


def keyframes(end: bool = False) -> bytes:
    return spatius.pack(spatius.Animation("r", (spatius.Keyframe(),), end=end))


class Backend:
    """One egress that serves `/ws/agent`, and the fake that gives it sessions."""

    def __init__(self, sessions: FakeSessions, url: str) -> None:
        self.sessions = sessions
        self.url = url
        self.clients: list[DemoClient] = []

    @property
    def http(self) -> str:
        """As the clients find it: the URL without `/ws/agent`, with http for ws."""
        return self.url.removesuffix("/ws/agent").replace("ws:", "http:")

    async def connect(self, kind: type[DemoClient], **options: Any) -> Any:
        client = kind(await connect(self.url, **options))
        self.clients.append(client)
        return client

    @property
    def orchestrator(self) -> Any:
        return self.sessions.orchestrators[-1]


@asynccontextmanager
async def running_backend(
    egress_with: Any, settings: dict[str, Any] | None = None, **opening: Any
) -> AsyncIterator[Backend]:
    sessions = FakeSessions(**opening)
    async with serving(sessions.stage()) as port:
        target = {"session_target": f"127.0.0.1:{port}", "spatius_app_id": "app"}
        async with egress_with(**{**target, **(settings or {})}) as bench:
            sessions.bench = bench
            probe = await bench.session("probe")
            url = probe.join_url.replace("/v1/join", "/ws/agent")
            backend = Backend(sessions, url)
            try:
                yield backend
            finally:
                for client in backend.clients:
                    if client.ws.state is not State.CLOSED:
                        client.ws.transport.abort()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def speaks(orchestrator: Any, turn: int, chunks: int = 5, motion: bool = True) -> None:
    """A turn of the avatar: a motion message with every chunk, the last one says so."""
    await orchestrator.say(turn_start={"turn": turn})
    for index in range(chunks):
        start = index * CHUNK
        if motion:
            payload = keyframes(end=index == chunks - 1)
            span = {"start_sample": start, "end_sample": start + CHUNK}
            await orchestrator.say(motion={"turn": turn, "payload": payload, **span})
        await orchestrator.audio(turn, start, CHUNK, 1)
    await orchestrator.say(end_of_turn={"turn": turn})
