"""docs/livekit.md says what is so: its example runs, and its numbers are the code's."""

from __future__ import annotations

import asyncio
import re
import struct
import sys
from pathlib import Path
from typing import Any

from stagewire_egress.livekit import packets
from stagewire_egress.settings import EgressSettings
from support.livekit_turns import speak, tone

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "livekit.md").read_text("utf-8")


async def test_the_example_hears_an_answer(stage: Any, room: str, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code, "utf-8")
    orchestrator = await stage.session(room)
    example = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        stage.server.url,
        stage.server.token("ann", room),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert example.stdout is not None
    try:
        assert (await orchestrator.wait("user_text", seconds=20)).text == "Hello!"
        answer = {"text": "Hello to you.", "heard_characters": 13}
        await speak(orchestrator, 1, tone(440, 0.2))
        await orchestrator.say(event={"turn": 1, "avatar_transcript": {"text": answer["text"]}})
        await orchestrator.say(event={"turn": 1, "turn_summary": answer})
        seen = ""
        async with asyncio.timeout(10):
            while "avatar Hello to you." not in seen or packets.TOPIC not in seen:
                seen += (await example.stdout.readline()).decode()
    finally:
        example.kill()
        await example.wait()


def test_the_packets_are_as_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| ([ui]\d+) \|", PAGE, re.MULTILINE)
    codes = {"u8": "B", "u16": "H", "u32": "I", "i64": "q"}
    assert "<" + "".join(codes[type_] for _, type_ in rows) == packets.HEADER.format
    sizes = [struct.calcsize("<" + codes[type_]) for _, type_ in rows]
    assert [int(place) for place, _ in rows] == [sum(sizes[:n]) for n in range(len(sizes))]
    for kind in packets.Kind:
        assert f"{kind:d} {kind.name.lower()}" in PAGE
    assert f"more than {packets.MAX_PART_BYTES:,} bytes" in PAGE


def test_the_settings_are_as_documented() -> None:
    assert f"({EgressSettings().livekit_join_seconds:g})" in PAGE
    (version,) = re.findall(r"livekit/livekit-server:(v[\d.]+)", PAGE)
    assert f"livekit/livekit-server {version} " in (ROOT / "deploy/livekit/go.mod").read_text()
