"""Whole conversations in a real browser: recorded speech, the real services and models behind."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from browser.conftest import Visitor
from playwright.async_api import Response, WebSocketRoute, expect
from support.hearing import transcribe, words
from support.stack import SPEECH, TRANSCRIPTS, Stack

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]

OVER = "document.querySelector('#log li.avatar') && stagewire.session.state === 'listening'"

# When the key arrives, and when the audio thread says that nothing sounds any more.
_TIME_SILENCE = """() => {
  const { playback } = stagewire.session;
  const before = playback.onMark;
  playback.onMark = (mark) => {
    before(mark);
    if (mark.over === "flushed") globalThis.silent = performance.now();
  };
  addEventListener("keydown", () => (globalThis.pressed = performance.now()), true);
}"""


# From the arrival of each of the server's interrupts: until the audio thread gives silence, and
# until the loudspeaker does, which is later by the device's latency and the fade.
_TIME_INTERRUPTS = """() => {
  const { playback, transport } = stagewire.session;
  const { socket } = transport;
  const [told, marked] = [socket.onmessage, playback.onMark];
  let arrived = null;
  globalThis.silences = [];
  socket.onmessage = (event) => {
    if (typeof event.data === "string" && event.data.startsWith('{"type":"interrupt"')) {
      arrived = performance.now();
    }
    told(event);
  };
  playback.onMark = (mark) => {
    marked(mark);
    if (mark.over !== "flushed" || arrived === null) return;
    silences.push([performance.now() - arrived, playback.soundsAt(mark.frame) + 4 - arrived]);
    arrived = null;
  };
}"""


def overlap(wanted: str, found: str) -> float:
    """The share of words that are found."""
    return sum(word in words(found) for word in words(wanted)) / max(1, len(words(wanted)))


async def test_a_spoken_question_is_answered_aloud_with_a_moving_face(
    stack: Stack, visit: Visitor
) -> None:
    page = await visit(SPEECH / "go-somewhere.wav")
    await page.start()
    stop = await page.record()
    await page.state("speaking")
    await page.until(OVER)
    pcm = await stop()

    (asked,) = await page.lines("li.user")
    assert overlap(TRANSCRIPTS["go-somewhere.wav"], asked) >= 0.7, asked
    (answer,) = await page.lines("li.avatar")
    heard = await transcribe(stack, pcm, 16_000)
    assert overlap(answer, heard) >= 0.7, f"shown {answer!r}, recognized {heard!r}"

    skews = await page.skews()
    assert len(skews) > 10
    print(f"skew p50 {np.median(skews):.1f} ms, p95 {np.percentile(skews, 95):.1f} ms")
    assert np.percentile(skews, 95) < 200
    moved = await page.page.evaluate(
        "new Set(stagewire.avatar.shown.map((s) => s.frameSample)).size"
    )
    assert moved > 10
    assert await page.page.locator("#waterfall li").count() >= 3
    told = {
        message["buffer_milliseconds"]
        for message in page.sent
        if message["type"] == "playback" and "buffer_milliseconds" in message
    }
    assert len(told) == 1, told  # once measured it stays
    print(f"the first sound waited {min(told):.1f} ms in the page")
    assert 0 < min(told) < 5_000
    assert (page.strangers, page.errors) == ([], [])


async def test_speaking_over_the_avatar_silences_it_and_marks_what_was_not_heard(
    visit: Visitor, tmp_path: Path
) -> None:
    # Nothing is said for 14 s, then a sentence; the whole repeats, should the answer come late.
    with wave.open(str(SPEECH / "librivox-0930.wav")) as source:
        rate, sentence = source.getframerate(), source.readframes(source.getnframes())
    with wave.open(str(tmp_path / "microphone.wav"), "wb") as made:
        made.setparams((1, 2, rate, 0, "NONE", ""))
        made.writeframes(bytes(2 * rate * 14) + sentence)
    page = await visit(tmp_path / "microphone.wav", again=True)
    await page.page.check("input[value=long]", force=True)
    await page.start()
    await page.until("stagewire.session?.state === 'listening'")
    await page.page.evaluate(
        "globalThis.ended = [];void stagewire.session.on('turn', (turn) => ended.push(turn.reason))"
    )
    for _ in range(3):
        await page.type("Tell me the story of a lighthouse keeper, with many details.")
        await page.until("stagewire.session.state === 'speaking'")
        await page.until("stagewire.session.state !== 'speaking'", 60)
        await asyncio.sleep(1)
        if "interrupted" in await page.page.evaluate("ended"):
            break
    assert "interrupted" in await page.page.evaluate("ended")
    await expect(page.page.locator("#log li.avatar s").first).not_to_be_empty()


async def test_stop_silences_at_once(visit: Visitor) -> None:
    page = await visit()
    await page.page.check("input[value=long]", force=True)
    await page.type("Tell me the story of a lighthouse keeper, with many details.")
    await page.state("speaking")
    await expect(page.page.locator("#caption")).not_to_be_empty()  # a word has sounded
    await asyncio.sleep(1)
    await page.page.evaluate(_TIME_SILENCE)
    await page.page.keyboard.press("Escape")
    await page.until("stagewire.session.playback.position()?.running === false", 5)
    position = await page.page.evaluate("stagewire.session.playback.position().sample")
    await page.until("document.querySelector('#log li.avatar s')")
    assert await page.page.evaluate("stagewire.session.playback.position().sample") == position
    took = await page.until("globalThis.silent - globalThis.pressed", 5)
    print(f"silent {took:.1f} ms after the key")
    assert took < 500
    assert page.errors == []


async def test_the_servers_interrupt_silences_the_loudspeaker(stack: Stack, visit: Visitor) -> None:
    page = await visit()
    await page.page.check("input[value=long]", force=True)
    answered: list[dict[str, Any]] = []

    async def keep(response: Response) -> None:
        if response.url.endswith("/v1/sessions"):
            answered.append(await response.json())

    page.page.on("response", keep)
    silences: list[list[float]] = []
    for _ in range(5):  # an answer may turn out to be short, and over before it is interrupted
        await page.type("Tell me the story of a lighthouse keeper, with many details.")
        await page.until("stagewire.session?.state === 'speaking'")
        await page.page.evaluate(f"globalThis.silences || ({_TIME_INTERRUPTS})()")
        await asyncio.sleep(0.5)
        session = answered[0]["session"]["session_id"]
        async with httpx.AsyncClient() as http:
            stopped = await http.post(f"{stack.url}/v1/sessions/{session}/interrupt")
        assert stopped.status_code == 200, stopped.text
        await page.until("stagewire.session.state === 'listening'")
        await page.until("!stagewire.session.playback.position().running")  # its fade is over
        before = await page.page.evaluate("stagewire.session.playback.position()")
        await asyncio.sleep(0.3)
        assert await page.page.evaluate("stagewire.session.playback.position()") == before
        silences = await page.page.evaluate("silences")
        if len(silences) == 3:
            break
    thread, loudspeaker = np.array(silences).T
    print(f"silent {np.round(thread, 1)} ms (loudspeaker {np.round(loudspeaker, 1)}) after it came")
    assert loudspeaker.max() < 500
    assert page.errors == []


# Head angles as shown, and as the engine's idle loop has them in the same frame, for four seconds.
_FOLLOW_IDLE = """async () => {
  const rows = [];
  const begun = performance.now();
  for (let now = begun; now < begun + 4000;) {
    now = await new Promise(requestAnimationFrame);  // asked for after the page's own, so after it
    const loop = stagewire.session.idle.face(now);
    rows.push([...stagewire.avatar.pose.head, ...loop.head]);
  }
  return rows;
}"""


async def test_between_turns_the_face_does_what_the_motion_engine_says(visit: Visitor) -> None:
    page = await visit()
    own = await page.until("stagewire.avatar.pose?.head")  # null before the first frame
    assert any(own), "before a conversation the face has a life of its own"
    await page.start()
    await page.until("stagewire.session?.idle")
    await asyncio.sleep(1)  # it is blended into
    rows = np.array(await page.page.evaluate(_FOLLOW_IDLE))
    shown, loop = rows[:, :3], rows[:, 3:]
    assert loop.std(axis=0).max() > 0.001, "the loop moves"
    assert np.abs(shown - loop).max() < 0.01
    assert page.errors == []


async def test_without_a_microphone_one_types(visit: Visitor) -> None:
    page = await visit()
    await page.start()
    await expect(page.page.locator("#alerts")).to_contain_text("microphone", timeout=20_000)
    await page.type("What is the capital of France?")
    await page.state("speaking")
    await page.until(OVER)
    (answer,) = await page.lines("li.avatar")
    assert "paris" in words(answer)
    assert page.errors == []


# Every state that the page shows from now on.
_FOLLOW_STATES = """() => {
  const shown = document.querySelector("#state");
  globalThis.states = [];
  new MutationObserver(() => states.push(shown.dataset.state)).observe(shown, { attributes: true });
}"""


async def test_it_comes_back_after_the_connection_drops(visit: Visitor) -> None:
    page = await visit()
    routes: list[WebSocketRoute] = []

    def route(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        routes.append(socket)

    await page.page.route_web_socket("**/v1/join", route)
    await page.type("Say hello.")
    await page.state("speaking")
    await page.until(OVER)
    await page.page.evaluate(_FOLLOW_STATES)  # it may be over before anybody asks
    await routes[0].close(code=1012, reason="restarting")
    await page.until("states.includes('trouble')")
    await page.until("stagewire.session?.state === document.querySelector('#state').dataset.state")
    assert len(routes) >= 2
    await page.type("What is two plus two?")
    await page.until("document.querySelectorAll('#log li.avatar').length === 2")
    assert page.errors == []


async def test_a_network_that_goes_away_costs_no_word(visit: Visitor) -> None:
    page = await visit()
    await page.page.check("input[value=long]", force=True)
    await page.type("Tell me the story of a lighthouse keeper.")
    await page.state("speaking")
    await expect(page.page.locator("#caption")).not_to_be_empty()  # a word has sounded
    session = await page.page.evaluate("stagewire.session.transport.token")
    await page.page.context.set_offline(True)
    await page.state("trouble")
    await expect(page.page.locator("#state")).to_have_text("Connection lost, trying again…")
    await asyncio.sleep(2)
    await page.page.context.set_offline(False)
    await page.until("stagewire.session?.transport.isJoined")
    await page.until("stagewire.session.state === 'listening'", 90)
    assert await page.page.evaluate("stagewire.session.transport.token") == session
    assert await page.page.locator("#log li.avatar").count() == 1
    await expect(page.page.locator("#log li.avatar s")).to_have_count(0)  # all of it was heard
    await page.type("Thank you!")
    await page.until("document.querySelectorAll('#log li.avatar').length === 2")
    assert page.errors == []


async def test_two_pages_at_once_do_not_meet(visit: Visitor) -> None:
    first, second = await asyncio.gather(visit(), visit())
    await asyncio.gather(
        first.type("What is the capital of Italy?"), second.type("What is the capital of Spain?")
    )
    await asyncio.gather(first.until(OVER, 90), second.until(OVER, 90))
    assert "rome" in words(" ".join(await first.lines("li.avatar")))
    assert "madrid" in words(" ".join(await second.lines("li.avatar")))
