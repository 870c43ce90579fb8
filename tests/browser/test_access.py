"""Who cannot see, cannot point, or sees little: audits of the page by axe, by pixels and by keys.

The page is served alone, and each of its states is set through its own objects: no stage is needed.
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import uvicorn
from browser.conftest import opened
from browser.tools import axe
from fastapi import FastAPI
from PIL import Image
from playwright.async_api import Page, ViewportSize
from stagewire_orchestrator import avatars
from stagewire_orchestrator.page import PageSettings, add_page

pytestmark = pytest.mark.slow

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LAPTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}

# What a page looks like in the middle of it all: words of both, one answer cut short, a problem.
_LIVE = """() => {
  stagewire.controls(true);
  stagewire.state("speaking");
  document.getElementById("stop").hidden = false;
  const { captions, latency, alerts } = stagewire;
  captions.heard("Tell me about the sea.", true);
  const text = "The sea is wide. It is deep and old.";
  captions.said(1, text);
  captions.over({ turn: 1, reason: "interrupted", text, heardCharacters: 16 });
  captions.heard("And the", false);
  captions.said(2, "Rivers run into it. They never fill it.");
  captions.progress(2, 12);
  captions.note("The network is slow.");
  document.getElementById("hint").textContent = "The lips rest for the moment; the voice goes on.";
  latency.clear("http://traces/1");
  latency.show({ turn: 1, milliseconds: 900, parts: [
    { name: "asr_final", milliseconds: 300 }, { name: "llm_first_token", milliseconds: 600 },
  ] });
  for (const details of document.querySelectorAll("details")) details.open = true;
  const nothing = () => {};
  alerts.show("microphone", "No microphone was found.", ["Try again", nothing], ["Type", nothing]);
}"""
_FOLD = "for (const details of document.querySelectorAll('details')) details.open = false"
_IDLE = "() => {}"
_KEY = """() => {
  stagewire.access.set({ key_required: true, sessions_url: "" });
  stagewire.controls(false);
  stagewire.access.say("The server does not know this key.");
}"""
STATES = {"idle": _IDLE, "live": _LIVE, "key": _KEY}


@asynccontextmanager
async def alone(viewport: ViewportSize, query: str = "", **context: Any) -> AsyncIterator[Page]:
    """The page without any stage, its head loaded."""
    app = FastAPI()
    add_page(app, avatars.load(), PageSettings())
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve([listener]))  # beside the browser; ended below
    try:
        async with opened() as browser:
            page = await browser.new_page(viewport=viewport, **context)
            await page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/?{query}")
            async with asyncio.timeout(40):
                while not await page.evaluate("document.documentElement.dataset.shown"):
                    await asyncio.sleep(0.1)
            yield page
    finally:
        server.should_exit = True
        await serving


async def violations(page: Page) -> list[str]:
    """What axe finds wrong."""
    await page.evaluate(axe())
    found = await page.evaluate("(tags) => axe.run(document, { runOnly: tags })", _RULES)
    return [
        f"{violation['id']}: {violation['help']}: {node['html']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
async def test_axe_finds_nothing(viewport: ViewportSize, scheme: str) -> None:
    async with alone(viewport, "render=none", color_scheme=scheme) as page:
        for name, script in STATES.items():
            await page.evaluate(script)
            assert await violations(page) == [], name


# Every piece of text that is seen: where, in which colour, how large. Then the letters vanish.
_TEXTS = """() => {
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || element.closest(".hidden, :disabled, script")) continue;
    if (!element.checkVisibility()) continue;
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= getComputedStyle(at).opacity;
    const range = document.createRange();
    range.selectNodeContents(node);
    const style = getComputedStyle(element);
    for (const box of range.getClientRects()) {
      texts.push({ text: node.data.trim().slice(0, 40), color: style.color, opacity,
        size: parseFloat(style.fontSize), weight: Number(style.fontWeight),
        box: [box.left, box.top, box.right, box.bottom] });
    }
  }
  for (const element of document.querySelectorAll("*")) {
    if (element instanceof HTMLElement) element.style.webkitTextFillColor = "transparent";
  }
  return texts;
}"""


def _luminance(colors: np.ndarray) -> np.ndarray:
    """WCAG's relative luminance of colours of 0 to 255, shape [..., 3]."""
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


