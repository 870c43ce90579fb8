"""The page, a real LiveKit server and a real egress; the orchestrator is a fake in this process."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fake_orchestrator import RATE, FakeOrchestrator
from fastapi import FastAPI, Response
from stagewire_motion_codec import arkit52
from stagewire_orchestrator import avatars
from stagewire_orchestrator.http.server import HttpServer
from stagewire_orchestrator.page import add_page
from support.livekit import LiveKitServer
from support.livekit_process import Stage
from support.livekit_turns import speak

FRAMES_PER_SECOND = 50
# Says when a burst begins in what the loudspeaker gets, as frames of the device.
TAP = """
registerProcessor("tap", class extends AudioWorkletProcessor {
  quiet = 0;
  process([[samples = []]]) {
    samples.forEach((sample, i) => {
      if (Math.abs(sample) < 0.08) { this.quiet++; return; }
      if (this.quiet > sampleRate / 10) this.port.postMessage(currentFrame + i);
      this.quiet = 0;
    });
    return true;
  }
});
"""


class RoomsPage:
    """Serves the page and creates sessions in rooms, as the orchestrator's HTTP side does. A fake.

    Args:
        stage: Opens sessions at egress.
        server: The rooms' server.
    """

    def __init__(self, stage: Stage, server: LiveKitServer) -> None:
        self._stage = stage
        self._server = server
        self._created: asyncio.Queue[FakeOrchestrator] = asyncio.Queue()
        self.rooms: list[str] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RoomsPage]:
        app = FastAPI()
        livekit = self._server.url
        add_page(app, avatars.load(), connects=[livekit, livekit.replace("ws", "http", 1)])
        app.get("/tap.js")(lambda: Response(TAP, media_type="text/javascript"))
        app.post("/v1/sessions", status_code=201)(self._create)
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = HttpServer(app)
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield self
        finally:
            server.should_exit = True
            await serving

    async def session(self) -> FakeOrchestrator:
        """The next session that the page creates, seen from the orchestrator."""
        async with asyncio.timeout(20):
            return await self._created.get()

    async def _create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        assert wanted["transport"] == "livekit"
        room = f"page-{secrets.token_hex(4)}"
        self.rooms.append(room)
        self._created.put_nowait(await self._stage.session(room))
        return {
            "session": {"session_id": room, "transport": "TRANSPORT_LIVEKIT", "trace_id": ""},
            "url": self._server.url,
            "client_token": self._server.token("ann", room),
        }


async def say(orchestrator: FakeOrchestrator, turn: int, pcm: bytes, end: bool = True) -> int:
    """Sends a turn whose mouth opens and closes; returns its samples."""

    def frames(start: int) -> bytes:
        step = RATE // FRAMES_PER_SECOND
        weights = [0.0] * len(arkit52.CHANNELS)
        made = []
        for sample in (start, start + step):
            weights[arkit52.CHANNELS.index("jawOpen")] = (sample // step % 10) / 10
            made.append(arkit52.Frame(tuple(weights)))
        return arkit52.pack(made, FRAMES_PER_SECOND)

    return await speak(orchestrator, turn, pcm, end, frames)
