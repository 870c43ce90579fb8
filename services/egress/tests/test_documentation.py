"""docs/websocket.md says what is so: its example runs, and its numbers are the code's."""

from __future__ import annotations

import asyncio
import re
import struct
import sys
from pathlib import Path
from typing import Any

from stagewire.common.v1 import turn_pb2
from stagewire_egress.websocket import frames

PAGE = (Path(__file__).parents[3] / "docs" / "websocket.md").read_text(encoding="utf-8")


async def test_the_example_hears_an_answer(egress: Any, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    orchestrator = await egress.session()
    example = await asyncio.create_subprocess_exec(
        sys.executable, str(script), orchestrator.join_url, "token-of-s1-0123456789"
    )
    try:
        assert (await orchestrator.wait("user_text", seconds=20)).text == "Hello!"
        length = await orchestrator.turn(1)
        ended = await orchestrator.wait("turn_ended")
        assert (ended.played_samples, ended.reason) == (length, turn_pb2.TURN_END_REASON_COMPLETED)
        await orchestrator.hang_up()
        assert await asyncio.wait_for(example.wait(), 5) == 0  # closed with 1000
    finally:
        if example.returncode is None:
            example.kill()


def test_the_header_is_as_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| ([ui]\d+) \|", PAGE, re.MULTILINE)
    codes = {"u8": "B", "u16": "H", "u32": "I", "i64": "q"}
    documented = struct.Struct("<" + "".join(codes[type_] for _, type_ in rows))
    assert documented.format == frames.HEADER.format
    sizes = [struct.calcsize("<" + codes[type_]) for _, type_ in rows]
    assert [int(place) for place, _ in rows] == [sum(sizes[:n]) for n in range(len(sizes))]


def test_every_close_code_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"\b(1\d{3}|4\d{3})\b", PAGE)}
    assert {code.value for code in frames.Close} <= documented
