"""The page of an orchestrator that asks for keys: with a pasted one, and with a team's backend."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from browser.conftest import Visitor, beside
from playwright.async_api import expect
from support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]

KEY = "the-key-of-the-team"
_KEPT = """async () => ({
  storage: { ...localStorage, ...sessionStorage },
  cookie: document.cookie,
  databases: (await indexedDB.databases()).length,
  page: document.documentElement.outerHTML,
  fields: [...document.querySelectorAll("input")].map((input) => input.value).join(),
  address: location.href,
})"""


@asynccontextmanager
async def guarded(stack: Stack, logs: Path, **settings: str) -> AsyncIterator[str]:
    """The address of a second orchestrator, which asks for a key."""
    extra = {f"STAGEWIRE_ORCHESTRATOR_{name}": value for name, value in settings.items()}
    extra["STAGEWIRE_ORCHESTRATOR_API_KEYS"] = KEY
    async with beside(stack, logs, {"orchestrator": extra}) as second:
        yield second.url


async def test_a_pasted_key_opens_conversations_and_is_kept_in_memory_only(
    stack: Stack, visit: Visitor, tmp_path: Path
) -> None:
    async with guarded(stack, tmp_path) as url:
        page = await visit(url=url)
        shown = page.page.locator
        await expect(shown("#start")).to_be_hidden()
        await page.type("Hello?")  # without a key, that is where the visitor is sent
        await expect(shown("#key")).to_be_focused()
        await page.page.fill("#key", "a wrong one")
        await page.page.press("#key", "Enter")
        await expect(shown("#key-problem")).to_contain_text("does not know this key")
        await page.page.fill("#key", KEY)
        await page.page.click("#key-start")
        await expect(shown("#end")).to_be_visible()
        await expect(shown("#key-form")).to_be_hidden()
        kept = await page.page.evaluate(_KEPT)
        assert (kept["storage"], kept["cookie"], kept["databases"]) == ({}, "", 0)
        assert KEY not in kept["page"] + kept["fields"] + kept["address"]
        await page.page.click("#end")
        await page.page.click("#start")  # the same visit needs it no second time
        await expect(shown("#end")).to_be_visible()
        await page.page.reload()
        await expect(shown("#key-form")).to_be_visible()
        assert (page.strangers, page.errors) == ([], [])


@asynccontextmanager
async def team_backend(orchestrators: list[str]) -> AsyncIterator[str]:
    """Stands in for a team's own service: it knows its people by a cookie, and holds the key."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
            self.send_header("Access-Control-Allow-Credentials", "true")
            self.send_header("Access-Control-Allow-Headers", "content-type")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_OPTIONS(self) -> None:
            self.answer(204)

        def do_POST(self) -> None:
            wanted = self.rfile.read(int(self.headers["Content-Length"]))
            if "who=colleague" not in self.headers.get("Cookie", ""):
                return self.answer(401)
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            request = urllib.request.Request(f"{orchestrators[0]}/v1/sessions", wanted, headers)
            with urllib.request.urlopen(request, timeout=30) as created:
                return self.answer(201, created.read())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/session"
        server.shutdown()


async def test_a_teams_backend_creates_the_sessions_and_keeps_the_key(
    stack: Stack, visit: Visitor, tmp_path: Path
) -> None:
    orchestrators: list[str] = []
    async with (
        team_backend(orchestrators) as backend,
        guarded(stack, tmp_path, PAGE_SESSIONS_URL=backend) as url,
    ):
        orchestrators.append(url)
        page = await visit(url=url)
        await expect(page.page.locator("#key-form")).to_be_hidden()
        await page.start()
        await expect(page.alert("problem")).to_contain_text("Sign in")
        cookie = {"name": "who", "value": "colleague", "url": backend}
        await page.page.context.add_cookies([cookie])
        await page.alert("problem").get_by_role("button", name="Try again").click()
        await expect(page.page.locator("#end")).to_be_visible()
        await page.state("listening")
        assert KEY not in json.dumps(page.sent)
        assert {asked.partition("?")[0] for asked in page.strangers} == {backend}
        assert page.errors == []
