"""The page's files as they are served: types, compression, policy; and a clear error without."""

from __future__ import annotations

import gzip
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError
from stagewire_orchestrator import avatars
from stagewire_orchestrator.__main__ import page_settings
from stagewire_orchestrator.page import PageSettings, add_page
from stagewire_orchestrator.settings import OrchestratorSettings

STATIC = Path(str(files("stagewire_orchestrator").joinpath("static")))


def client(**settings: Any) -> httpx.AsyncClient:
    app = FastAPI()
    add_page(app, avatars.load(), PageSettings(**settings))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page")


async def test_the_page_comes_with_a_policy_that_lets_nothing_of_others_in() -> None:
    async with client() as http:
        answer = await http.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=", answer.text)


@pytest.mark.parametrize(
    ("environment", "connects"),
    [
        ({}, "'self' ws: wss:"),
        ({"page_websockets": "wss://egress.example.com"}, "'self' wss://egress.example.com"),
        (
            {"page_websockets": "ws://127.0.0.1:8081", "livekit_url": "ws://127.0.0.1:7880"},
            "'self' ws://127.0.0.1:8081 ws://127.0.0.1:7880 http://127.0.0.1:7880",
        ),
        (
            {
                "page_websockets": "",
                "livekit_url": "ws://inside:7880",
                "livekit_public_url": "wss://us.livekit.cloud/path",
            },
            "'self' wss://us.livekit.cloud https://us.livekit.cloud "
            "wss://*.livekit.cloud https://*.livekit.cloud",
        ),
    ],
    ids=["anywhere", "egress", "room", "cloud"],
)
async def test_the_policy_names_egress_and_the_rooms_server(
    environment: dict[str, str], connects: str
) -> None:
    keys = {"livekit_api_key": "key", "livekit_api_secret": "secret"}
    settings = OrchestratorSettings(**{**keys, **environment})
    async with client(connects=settings.page_connects()) as http:
        answer = await http.get("/")
        assert "connects" not in (await http.get("/page.json")).json()
    assert f"connect-src {connects};" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("sources", ["https://a", "*", "ws://a; script-src *", "wss://a,b"])
def test_the_policy_takes_nothing_but_websockets(sources: str) -> None:
    with pytest.raises(ValueError, match="neither ws:, wss: nor an origin"):
        OrchestratorSettings(page_websockets=sources)


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("app.js", "text/javascript"),
        ("capture.js", "text/javascript"),
        ("playback.js", "text/javascript"),
        ("stagewire.js", "text/javascript"),
        ("livekit.js", "text/javascript"),
        ("livekit.LICENSES.txt", "text/plain"),
        ("app.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
        ("head/rig.glb", "model/gltf-binary"),
        ("head/NOTICE.md", "text/"),
    ],
)
async def test_each_file_is_served_compressed_and_cached(name: str, type_: str) -> None:
    content = (STATIC / name).read_bytes()
    async with client() as http:
        plain = await http.get(f"/{name}", headers={"accept-encoding": "identity"})
        small = await http.get(f"/{name}", headers={"accept-encoding": "gzip"})
        again = await http.get(f"/{name}", headers={"if-none-match": plain.headers["etag"]})
    assert plain.headers["content-type"].startswith(type_)
    assert plain.content == small.content == content
    assert int(plain.headers["x-file-bytes"]) == len(content)
    if len(content) > 1024:
        assert int(small.headers["content-length"]) == len(gzip.compress(content, 6, mtime=0))
    assert again.status_code == 304
    assert not again.content


async def test_nothing_but_the_pages_own_files_can_be_asked_for() -> None:
    async with client() as http:
        for path in (
            "/../page.py",
            "/%2e%2e/page.py",
            "/head/",
            "/static/app.js",
            "/head/none.glb",
        ):
            assert (await http.get(path)).status_code == 404, path


async def test_every_packaged_avatar_is_offered_and_has_a_head() -> None:
    async with client(trace_url="http://traces/{trace_id}", key_required=True) as http:
        offered = (await http.get("/v1/avatars")).json()["avatars"]
        settings = (await http.get("/page.json")).json()
        looks = {avatar["look"] for avatar in offered}
        for look in looks:
            assert (await http.get(f"/head/{look}.glb")).status_code == 200
    assert [avatar["avatar_id"] for avatar in offered] == list(avatars.load())
    assert set(offered[0]) == {"avatar_id", "name", "language", "look"}
    assert len(looks) >= 3
    assert settings == {
        "trace_url": "http://traces/{trace_id}",
        "key_required": True,
        "sessions_url": "",
    }


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("", "'self' ws: wss:"),
        ("/team/session", "'self' ws: wss:"),
        ("https://team.example/avatar?x=1", "'self' ws: wss: https://team.example"),
    ],
)
async def test_the_policy_lets_the_page_ask_who_creates_its_sessions(
    url: str, allowed: str
) -> None:
    async with client(sessions_url=url) as http:
        policy = (await http.get("/")).headers["content-security-policy"]
    assert f"connect-src {allowed};" in policy


@pytest.mark.parametrize(
    "url", ["team.example", "ftp://x/y", "https://x/; script-src *", "//x/y z"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="http"):
        OrchestratorSettings(page_sessions_url=url)


def test_the_page_knows_that_keys_are_asked_for_and_not_which() -> None:
    told = page_settings(OrchestratorSettings(api_keys=SecretStr("secret-key")))
    assert told.key_required
    assert "secret-key" not in told.model_dump_json()


def test_a_package_without_the_page_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make page"):
        add_page(FastAPI(), avatars.load(), folder=tmp_path)
