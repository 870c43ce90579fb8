"""The page in Debian's Chromium, headless, with a recording as its microphone."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import pytest_asyncio
from browser.tools import chromium
from playwright.async_api import Browser, Locator, Page, async_playwright, expect
from stagewire_cli.stack import Ports, services
from stagewire_cli.supervisor import Supervisor
from support.livekit import any_server
from support.stack import Stack

# A busy machine may need longer than the 5 s that Playwright gives.
expect.set_options(timeout=20_000)

# Mesa's software renderer takes half the time of Chromium's own.
_DRAWING = ("--use-gl=angle", "--use-angle=gl-egl", "--ignore-gpu-blocklist")
# LiveKit's server is on loopback.
_ROOMS = ("--allow-loopback-in-peer-connection",)
_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

# A greeting would be the first turn.
_AVATARS = {"STAGEWIRE_ORCHESTRATOR_AVATARS": str(Path(__file__).with_name("avatars.yaml"))}

# Records what the loudspeaker gets, and hands it over as 16-bit samples at 16 kHz.
_RECORD = """() => {
  const { output, context } = stagewire.session.playback;
  const sink = context.createMediaStreamDestination();
  output.connect(sink);
  const recorder = new MediaRecorder(sink.stream);
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.start();
  globalThis.recorded = async () => {
    await new Promise((done) => { recorder.onstop = done; recorder.stop(); });
    const data = await new Blob(parts).arrayBuffer();
    const audio = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(data);
    const pcm = Int16Array.from(audio.getChannelData(0), (sample) => sample * 32767);
    let text = "";
    for (const byte of new Uint8Array(pcm.buffer)) text += String.fromCharCode(byte);
    return btoa(text);
  };
}"""


@dataclass
class Visit:
    """A page in a browser of its own.

    Attributes:
        page: Playwright's page.
        asked: Every address that it asked for.
        strangers: Requests that went anywhere but to the stack.
        errors: Errors of the page's scripts, of its policy, and messages that egress refused.
        sent: JSON messages that went to egress.
    """

    page: Page
    asked: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def start(self) -> None:
        """Presses the one button."""
        await self.page.click("#start")

    async def type(self, text: str) -> None:
        """Types and sends."""
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    def alert(self, kind: str) -> Locator:
        """The line about a kind of problem."""
        return self.page.locator(f"#alerts [data-kind={kind}]")

    async def state(self, state: str, seconds: float = 40) -> None:
        """Waits until the page shows a state."""
        await self.page.wait_for_selector(f"#state[data-state={state}]", timeout=seconds * 1000)

    async def lines(self, selector: str) -> list[str]:
        """The texts of lines in the log."""
        return await self.page.locator(f"#log {selector}").all_inner_texts()

    async def until(self, expression: str, seconds: float = 40) -> Any:
        """Waits until an expression of the page is true, and returns it.

        Playwright's own waiting evaluates strings inside the page, which its policy forbids.
        """
        async with asyncio.timeout(seconds):
            while not (found := await self.page.evaluate(expression)):
                await asyncio.sleep(0.05)
        return found

    async def record(self) -> Callable[[], Awaitable[bytes]]:
        """Records the loudspeaker from now on; the result stops and returns 16 kHz PCM."""
        await self.until("globalThis.stagewire?.session?.playback != null")
        await self.page.evaluate(_RECORD)

        async def stop() -> bytes:
            return base64.b64decode(await self.page.evaluate("recorded()"))

        return stop

    async def skews(self) -> np.ndarray:
        """Milliseconds by which shown frames lay behind the sound, one per frame."""
        shown = await self.page.evaluate(
            "stagewire.avatar.shown.map((s) => s.heardSample - s.frameSample)"
        )
        hertz = await self.page.evaluate("stagewire.session.playback.context.sampleRate")
        return np.array(shown) * 1000 / hertz


@asynccontextmanager
async def opened(*flags: str) -> AsyncIterator[Browser]:
    """A browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", *_DRAWING, *flags],
            ignore_default_args=["--disable-gpu"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The services, with avatars that do not greet: a greeting would be the first turn."""
    chromium()
    ports = Ports.free()
    logs = tmp_path_factory.mktemp("logs")
    environment = dict(_AVATARS)
    with any_server() as livekit:
        if livekit is not None:
            key, secret = livekit.keys
            environment |= {
                "LIVEKIT_URL": livekit.url,
                "LIVEKIT_API_KEY": key,
                "LIVEKIT_API_SECRET": secret,
            }
        extra = {"orchestrator": environment}
        async with Supervisor(services(ports, extra=extra), logs) as supervisor:
            yield Stack(supervisor, ports, livekit=livekit)


@asynccontextmanager
async def beside(
    stack: Stack, logs: Path, settings: Mapping[str, Mapping[str, str]]
) -> AsyncIterator[Stack]:
    """More instances of the named services, with these settings, among the stack's others."""
    free = asdict(Ports.free())
    names = [name for name in free for service in settings if name.startswith(service)]
    ports = replace(stack.ports, **{name: free[name] for name in names})
    settings = {name: {**_AVATARS, **more} for name, more in settings.items()}
    every = services(ports, extra=settings)
    own = [service for service in every if service.name in settings]
    async with Supervisor(own, logs) as supervisor:
        yield Stack(supervisor, ports)


Visitor = Callable[..., Awaitable[Visit]]


@asynccontextmanager
async def visitors(url: str, *others: str) -> AsyncIterator[Visitor]:
    """Opens the page at ``url``: with a recording as microphone, or without any.

    What it asks anybody for but the page's own server and ``others`` (host:port) is a stranger's.
    """
    mine = tuple(f"{scheme}://{host}/" for scheme in ("ws", "http") for host in others)
    async with AsyncExitStack() as leaving:

        async def open_(
            microphone: Path | None = None,
            *,
            again: bool = False,
            query: str = "render=none",
            flags: tuple[str, ...] = (),
            url: str = url,
        ) -> Visit:
            flags += _ROOMS
            if microphone is not None:
                once = "" if again else "%noloop"
                flags += (*_MICROPHONE, f"--use-file-for-fake-audio-capture={microphone}{once}")
            browser = await leaving.enter_async_context(opened(*flags))
            page = await browser.new_page(viewport={"width": 1100, "height": 720})
            made = Visit(page)

            def follow(asked: str) -> None:
                made.asked.append(asked)
                if not asked.startswith((f"{url}/", *mine)):
                    made.strangers.append(asked)

            def overhear(message: str | bytes) -> None:
                if isinstance(message, str):
                    made.sent.append(json.loads(message))

            page.on("request", lambda request: follow(request.url))
            page.on("websocket", lambda socket: follow(socket.url))
            page.on("websocket", lambda socket: socket.on("framesent", overhear))
            page.on("pageerror", lambda error: made.errors.append(str(error)))
            page.on(
                "console",
                lambda message: (
                    made.errors.append(message.text)
                    if "Content Security Policy" in message.text
                    else None
                ),
            )
            await page.goto(f"{url}/?{query}")
            await made.until("document.documentElement.dataset.shown")
            return made

        yield open_


@pytest_asyncio.fixture(loop_scope="session")
async def visit(stack: Stack) -> AsyncIterator[Visitor]:
    """Opens the page of the running services."""
    others = [f"127.0.0.1:{stack.ports.egress_websocket}"]
    if stack.livekit is not None:
        others.append(urlsplit(stack.livekit.url).netloc)
    async with visitors(stack.url, *others) as visitor:
        yield visitor
