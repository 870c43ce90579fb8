"""What the browser's tests need of the machine, and what they say when it is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"


def missing(what: str) -> None:
    """Skips with the reason, or fails where ``STAGEWIRE_REQUIRE_BROWSER`` is set."""
    if os.environ.get("STAGEWIRE_REQUIRE_BROWSER"):
        pytest.fail(f"STAGEWIRE_REQUIRE_BROWSER is set, and {what}")
    pytest.skip(what)


def node() -> str:
    """Node, with the page's development packages beside it."""
    found = shutil.which("node")
    if found is None:
        missing("Node is not installed: apt-get install nodejs npm")
    elif not (WEB / "node_modules" / "esbuild").is_dir():
        missing("the page's packages are not installed: make web/node_modules")
    return str(found)


def axe() -> str:
    """The source of axe-core, which audits a page for accessibility."""
    source = WEB / "node_modules" / "axe-core" / "axe.min.js"
    if not source.is_file():
        missing("the page's packages are not installed: make web/node_modules")
    return source.read_text("utf-8")


def chromium() -> str:
    """The system's Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("Chromium is not installed: apt-get install --no-install-recommends chromium")
    return str(found)
