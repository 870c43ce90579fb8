"""Whole conversations in a LiveKit room: real browser, server, services and models."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import pytest
from browser.conftest import Visitor
from browser.test_conversation import OVER, overlap
from playwright.async_api import expect
from support.hearing import transcribe, words
from support.livekit import required
from support.stack import SPEECH, TRANSCRIPTS, Stack

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]

ROOM = "render=none&transport=livekit"


def after_silence(recording: str, seconds: int, to: Path) -> Path:
    """A recording that begins late enough for the room to be joined."""
    with wave.open(str(SPEECH / recording)) as source:
        rate, sentence = source.getframerate(), source.readframes(source.getnframes())
    with wave.open(str(to), "wb") as made:
        made.setparams((1, 2, rate, 0, "NONE", ""))
        made.writeframes(bytes(2 * rate * seconds) + sentence)
    return to


async def test_a_spoken_question_is_answered_in_the_room_with_a_moving_face(
    stack: Stack, visit: Visitor, tmp_path: Path
) -> None:
    required(stack.livekit)
    page = await visit(after_silence("go-somewhere.wav", 8, tmp_path / "asked.wav"), query=ROOM)
    await page.start()
    stop = await page.record()
    await page.state("speaking", 60)
    await page.until(OVER, 60)
    pcm = await stop()

    asked = " ".join(await page.lines("li.user"))
    assert overlap(TRANSCRIPTS["go-somewhere.wav"], asked) >= 0.7, asked
    answer = (await page.lines("li.avatar"))[-1]
    heard = await transcribe(stack, pcm, 16_000)
    assert overlap(answer, heard) >= 0.7, f"shown {answer!r}, recognized {heard!r}"
    faces = "new Set(stagewire.avatar.shown.map((s) => s.frameSample)).size"
    moved = await page.page.evaluate(faces)
    assert moved > 10
    assert await page.page.locator("#waterfall li").count() >= 3
    assert (page.strangers, page.errors) == ([], [])
    print(f"{moved} faces while {len(pcm) / 32_000:.1f} s were recorded; {os.getloadavg()[0]:.1f}")


async def test_typed_and_spoken_over_in_the_room(
    stack: Stack, visit: Visitor, tmp_path: Path
) -> None:
    required(stack.livekit)
    # A sentence after each 14 s of silence, should the answer come late.
    microphone = after_silence("librivox-0930.wav", 14, tmp_path / "over.wav")
    page = await visit(microphone, again=True, query=ROOM)
    await page.page.check("input[value=long]", force=True)
    await page.start()
    await page.until("stagewire.session?.state === 'listening'", 60)
    await page.page.evaluate(
        "globalThis.ended = [];void stagewire.session.on('turn', (turn) => ended.push(turn.reason))"
    )
    for _ in range(3):
        await page.type("Tell me the story of a lighthouse keeper, with many details.")
        await page.until("stagewire.session.state === 'speaking'", 60)
        await page.until("stagewire.session.state !== 'speaking'", 60)
        if "interrupted" in await page.page.evaluate("ended"):
            break
    assert "interrupted" in await page.page.evaluate("ended")
    await expect(page.page.locator("#log li.avatar s").first).not_to_be_empty()


async def test_typed_in_the_room_without_a_microphone(stack: Stack, visit: Visitor) -> None:
    required(stack.livekit)
    page = await visit(query=ROOM)
    await page.type("What is the capital of France?")
    await page.state("speaking", 60)
    await page.until(OVER, 60)
    assert "paris" in words((await page.lines("li.avatar"))[-1])
    assert (page.strangers, page.errors) == ([], [])
