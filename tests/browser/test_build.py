"""The page's sources: their types, their unit tests, and that the packaged build is theirs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from browser.tools import ROOT, WEB, node

STATIC = ROOT / "services" / "orchestrator" / "src" / "stagewire_orchestrator" / "static"


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_types_are_right() -> None:
    run(node(), "node_modules/typescript/bin/tsc", "--noEmit")


def test_the_units_work() -> None:
    run(node(), "test.mjs")


def test_the_packaged_page_is_built_from_these_sources(tmp_path: Path) -> None:
    run(node(), "build.mjs", str(tmp_path))
    built = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    packaged = {path.relative_to(STATIC) for path in STATIC.rglob("*") if path.is_file()}
    assert built == {path for path in packaged if path.suffix != ".glb"}
    stale = [
        str(path)
        for path in built
        if (STATIC / path).read_bytes() != (tmp_path / path).read_bytes()
    ]
    assert not stale, f"stale: {stale}; `make page` builds them"
