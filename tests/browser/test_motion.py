"""What the face does with motion that is not the everyday kind: another codec, and none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from browser.conftest import Visitor, beside
from playwright.async_api import expect
from stagewire_motion_codec import decode
from stagewire_motion_server.options import Options
from stagewire_motion_server.running import serving
from support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]

_HEADER_BYTES, _MOTION = 24, 3
_FACES = "stagewire.session.timeline.frames.map(({ face }) => [...face.weights, ...face.head])"


async def test_motion_of_a_motion_server_moves_jaw_lids_eyes_and_neck(
    stack: Stack, visit: Visitor, tmp_path: Path
) -> None:
    async with serving(Options(port=0, admin_port=0, low_latency=True)) as server:
        spatius = {
            "SPATIUS_API_KEY": "local",
            "SPATIUS_APP_ID": "local",
            "SPATIUS_AVATAR_ID": "local",
            "SPATIUS_CONSOLE_ENDPOINT": server.console,
            "SPATIUS_INGRESS_ENDPOINT": server.ingress,
        }
        wanted = {"motion_bridge": spatius, "orchestrator": {}}
        async with beside(stack, tmp_path, wanted) as second:
            page = await visit(url=second.url)
            payloads: list[bytes] = []

            def keep(message: str | bytes) -> None:
                if isinstance(message, bytes) and message[0] == _MOTION:
                    payloads.append(message[_HEADER_BYTES:])

            page.page.on("websocket", lambda socket: socket.on("framereceived", keep))
            await page.type("Why is the sky blue?")
            await page.state("speaking")
            await page.until("document.querySelector('#log li.avatar')")
            await page.until("stagewire.session.state === 'listening'")
            shown = await page.page.evaluate(_FACES)
            assert await page.page.evaluate("stagewire.session.timeline.malformed") == 0
            assert len(await page.skews()) > 10
            await expect(page.page.locator("#hint")).to_be_empty()
            assert page.errors == []

    # As the codec's own package reads the same bytes.
    frames = [frame for payload in payloads for frame in decode("spatius.message", payload).frames]
    assert len(shown) == len(frames) > 25
    faces = np.array(shown)
    jaw = np.array([frame["jaw_pose"][0] for frame in frames])
    assert np.allclose(faces[:, 17], np.clip((jaw - 0.01) / 0.05, 0, 1), atol=1e-3)
    assert faces[:, 17].max() > 0.2, "the mouth moves"
    lids = np.array([frame["eye_lid"] for frame in frames])
    assert np.allclose(faces[:, [0, 7]], lids, atol=1e-3)
    neck = np.array([frame["neck_pose"] for frame in frames])
    assert np.allclose(faces[:, 52:], neck - [0.12, 0, 0], atol=1e-3)
    eyes = np.array([frame["eye_pose"] for frame in frames])
    looks_left = faces[:, 3] - faces[:, 2]  # the left eye, to the face's own left: out, less in
    assert np.allclose(looks_left, eyes[:, 1] / (np.pi / 6), atol=1e-3)


async def test_without_motion_the_voice_goes_on_and_the_page_says_so(
    stack: Stack, visit: Visitor, tmp_path: Path
) -> None:
    wanted: dict[str, dict[str, str]] = {"motion_bridge": {}, "orchestrator": {}}
    async with beside(stack, tmp_path, wanted) as second:
        page = await visit(url=second.url)
        await page.page.check("input[value=long]", force=True)
        await page.type("Tell me the story of a lighthouse keeper, with many details.")
        await page.state("speaking")
        hint = page.page.locator("#hint")
        await expect(hint).to_be_empty()
        second.supervisor.kill("motion_bridge")
        await expect(hint).to_contain_text("The lips rest", timeout=30_000)
        jaw, sample = "stagewire.avatar.pose.weights[17]", "stagewire.session.playback.position()"
        before = await page.page.evaluate(sample)
        alive = []
        for _ in range(20):
            alive.append(await page.page.evaluate("[...stagewire.avatar.pose.head]"))
            await asyncio.sleep(0.1)
        assert np.ptp(np.array(alive), axis=0).max() > 0.0005, "the face lives"
        assert await page.page.evaluate(jaw) < 0.1, "the mouth is not left open"
        after = await page.page.evaluate(sample)
        assert (after["turn"], after["sample"] > before["sample"]) == (before["turn"], True)
        await page.page.keyboard.press("Escape")
        await second.supervisor.ready("motion_bridge")
        for _ in range(5):  # once it is connected again, the next answer has lips
            await page.type("Hello again!")
            await page.state("speaking")
            await page.until("stagewire.session.state === 'listening'")
            if not await hint.inner_text():
                break
        await expect(hint).to_be_empty()
        assert page.errors == []
