"""The command line: one subcommand per module, each of which adds itself with ``add_parser``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec

_COMMANDS = ("demo", "talk", "models", "timeline", "bench", "motion_server")

_EPILOG = """\
first steps:
  stagewire demo                     start everything here, check it by asking a question, serve
  stagewire talk question.wav        then, in a second terminal: ask it something yourself
  stagewire talk --text "Who are you?"
  stagewire timeline                 where the time of recent sessions went, turn by turn
  stagewire models list              what it runs, how large, under which licence
  stagewire motion-server            what Spatius' SDK talks to, offline, with failures on demand

`stagewire COMMAND --help` teaches each command.
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line. A command is a function of its arguments that returns a status."""
    top = argparse.ArgumentParser(
        prog="stagewire",
        description="Conversational avatars as gRPC services, on one machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        module = f"stagewire_cli.{name}"
        if find_spec(module) is not None:
            import_module(module).add_parser(commands)
    return top


def main() -> None:
    """Runs the command that the process was started with, and exits with its status."""
    arguments = parser().parse_args()
    try:
        status = arguments.run(arguments)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
