"""``stagewire timeline``: against a real orchestrator with scripted stages, and what it shows."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from orchestrating import orchestrator, summaries
from stagewire_cli import timeline, waterfall
from stagewire_cli.main import parser
from support.sample_timeline import PARTS, sample


async def show(*words: str) -> int:
    """The command's status; it has a loop of its own."""
    arguments = parser().parse_args(["timeline", *words])
    return int(await asyncio.to_thread(arguments.run, arguments))


async def finished(orch: Any, **headers: str) -> str:
    session_id = str((await orch.create(**headers))["session"]["session_id"])
    await orch.sessions.send_text(session_id, "one two three")
    await summaries(orch, session_id, 1)
    return session_id


async def test_a_session_as_text_list_and_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with orchestrator(timeline_content=True) as orch:
        session_id = await finished(orch)
        assert await show("--url", orch.url) == 0
        assert session_id in capsys.readouterr().out
        assert await show(session_id, "--url", orch.url) == 0
        text = capsys.readouterr().out
        assert re.search(r"turn 1: completed, \d\.\d\d s to the first sound", text)
        assert 'user    "one two three"' in text
        assert "slowest" in text
        page = tmp_path / "page.html"
        assert await show("last", "--url", orch.url, "--html", str(page)) == 0
        assert session_id in page.read_text("utf-8")
        capsys.readouterr()
        assert await show(session_id, "--url", orch.url, "--json") == 0
        assert json.loads(capsys.readouterr().out)["session"]["session_id"] == session_id


async def test_errors_say_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with orchestrator(api_keys="a-key") as orch:
        assert await show("s-nobody", "--url", orch.url) == 2
        assert "the key goes into STAGEWIRE_API_KEY" in capsys.readouterr().err
        monkeypatch.setenv("STAGEWIRE_API_KEY", "a-key")
        assert await show("last", "--url", orch.url) == 2
        assert "no session yet" in capsys.readouterr().err
        assert await show("../x y", "--url", orch.url) == 2
        assert await show("s-nobody", "--url", orch.url) == 2
        assert "UNKNOWN_SESSION: no timeline is kept" in capsys.readouterr().err
        session_id = await finished(orch, Authorization="Bearer a-key")
        nowhere = tmp_path / "missing" / "page.html"
        assert await show(session_id, "--url", orch.url, "--html", str(nowhere)) == 2
        assert "No such file" in capsys.readouterr().err
    assert await show("last", "--url", "http://127.0.0.1:1") == 2
    assert "nothing answers" in capsys.readouterr().err
    assert await show("--html", str(tmp_path / "x.html")) == 2
    assert "--html needs a session" in capsys.readouterr().err


def test_a_turn_is_a_waterfall() -> None:
    page = waterfall.page(sample(), 100, color=False)
    lines = page.splitlines()
    bars = {name: line for line in lines for name in PARTS if line.startswith(f"  {name} ")}
    assert "asr_queue" not in bars, "too short for a line of its own"
    assert "under 0.5 ms each: asr_queue, llm_queue, tts_queue, motion_queue" in page
    assert bars["first_clause"].endswith("441 ms  ◄ slowest")
    assert bars["llm_first_token"].index("█") > bars["silence_detection"].index("█")
    assert max(map(len, lines)) <= 100
    assert 'heard   "Once upon a time, a lighthouse"' in page
    assert "fault   TIMEOUT" in page
    assert "1 prepared in vain" in page
    assert "\x1b" not in page
    assert "\x1b[1m" in waterfall.page(sample(), 100, color=True)


def test_without_content_there_is_still_a_waterfall() -> None:
    told = sample()
    for turn in told["turns"]:
        turn["user"] = turn["avatar"] = ""
    told["words"], told["waveforms"], told["content"] = [], [], False
    page = waterfall.page(told, 60, color=False)
    assert "llm_first_token" in page
    assert 'user    "' not in page


def test_the_list_tells_what_there_is() -> None:
    assert waterfall.listing([]) == "no session yet"
    silent = sample()["session"] | {"median_total": None, "end_reason": "", "duration": 3.6e6}
    listed = waterfall.listing([sample()["session"], silent])
    assert "1.31 s" in listed
    assert "60m 00s" in listed
    assert listed.endswith("(live)")


def test_what_was_said_cannot_break_the_page() -> None:
    page = timeline.html(sample())
    assert "</script><b>" not in page
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data) == sample()
    assert "/*" not in page.replace("/** ", "")
    assert not re.search(r'(src|href)="', page)
    assert len(page) < 100_000
