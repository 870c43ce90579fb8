"""The page that ``stagewire timeline --html`` writes, in a real browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser.conftest import opened
from playwright.async_api import Page, expect
from stagewire_cli import timeline
from support.sample_timeline import PARTS, sample

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    file = tmp_path / "timeline.html"
    file.write_text(timeline.html(sample()), "utf-8")
    problems: list[str] = []
    asked: list[str] = []
    async with opened() as browser:
        shown = await browser.new_page(viewport={"width": 1280, "height": 900})
        shown.on("console", lambda message: problems.append(message.text))
        shown.on("pageerror", lambda error: problems.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        await shown.goto(file.as_uri())
        yield shown
    assert not problems
    assert asked == [file.as_uri()], "it needs nothing but itself"


async def test_a_turn_is_told_in_full(page: Page) -> None:
    await page.click("#list button[data-turn='2']")
    rows = page.locator("#detail tr")
    assert await rows.count() == len(PARTS) + 1
    assert "1.31 s" in await rows.last.inner_text()
    most = await page.locator("#detail tr.most th").inner_text()
    assert most == "first clause"
    unheard = await page.locator("#detail s").inner_text()
    assert unheard.strip().startswith("keeper found")


async def test_zoom_brings_words_out_and_fit_takes_them_back(page: Page) -> None:
    words = page.locator("#lanes .word")
    assert await words.count() == 0, "the whole session is shown: there is no room"
    await page.click("#list button[data-turn='4']")
    # It may come a few frames after the first word.
    lovely = words.filter(has_text=re.compile("^lovely$")).first
    await lovely.wait_for()
    await lovely.hover()
    await expect(page.locator("#tip")).to_contain_text("lovely")
    await page.click("#fit")
    await page.wait_for_function("!document.querySelector('#lanes .word')")


async def test_keys_and_wheel_move_the_view(page: Page) -> None:
    ticks = page.locator("#lanes text")
    await ticks.first.wait_for()
    before = await ticks.all_text_contents()
    await page.focus("#lanes")
    await page.keyboard.press("+")
    await page.keyboard.press("ArrowRight")
    await page.mouse.move(700, 400)
    await page.mouse.wheel(0, -200)
    async with asyncio.timeout(20):
        while await ticks.all_text_contents() == before:
            await asyncio.sleep(0.05)
        await page.keyboard.press("0")
        while await ticks.all_text_contents() != before:
            await asyncio.sleep(0.05)
