"""docs/sessions.md says what is so: its examples run, its example of an error is the answer."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from orchestrating import orchestrator

PAGE = (Path(__file__).parents[3] / "docs" / "sessions.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples call curl")
async def test_the_examples_run(tmp_path: Path) -> None:
    script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    async with orchestrator(api_keys="a-key") as orch:
        environment = {"API": orch.url, "KEY": "a-key", "PATH": os.environ["PATH"]}
        shell = await asyncio.create_subprocess_exec(
            "bash", "-eux", "-c", script, cwd=tmp_path, env=environment
        )
        assert await asyncio.wait_for(shell.wait(), 30) == 0
        (session,) = orch.sessions.list(include_ended=True)
        assert session.end_reason == "ended by the caller"
        assert session.metadata == {"plan": "gold"}
        events = (tmp_path / "events.txt").read_text("utf-8")
        assert "event: user_transcript" in events
        assert "Who are you?" in events


async def test_the_error_is_as_documented() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    documented = json.loads(shown)["error"]
    async with orchestrator() as orch:
        answer = await orch.http.post("/v1/sessions", json={"avatar_id": "nobody"})
        error = answer.json()["error"]
        assert error.keys() == documented.keys()
        assert (error["code"], error["reason"]) == (documented["code"], documented["reason"])
        assert error["message"].startswith(documented["message"].partition("ava,")[0])
