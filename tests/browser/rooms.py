"""The page, a real LiveKit server and a real egress; the orchestrator is a fake in this process."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from browser.conftest import Visit
from fake_orchestrator import RATE, FakeOrchestrator
from fastapi import FastAPI, Response
from stagewire_motion_codec import arkit52
from stagewire_orchestrator import avatars
from stagewire_orchestrator.http.server import HttpServer
from stagewire_orchestrator.page import PageSettings, add_page
from support.livekit import LiveKitServer
from support.livekit_process import Stage
from support.livekit_turns import speak

FRAMES_PER_SECOND = 50

# Tells when sound begins after a silence in what the loudspeaker gets, and when it was loud last.
_TAP = """
registerProcessor("tap", class extends AudioWorkletProcessor {
  quiet = 0;
  process([[samples]]) {
    let loud = -1;
    samples ??= new Float32Array(128);
    samples.forEach((sample, i) => {
      if (Math.abs(sample) < 0.08) { this.quiet++; return; }
      loud = currentFrame + i;
      if (this.quiet > sampleRate / 10) this.port.postMessage({ begins: loud });
      this.quiet = 0;
    });
    if (loud >= 0) this.port.postMessage({ loud });
    return true;
  }
});
"""
_LISTEN = """async () => {
  const { output, context } = stagewire.session.playback;
  await context.audioWorklet.addModule("/tap.js");
  const tap = new AudioWorkletNode(context, "tap");
  output.connect(tap);
  globalThis.sounds = { begins: [], loud: 0 };
  tap.port.onmessage = ({ data: { begins, loud } }) => {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    const at = (frame) => performanceTime + (frame / context.sampleRate - contextTime) * 1000;
    if (begins) sounds.begins.push(at(begins));
    if (loud) sounds.loud = at(loud);
  };
}"""


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
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RoomsPage]:
        app = FastAPI()
        livekit = self._server.url
        connects = [livekit, livekit.replace("ws", "http", 1), "ws://127.0.0.1:*"]
        add_page(app, avatars.load(), PageSettings(connects=connects))
        app.get("/tap.js")(lambda: Response(_TAP, media_type="text/javascript"))
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
        name = f"page-{secrets.token_hex(4)}"
        session = {"session_id": name, "transport": f"TRANSPORT_{wanted['transport'].upper()}"}
        if wanted["transport"] == "livekit":
            orchestrator = await self._stage.session(name)
            url, token = self._server.url, self._server.token("ann", name)
        else:
            opening = self._stage.opening(name)
            opening.web_socket.join_token = token = secrets.token_urlsafe(24)
            orchestrator = self._stage.call()
            await orchestrator.say(open=opening)
            url = (await orchestrator.wait("ready")).join_url
        self._created.put_nowait(orchestrator)
        return {"session": session, "url": url, "client_token": token}


async def listen(page: Visit) -> None:
    """Follows what the loudspeaker gets from now on: ``sounds`` in the page."""
    await page.until("globalThis.stagewire?.session?.playback?.source != null")
    await page.page.evaluate(_LISTEN)


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