def contrast(text: dict[str, Any], screen: np.ndarray) -> float:
    """The contrast of a text with what is behind it: the worst but for 2 % of the pixels."""
    left, top, right, bottom = (round(edge) for edge in text["box"])
    behind = screen[max(top, 0) : bottom, max(left, 0) : right].reshape(-1, 3).astype(float)
    if not len(behind):
        return 21.0  # scrolled out of sight
    color = np.array([float(part) for part in text["color"][4:-1].split(",")[:3]])
    seen = color * text["opacity"] + behind * (1 - text["opacity"])
    one, other = _luminance(seen), _luminance(behind)
    ratios = (np.maximum(one, other) + 0.05) / (np.minimum(one, other) + 0.05)
    return float(np.percentile(ratios, 2))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
async def test_every_text_stands_out_from_the_pixels_behind_it(
    viewport: ViewportSize, scheme: str
) -> None:
    async with alone(viewport, "render=lite", color_scheme=scheme) as page:
        await page.evaluate(_LIVE)
        await page.evaluate(_FOLD)
        await asyncio.sleep(0.5)
        texts = await page.evaluate(_TEXTS)
        screen = np.asarray(Image.open(io.BytesIO(await page.screenshot())).convert("RGB"))
    assert len(texts) > 15
    faint = {}
    for text in texts:
        large = text["size"] >= 24 or (text["size"] >= 18.66 and text["weight"] >= 700)
        if (found := contrast(text, screen)) < (3.0 if large else 4.5):
            faint[text["text"]] = round(found, 2)
    assert faint == {}


_FOCUSED = """() => {
  const element = document.activeElement;
  const shown = element.type === "radio" ? element.nextElementSibling : element;
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  const name = element.id || element.ariaLabel || element.value || element.textContent.trim();
  return [element === document.body ? "" : name,
    outlineStyle !== "none" && parseFloat(outlineWidth) >= 2];
}"""


async def walk(page: Page, most: int = 20) -> list[str]:
    """Where Tab leads, until it leaves the page; each stop must be seen."""
    stops: list[str] = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        name, visible = await page.evaluate(_FOCUSED)
        if not name or name in stops:
            break
        assert visible, f"the focus on {name} is not seen"
        stops.append(name)
    return stops


async def test_the_keyboard_reaches_everything_in_the_order_in_which_it_is_read() -> None:
    async with alone(LAPTOP, "render=none") as page:
        idle = await walk(page)
        log, more = "What was said", ["No sound?", "Where the time went"]
        assert idle == ["ava", "start", log, "text", "Send", *more]
        await page.focus("#start")
        await page.evaluate("stagewire.controls(true)")
        assert (await page.evaluate(_FOCUSED))[0] == "mute", "the focus does not get lost"
        await page.focus("#end")
        await page.evaluate("stagewire.controls(false)")
        assert (await page.evaluate(_FOCUSED))[0] == "start"
        await page.focus("input[value=ava]")
        await page.keyboard.press("ArrowRight")
        assert await page.evaluate("stagewire.picker.chosen") == "max"
        await page.evaluate(_LIVE)
        await page.focus("#stop")
        await page.evaluate("stagewire.state('listening')")
        live = await walk(page)
        assert live[:2] == ["end", log], live
        assert live[-1] == "trace"


@pytest.mark.parametrize(
    ("width", "height"), [(320, 256), (320, 640), (640, 400), (900, 300)], ids=str
)
async def test_nothing_is_lost_at_320_pixels_or_when_it_is_zoomed(width: int, height: int) -> None:
    """1280 pixels wide at 400 % are 320 wide; at 200 % they are 640."""
    async with alone({"width": width, "height": height}, "render=none") as page:
        for script in STATES.values():
            await page.evaluate(script)
            await page.evaluate(
                "for (const d of document.querySelectorAll('details')) d.open = false"
            )
            wide = await page.evaluate("document.scrollingElement.scrollWidth")
            assert wide <= width, "nobody is to scroll sideways"
            hidden = await page.evaluate(_COVERED)
            assert hidden == []


# What can be pressed, but is covered by something else when it is scrolled to.
_COVERED = """() => [
  ...document.querySelectorAll("button, summary, input:not([type=radio]), .picker span"),
]
  .filter((element) => element.checkVisibility())
  .filter((element) => {
    element.scrollIntoView({ block: "center" });
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return !found || !(element.contains(found) || found.contains(element));
  })
  .map((element) => element.id || element.textContent)"""


async def test_those_whom_motion_disturbs_are_spared() -> None:
    async with alone(LAPTOP, "render=none", reduced_motion="reduce") as page:
        await page.evaluate("stagewire.state('listening')")
        await asyncio.sleep(0.5)
        head = await page.evaluate("stagewire.avatar.pose.head")
        assert head == [0, 0, 0]
        pulses = await page.evaluate(
            "getComputedStyle(document.getElementById('state'), '::before').animationName"
        )
        assert pulses == "none"
