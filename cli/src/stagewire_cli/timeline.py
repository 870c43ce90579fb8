"""``stagewire timeline``: where the time of a session went."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from stagewire_cli import api, waterfall

_URL = "http://127.0.0.1:8080"

_EPILOG = f"""\
examples:
  stagewire timeline                              the sessions that a timeline is kept of
  stagewire timeline s-0123456789abcdef           every turn as a waterfall of its parts
  stagewire timeline last --html timeline.html    the newest session, as a page to look at

environment:
  {api.KEY_VARIABLE}   the API key, where the orchestrator asks for one

What was said is shown only where the orchestrator keeps it: `make demo` does; elsewhere
STAGEWIRE_ORCHESTRATOR_TIMELINE_CONTENT=true switches it on. docs/latency.md explains the parts.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``timeline``."""
    parser = commands.add_parser(
        "timeline",
        help="where the time of a session went: in the terminal, or as a page",
        description="Shows what a recent session did and when, from the orchestrator's own record.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "session", nargs="?", default="", help="its id, or `last`; none: list the sessions"
    )
    parser.add_argument("--url", default=_URL, help=f"the orchestrator's HTTP port ({_URL})")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write the whole session as one HTML file that needs nothing else",
    )
    parser.add_argument("--json", action="store_true", help="print it as the API tells it")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows it; returns the status."""
    if arguments.html is not None and not arguments.session:
        return _failed("--html needs a session: its id, or `last`")
    try:
        print(asyncio.run(_show(arguments)))
    except api.SessionError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"--html {arguments.html}: {error.strerror or error}")
    return 0


def _failed(message: str) -> int:
    print(f"stagewire timeline: {message}", file=sys.stderr)
    return 2


async def _show(arguments: argparse.Namespace) -> str:
    session_id = arguments.session
    if session_id in ("", "last"):
        listed = await api.timelines(arguments.url)
        if not session_id:
            return json.dumps(listed, indent=2) if arguments.json else waterfall.listing(listed)
        if not listed:
            raise api.SessionError("no session yet: talk to the avatar first")
        session_id = listed[0]["session_id"]
    told = await api.timeline(arguments.url, session_id)
    if arguments.html is not None:
        arguments.html.write_text(html(told), "utf-8")
        return f"written to {arguments.html}: open it in a browser"
    if arguments.json:
        return json.dumps(told, indent=2)
    width = min(120, shutil.get_terminal_size().columns)
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return waterfall.page(told, width, color=color)


def html(told: dict[str, Any]) -> str:
    """One file with everything in it: the page, its code, and the session."""
    page, style, lanes, turns = (
        files("stagewire_cli").joinpath("data", "timeline", name).read_text("utf-8")
        for name in ("page.html", "style.css", "lanes.js", "turns.js")
    )
    # "</" would end the script that holds it, "<!--" begin a comment in it, whoever said it.
    data = json.dumps(told, separators=(",", ":")).replace("<", "\\u003c")
    for place, content in {"STYLE": style, "CODE": lanes + turns, "TIMELINE": data}.items():
        page = page.replace(f"/*{place}*/", content, 1)  # the data last: nothing in it is a place
    return page
