"""The process: flags, one line when it listens, an orderly end."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys

from pydantic import ValidationError

from stagewire_motion_server import faults, options
from stagewire_motion_server.options import Options

DESCRIPTION = """\
A local Motion Server for Spatius' Server SDK: the same wire, offline, with motion from an open
lip-sync engine. It prints what to export to use it. docs/motion.md says what it is not."""

EPILOG = f"""\
faults, as --fault NAME=VALUE or as JSON to the admin calls:
{faults.describe()}

admin calls, JSON on 127.0.0.1 only:
  GET /                        what runs: sessions, tokens, credits, faults
  PUT /faults                  other faults from now on, for running sessions too
  DELETE /faults               none
  PUT /credits                 {{"credits": 0}}; null: no account is kept
  POST /sessions/end           {{"close_code": 4010}} or {{"drop": true}}; all sessions, or only
                               the one that "connection_id" names"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Makes a parser this command's."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    options.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT, which ends the process; returns only a failure's status."""
    from stagekit import log
    from stagekit.leaving import leave

    try:
        chosen = options.from_arguments(arguments)
        faults.parse(chosen.fault)
    except ValidationError as error:
        for problem in error.errors():
            name = "-".join(str(part) for part in problem["loc"][:1]).replace("_", "-")
            print(f"{name}: {problem['msg']}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    log.configure(chosen.log_level, chosen.log_format)
    try:
        asyncio.run(_serve(chosen))
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    leave()


def main() -> None:
    """``python -m stagewire_motion_server``."""
    parser = argparse.ArgumentParser(prog="python -m stagewire_motion_server")
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))


async def _serve(chosen: Options) -> None:
    from stagekit.signals import stop_event

    from stagewire_motion_server.running import serving

    stop = stop_event()
    async with serving(chosen) as running:
        variables = {
            "API_KEY": "one of your --api-key" if chosen.api_key else "local",
            "APP_ID": chosen.app_id[0] if chosen.app_id else "local",
            "AVATAR_ID": chosen.avatar_id[0] if chosen.avatar_id else "local",
            "CONSOLE_ENDPOINT": running.console,
            "INGRESS_ENDPOINT": running.ingress,
        }
        print(
            f"Motion Server listens on {running.host}:{running.port}; admin {running.admin}",
            *(f"export SPATIUS_{name}={shlex.quote(value)}" for name, value in variables.items()),
            sep="\n",
            flush=True,
        )
        await stop.wait()
