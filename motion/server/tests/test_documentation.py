"""What docs/motion.md and the README say is what the server does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from stagewire_motion_server.faults import Faults
from stagewire_motion_server.options import Options

HERE = Path(__file__).parents[1]
SECTION = (
    (HERE.parents[1] / "docs" / "motion.md")
    .read_text("utf-8")
    .split("\n## The local Motion Server\n")[1]
    .split("\n## ")[0]
)
README = (HERE / "README.md").read_text("utf-8")


def test_every_fault_is_in_the_table() -> None:
    table = SECTION.split("| fault |")[1].split("```")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.M) == list(Faults.model_fields)


def test_flags_that_are_named_exist() -> None:
    prose = re.sub(r"```.*?```", "", SECTION, flags=re.S)
    named = {flag.replace("-", "_") for flag in re.findall(r"`--([a-z-]+)", prose)}
    assert named - {"help", "json"} <= set(Options.model_fields)
    assert len(named) > 10


async def test_every_admin_call_that_is_shown_is_accepted(serve: Any) -> None:
    client = await serve()
    shown = re.findall(
        r"^curl (?:-X (\w+) )?http://127\.0\.0\.1:8781(/\S*)(?: --json '(.*)')?$", SECTION, re.M
    )
    assert len(shown) == SECTION.count("\ncurl ") > 8
    for method, path, body in shown:
        method = method or ("POST" if body else "GET")
        request = {"json": json.loads(body)} if body else {}
        assert (await client.admin(method, path, **request))[0] == 200, (method, path, body)


def test_every_file_is_in_the_readme() -> None:
    modules = {path.name for path in (HERE / "src").rglob("*.py") if path.name[0] != "_"}
    assert set(re.findall(r"`(\w+\.py)`", README)) == modules
