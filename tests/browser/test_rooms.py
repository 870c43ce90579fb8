"""The page in a LiveKit room: real browser, server and egress; the orchestrator is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser.conftest import Visitor, visitors
from browser.rooms import RoomsPage, say
from browser.tools import chromium
from fake_orchestrator import RATE
from support.livekit import LiveKitServer, any_server, required
from support.livekit_process import egress_process, stage_at
from support.livekit_turns import microphone_audio, tone
from support.processes import Service

SECONDS, EVERY, BURST = 6.0, 0.5, 0.02

_LISTEN = """async () => {
  const { output, context } = stagewire.session.playback;
  await context.audioWorklet.addModule("/tap.js");
  const tap = new AudioWorkletNode(context, "tap");
  output.connect(tap);
  globalThis.bursts = [];
  tap.port.onmessage = ({ data }) => {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    bursts.push(performanceTime + (data / context.sampleRate - contextTime) * 1000);
  };
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[LiveKitServer]:
    """The server that the environment names, or one of our own."""
    chromium()
    with any_server() as found:
        yield required(found)


@pytest.fixture(scope="module")
def egress_service() -> Iterator[Service]:
    service = egress_process()
    yield service
    service.stop()


@pytest.fixture
async def page(egress_service: Service, server: LiveKitServer) -> AsyncIterator[RoomsPage]:
    async with stage_at(egress_service, server) as stage, RoomsPage(stage, server).serving() as page:
        yield page


@pytest.fixture
async def visit(page: RoomsPage, server: LiveKitServer) -> AsyncIterator[Visitor]:
    async with visitors(page.url, urlsplit(server.url).netloc) as visitor:
        yield visitor


def bursts() -> tuple[bytes, list[int]]:
    """A voice of silence and bursts, and the samples at which they begin."""
    voice = np.zeros(round(SECONDS * RATE))
    marks = [round(at * RATE) for at in np.arange(0.5, SECONDS - 0.1, EVERY)]
    wave = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(BURST * RATE)) / RATE)
    for mark in marks:
        voice[mark : mark + len(wave)] = wave
    return (voice * 32767).astype("<i2").tobytes(), marks


@pytest.mark.parametrize('i', range(3))
async def test_skew(i, page: RoomsPage, visit: Visitor) -> None:
    found = await visit(query="render=none&transport=livekit")
    found.page.on("console", lambda m: print("CONSOLE", m.text[:300]))
    found.page.on("pageerror", lambda m: print("ERR", m))
    await found.type("hello")
    orchestrator = await page.session()
    print((await orchestrator.wait("user_text", seconds=20)).text)
    await found.until("stagewire.session?.playback?.source != null")
    await found.page.evaluate(_LISTEN)
    pcm, marks = bursts()
    await say(orchestrator, 1, pcm)
    await orchestrator.wait("turn_ended", seconds=20)
    await asyncio.sleep(0.5)
    heard = await found.page.evaluate("bursts")
    shown = await found.page.evaluate("stagewire.avatar.shown")
    print(len(heard), len(marks), len(shown))
    at = np.array([s["at"] for s in shown])
    for mark, t in zip(marks, heard):
        i = int(np.searchsorted(at, t)) - 1
        s = shown[i]
        clock = (s["heardSample"] - mark) * 1000 / RATE + t - s["at"]
        print(mark, f"frame age {(mark - s['frameSample']) * 1000 / RATE:.1f} clock {clock:.1f}")
    print(await found.page.evaluate("""(() => { const c = stagewire.session.playback.context; const s = c.getOutputTimestamp(); return [s.contextTime, s.performanceTime, performance.now(), c.currentTime, (c.currentTime - s.contextTime)*1000 - (performance.now() - s.performanceTime)]})()"""))
    print(await found.page.evaluate("stagewire.session.playback.jitter"), await found.page.evaluate("stagewire.session.playback.context.outputLatency"),await found.page.evaluate("stagewire.session.playback.context.baseLatency"))
    print(found.errors, found.strangers)
