"""What can go wrong around a browser: each has its own plain sentence, and a way out that works."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from browser.conftest import Visit, Visitor
from playwright.async_api import expect
from support.stack import SPEECH

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]

# A microphone without anybody who allows it: the prompt of a headless browser is a refusal.
_UNASKED = ("--use-fake-device-for-media-stream",)
_TRACK = "stagewire.session.microphone.source.stream.getAudioTracks()[0]"

# Stands in for the machine's devices: none, or a microphone that hums. An event tells of a change.
_DEVICES = """(kinds) => {
  const { mediaDevices } = navigator;
  mediaDevices.enumerateDevices = async () => kinds.map((kind) => ({ kind }));
  mediaDevices.getUserMedia = async () => {
    if (!kinds.includes("audioinput")) throw new DOMException("none", "NotFoundError");
    const context = new AudioContext();
    const hum = new OscillatorNode(context, { frequency: 90 });
    const stream = context.createMediaStreamDestination();
    hum.connect(stream);
    hum.start();
    return stream.stream;
  };
  mediaDevices.dispatchEvent(new Event("devicechange"));
}"""


async def listening(page: Visit) -> None:
    """The microphone is open, and no problem is shown."""
    await expect(page.page.locator("#mute")).to_have_text("Mute")
    await expect(page.alert("microphone")).to_have_count(0)


async def test_a_microphone_that_was_refused_can_be_allowed_later(visit: Visitor) -> None:
    page = await visit(flags=_UNASKED)
    await page.start()
    await expect(page.alert("microphone")).to_contain_text("blocked for this page")
    await page.page.context.grant_permissions(["microphone"])
    await page.alert("microphone").get_by_role("button", name="Try again").click()
    await listening(page)
    assert page.errors == []


async def test_no_microphone_one_types_or_connects_one(visit: Visitor) -> None:
    page = await visit()  # Chromium itself finds none
    await page.start()
    await expect(page.alert("microphone")).to_contain_text("No microphone was found")
    await page.alert("microphone").get_by_role("button", name="Type").click()
    await expect(page.page.locator("#text")).to_be_focused()
    await page.page.evaluate(_DEVICES, ["audioinput", "audiooutput"])
    await listening(page)
    assert page.errors == []


async def test_a_microphone_that_is_unplugged_goes_on_when_it_is_back(visit: Visitor) -> None:
    page = await visit(SPEECH / "go-somewhere.wav")
    await page.start()
    await listening(page)
    await page.page.evaluate(_DEVICES, [])
    await page.page.evaluate(f"void {_TRACK}.dispatchEvent(new Event('ended'))")
    await expect(page.alert("microphone")).to_contain_text("went away")
    await expect(page.page.locator("#mute")).to_have_text("Microphone")
    await page.page.evaluate(_DEVICES, ["audioinput"])
    await listening(page)
    assert page.errors == []


async def test_a_microphone_that_is_taken_away_in_the_middle_says_why(visit: Visitor) -> None:
    page = await visit(flags=_UNASKED)
    await page.page.context.grant_permissions(["microphone"])
    await page.start()
    await listening(page)
    await page.page.context.clear_permissions()
    await expect(page.alert("microphone")).to_contain_text("blocked for this page")
    assert page.errors == []


async def test_a_microphone_that_is_switched_off_outside_the_page(visit: Visitor) -> None:
    page = await visit(SPEECH / "go-somewhere.wav")
    await page.start()
    await listening(page)
    await page.page.evaluate(f"void {_TRACK}.dispatchEvent(new Event('mute'))")
    await expect(page.alert("microphone")).to_contain_text("silenced by a switch")
    await page.page.evaluate(f"void {_TRACK}.dispatchEvent(new Event('unmute'))")
    await listening(page)


async def test_sound_that_the_browser_holds_back_waits_for_a_click(visit: Visitor) -> None:
    page = await visit(flags=("--autoplay-policy=document-user-activation-required",))
    devtools = await page.page.context.new_cdp_session(page.page)

    async def alone(script: str) -> Any:
        """Runs a script as a page would: Playwright's evaluation counts as a person's doing."""
        asked = {"expression": script, "userGesture": False, "returnByValue": True}
        return (await devtools.send("Runtime.evaluate", asked))["result"].get("value")

    async with asyncio.timeout(40):
        await page.page.reload()
        while not await alone("document.documentElement.dataset.shown"):
            await asyncio.sleep(0.1)
        # Long enough to be still sounding when it is held back again.
        asked = "Tell me, in three sentences, what a lighthouse is."
        await alone(f"document.getElementById('text').value = '{asked}'; stagewire.sendText()")
        while not await alone("document.querySelector('#alerts [data-kind=sound]') != null"):
            await asyncio.sleep(0.1)
    assert await alone("stagewire.session.playback.context.state") == "suspended"
    await expect(page.alert("sound")).to_contain_text("holds the sound back")
    await page.alert("sound").get_by_role("button", name="Play sound").click()
    await page.state("speaking")
    await expect(page.alert("sound")).to_have_count(0)
    # And so in the middle of a sentence, as when a telephone rings.
    await page.page.evaluate("stagewire.session.playback.context.suspend()")
    await page.alert("sound").get_by_role("button", name="Play sound").click()
    await page.until("document.querySelector('#log li.avatar')")
    await page.until("stagewire.session.state === 'listening'")
    await expect(page.page.locator("#log li.avatar s")).to_have_count(0)
    assert page.errors == []


async def test_no_loudspeaker_and_what_a_page_cannot_see(visit: Visitor) -> None:
    page = await visit(SPEECH / "go-somewhere.wav")
    await page.page.click("#sound-check summary")
    await expect(page.page.locator("#sound-check")).to_contain_text("unmute the tab")
    await page.page.click("#tone")
    await expect(page.page.locator("#sound-state")).to_have_text("The tone is played now.")
    await expect(page.page.locator("#sound-state")).to_contain_text("no conversation")
    await page.page.evaluate(_DEVICES, ["audioinput"])
    await page.start()
    await expect(page.alert("loudspeaker")).to_contain_text("No loudspeaker")
    await page.alert("loudspeaker").get_by_role("button", name="OK").click()
    await expect(page.alert("loudspeaker")).to_have_count(0)
    assert page.errors == []
