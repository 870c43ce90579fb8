"""How the heads look at fixed poses, compared with pictures that were looked at.

After a change that is meant: `STAGEWIRE_NEW_POSES=1 pytest tests/browser/test_poses.py`, then look
at the pictures in `tests/browser/poses` before they are committed.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import os
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from browser.conftest import opened
from PIL import Image
from stagewire.motion_bridge.v1.arkit52_pb2 import Arkit52Channel

pytestmark = pytest.mark.slow

PICTURES = Path(__file__).parent / "poses"
SIZE = 320
CHANNELS = {
    name.removeprefix("ARKIT52_CHANNEL_"): number - 1 for name, number in Arkit52Channel.items()
}
# Weights by the contract's names, and pitch, yaw, roll.
POSES: dict[str, tuple[dict[str, float], tuple[float, float, float]]] = {
    "rest": ({}, (0, 0, 0)),
    "open": ({"JAW_OPEN": 0.7}, (0, 0, 0)),
    "round": ({"MOUTH_PUCKER": 0.9, "MOUTH_FUNNEL": 0.3, "JAW_OPEN": 0.1}, (0, 0.25, 0)),
    "blink": ({"EYE_BLINK_LEFT": 1, "EYE_BLINK_RIGHT": 1}, (0.08, 0, 0.05)),
    "smile": (
        {"MOUTH_SMILE_LEFT": 0.7, "MOUTH_SMILE_RIGHT": 0.7, "EYE_LOOK_OUT_LEFT": 0.6,
         "EYE_LOOK_IN_RIGHT": 0.6, "BROW_INNER_UP": 0.5},
        (0, -0.35, 0),
    ),
}  # fmt: skip
LOOKS = ("ava", "max", "zuri")

# What a page that uses the library would write.
PAGE = b"""<!doctype html><style>body{margin:0;background:#dfe5ec}
canvas{width:100vw;height:100vh;display:block}</style><canvas></canvas>
<script type="module">
import { Renderer, loadModel } from "/stagewire.js";
const renderer = new Renderer(document.querySelector("canvas"), "full");
globalThis.show = async (look, weights, head) => {
  await renderer.take(await loadModel("/head/", look));
  await new Promise((drawn) => requestAnimationFrame(() => {
    renderer.draw({ weights: Float32Array.from(weights), head, breath: 0 }, performance.now());
    requestAnimationFrame(drawn);
  }));
  return true;
};
</script>"""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The packaged files, and a page that shows one pose."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_: object) -> None:
            pass

    static = str(files("stagewire_orchestrator").joinpath("static"))
    handler = functools.partial(Handler, directory=static)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def difference(found: Image.Image, wanted: Image.Image) -> float:
    """The mean difference of pixels, 0 to 255, after halving: edges may lie half a pixel apart."""
    small = [
        np.asarray(image.convert("RGB").resize((SIZE // 2, SIZE // 2)), float)
        for image in (found, wanted)
    ]
    return float(np.abs(small[0] - small[1]).mean())


async def test_the_heads_look_as_they_did() -> None:
    with serving() as url:
        async with opened() as browser:
            page = await browser.new_page(viewport={"width": SIZE, "height": SIZE})
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(url)
            seen: dict[str, Image.Image] = {}
            for look in LOOKS:
                for pose, (named, head) in POSES.items():
                    weights = [0.0] * 52
                    for name, weight in named.items():
                        weights[CHANNELS[name]] = weight
                    await page.evaluate("(pose) => show(...pose)", [look, weights, list(head)])
                    seen[f"{look}-{pose}"] = Image.open(io.BytesIO(await page.screenshot()))
    assert errors == []
    if os.environ.get("STAGEWIRE_NEW_POSES"):
        PICTURES.mkdir(exist_ok=True)
        for name, image in seen.items():
            image.convert("RGB").save(PICTURES / f"{name}.webp", quality=80)
    differences = {
        name: difference(image, Image.open(PICTURES / f"{name}.webp"))
        for name, image in seen.items()
    }
    assert {name: value for name, value in differences.items() if value > 2.5} == {}
    # The measure sees what matters: poses and looks differ by more than it forgives.
    assert difference(seen["ava-rest"], seen["ava-open"]) > 1
    assert difference(seen["ava-rest"], seen["max-rest"]) > 10
