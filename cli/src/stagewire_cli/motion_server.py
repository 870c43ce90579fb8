"""``stagewire motion-server``: a local Motion Server for Spatius' SDK, failures on demand."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def add_parser(commands: Any) -> None:
    """Adds ``motion-server``; without its package it says what to install."""
    parser = commands.add_parser(
        "motion-server", help="a local Motion Server for Spatius' SDK, failures on demand"
    )
    if find_spec("stagewire_motion_server") is None:
        parser.set_defaults(run=_missing)
        return
    from stagewire_motion_server import command

    command.add_arguments(parser)
    parser.set_defaults(run=command.run)


def _missing(_: Any) -> int:
    print("pip install 'stagewire[motion-server]' brings the Motion Server", file=sys.stderr)
    return 1
