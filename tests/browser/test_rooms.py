"""The page in a LiveKit room: real browser, server and egress; the orchestrator is a fake."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser.conftest import Visitor, visitors
from browser.rooms import RoomsPage, listen, say
from browser.tools import chromium
from fake_orchestrator import RATE
from livekit import api
from playwright.async_api import expect
from stagewire.common.v1 import session_event_pb2
from support.livekit import BINARY, LiveKitServer, OwnServer, any_server, own_server, required
from support.livekit_process import egress_process, stage_at
from support.livekit_turns import microphone_audio, tone
from support.processes import Service
from support.stack import SPEECH

pytestmark = pytest.mark.slow

ROOM = "render=none&transport=livekit"
SPEAKING = session_event_pb2.CONVERSATION_STATE_SPEAKING
LISTENING = session_event_pb2.CONVERSATION_STATE_LISTENING


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
    async with (
        stage_at(egress_service, server) as stage,
        RoomsPage(stage, server).serving() as page,
    ):
        yield page


@pytest.fixture
async def visit(page: RoomsPage, server: LiveKitServer) -> AsyncIterator[Visitor]:
    async with visitors(page.url, urlsplit(server.url).netloc) as visitor:
        yield visitor


async def test_in_a_room_one_is_heard_and_hears_and_sees(page: RoomsPage, visit: Visitor) -> None:
    visitor = await visit(SPEECH / "go-somewhere.wav", again=True, query=ROOM)
    await visitor.start()
    orchestrator = await page.session()
    async with asyncio.timeout(40):
        while np.max(np.abs(microphone_audio(orchestrator)), initial=0) < 0.05:
            await asyncio.sleep(0.1)

    await listen(visitor)
    events = [
        {"state_changed": {"state": SPEAKING}},
        {"user_transcript": {"text": "who", "final": False}},
        {"user_transcript": {"text": "Who are you?", "final": True}},
        {"avatar_transcript": {"text": "I am Ava."}},
    ]
    for sequence, event in enumerate(events):
        await orchestrator.say(event={"sequence": sequence, "turn": 1, **event})
    await say(orchestrator, 1, tone(440, 2.0), end=False)
    words = [{"text": "I am", "start_sample": 0, "end_sample": RATE, "text_end": 4}]
    await orchestrator.say(words={"turn": 1, "words": words})
    await orchestrator.say(end_of_turn={"turn": 1})
    await visitor.state("speaking")
    await visitor.until("sounds.begins.length")
    await visitor.until("document.querySelector('#caption').textContent.startsWith('I am')")
    ended = await orchestrator.wait("turn_ended", seconds=20)
    assert ended.played_samples == 2 * RATE
    await orchestrator.say(event={"sequence": 9, "state_changed": {"state": LISTENING}})
    await visitor.state("listening")

    (asked,), (said,) = await visitor.lines("li.user"), await visitor.lines("li.avatar")
    assert asked.endswith("Who are you?")
    assert said.endswith("I am Ava.")
    faces = "new Set(stagewire.avatar.shown.map((s) => s.frameSample)).size"
    assert await visitor.page.evaluate(faces) > 10
    assert any(url.endswith("/livekit.js") for url in visitor.asked)
    assert (visitor.strangers, visitor.errors) == ([], [])


async def test_a_websocket_session_never_loads_livekits_client(
    page: RoomsPage, visit: Visitor
) -> None:
    visitor = await visit()
    await visitor.type("Hello")
    orchestrator = await page.session()
    assert (await orchestrator.wait("user_text", seconds=20)).text == "Hello"
    await say(orchestrator, 1, tone(440, 0.5))
    await visitor.until("stagewire.session.playback?.position()?.turn === 1")
    assert not any("livekit" in url for url in visitor.asked)


async def test_escape_silences_the_room_at_once_and_the_next_turn_sounds(
    page: RoomsPage, visit: Visitor
) -> None:
    visitor = await visit(query=ROOM)
    await visitor.type("Sing")
    orchestrator = await page.session()
    assert (await orchestrator.wait("user_text", seconds=30)).text == "Sing"
    await listen(visitor)
    await say(orchestrator, 1, tone(440, 8.0))
    await visitor.until("sounds.begins.length")
    await asyncio.sleep(0.5)
    await visitor.page.evaluate(
        "addEventListener('keydown', () => (globalThis.pressed = performance.now()), true)"
    )
    await visitor.page.keyboard.press("Escape")
    await orchestrator.wait("user_interrupt")
    await orchestrator.say(interrupt={"turn": 1})
    ended = await orchestrator.wait("turn_ended")
    assert 0 < ended.played_samples < 4 * RATE
    await asyncio.sleep(0.5)
    took = await visitor.page.evaluate("sounds.loud - globalThis.pressed")
    print(f"silent {took:.1f} ms after the key; load {os.getloadavg()[0]:.1f}")
    assert took < 500
    await say(orchestrator, 2, tone(440, 1.0))
    await visitor.until("sounds.begins.length === 2")
    await visitor.until("stagewire.session.playback.position().turn === 2")
    assert visitor.errors == []


async def test_a_deleted_room_ends_the_conversation(
    page: RoomsPage, visit: Visitor, server: LiveKitServer
) -> None:
    visitor = await visit(query=ROOM)
    await visitor.type("Hello")
    orchestrator = await page.session()
    await orchestrator.wait("user_text", seconds=30)
    room = await visitor.page.evaluate("stagewire.session.transport.room.name")
    http = server.url.replace("ws", "http", 1)
    async with api.LiveKitAPI(http, *server.keys) as admin:
        await admin.room.delete_room(api.DeleteRoomRequest(room=room))
    await visitor.state("off", 10)
    await expect(visitor.page.locator("#log li.note")).to_have_text("The conversation has ended.")


async def test_a_restarted_server_is_a_pause() -> None:
    chromium()
    if not BINARY.exists():
        required(None)
    service = egress_process(return_seconds="60")
    try:
        with own_server() as server:
            await _restart(service, server)
    finally:
        service.stop()


async def _restart(service: Service, server: OwnServer) -> None:
    async with (
        stage_at(service, server) as stage,
        RoomsPage(stage, server).serving() as page,
        visitors(page.url, urlsplit(server.url).netloc) as visit,
    ):
        visitor = await visit(SPEECH / "go-somewhere.wav", again=True, query=ROOM)
        await visitor.start()
        orchestrator = await page.session()
        await orchestrator.wait("user_audio", count=20, seconds=30)
        await listen(visitor)
        length = await say(orchestrator, 1, tone(440, 6.0))
        await visitor.until("sounds.begins.length")
        server.kill()
        await visitor.state("trouble", 20)
        await visitor.type("Are you there?")
        await asyncio.sleep(1)
        server.start()
        ended = await orchestrator.wait("turn_ended", seconds=60)
        assert ended.played_samples == length
        assert (await orchestrator.wait("user_text", seconds=30)).text == "Are you there?"
        shown = "document.querySelector('#state').dataset.state"
        await visitor.until(f"stagewire.session.state === {shown}")
        spoken = len(orchestrator.all("user_audio"))
        await orchestrator.wait("user_audio", count=spoken + 50, seconds=20)
        await say(orchestrator, 2, tone(440, 1.0))
        await visitor.until("stagewire.session.playback.position()?.turn === 2")
        await visitor.until("performance.now() - sounds.loud < 500")


async def test_the_face_is_in_step_with_what_the_loudspeaker_gets(
    page: RoomsPage, visit: Visitor
) -> None:
    visitor = await visit(query=ROOM)
    await visitor.type("Click")
    orchestrator = await page.session()
    await orchestrator.wait("user_text", seconds=30)
    await listen(visitor)
    pcm, marks = _bursts(seconds=20.0)
    await say(orchestrator, 1, pcm)
    await orchestrator.wait("turn_ended", seconds=40)
    await asyncio.sleep(0.5)
    heard = await visitor.page.evaluate("sounds.begins")
    shown = await visitor.page.evaluate("stagewire.avatar.shown")
    assert len(heard) == len(marks)
    at = np.array([one["at"] for one in shown])
    skews, clocks = [], []
    for mark, moment in zip(marks, heard, strict=True):
        last = shown[int(np.searchsorted(at, moment)) - 1]
        skews.append((mark - last["frameSample"]) * 1000 / RATE)
        believed = last["heardSample"] + (moment - last["at"]) * RATE / 1000
        clocks.append((believed - mark) * 1000 / RATE)
    p50, p95 = np.percentile(np.abs(skews), [50, 95])
    print(f"skew p50 {p50:.1f} ms, p95 {p95:.1f} ms; load {os.getloadavg()[0]:.1f}")
    print(f"clock ahead {np.round(clocks, 1)}")
    assert p50 < 200  # a starved machine draws late: its p95 says more of it than of the clock


def _bursts(seconds: float, every: float = 0.5) -> tuple[bytes, list[int]]:
    """A voice of silence and bursts, and the samples at which they begin."""
    voice = np.zeros(round(seconds * RATE))
    # Not in step with the frames, so that a frame's age is anything up to its length.
    marks = [round((at + at % 0.037) * RATE) for at in np.arange(0.5, seconds - 0.1, every)]
    wave = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(0.02 * RATE)) / RATE)
    for mark in marks:
        voice[mark : mark + len(wave)] = wave
    return (voice * 32767).astype("<i2").tobytes(), marks
