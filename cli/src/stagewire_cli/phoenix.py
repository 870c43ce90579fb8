"""A trace UI for ``stagewire demo``: Arize Phoenix, in an environment of its own, on loopback.

It is not among stagewire's dependencies: 850 MB, Elastic License 2.0, and nothing here imports it.
Any other OTLP backend takes its place by the standard ``OTEL_*`` variables.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path

from stagekit.models import cache

from stagewire_cli.stack import Ports, Service

_DATA = files("stagewire_cli").joinpath("data")
_HOST = "127.0.0.1"


class PhoenixError(Exception):
    """Phoenix could not be installed; the message says why and what to do."""


def install(say: Callable[[str], None]) -> Path:
    """Makes Phoenix' environment where there is none yet; returns its Python.

    Args:
        say: Told what takes so long.

    Raises:
        PhoenixError: When pip could not bring it.
    """
    folder = cache().parent / "phoenix"
    python = folder / "bin" / "python"
    installed, wanted = folder / "installed.txt", _DATA.joinpath("phoenix.txt").read_text()
    if installed.exists() and installed.read_text() == wanted:
        return python
    say(f"installing the trace UI, once: 850 MB, some minutes, into {folder}")
    with as_file(_DATA.joinpath("phoenix.txt")) as pins:
        for command in (
            (sys.executable, "-m", "venv", "--clear", folder),
            (python, "-m", "pip", "install", "--disable-pip-version-check", "-r", pins),
        ):
            if subprocess.run(command, check=False).returncode:
                raise PhoenixError(
                    f"the trace UI could not be installed (see above). Remove {folder} and try "
                    "again, or leave out TRACES=phoenix"
                )
    installed.write_text(wanted)
    return python


def service(python: Path, ports: Ports, folder: Path) -> Service:
    """The process to run.

    Args:
        python: Of Phoenix' environment.
        ports: Where it listens.
        folder: Keeps the traces, from one demo to the next.
    """
    return Service(
        name="phoenix",
        command=(str(python), str(_DATA.joinpath("phoenix_on_loopback.py")), "serve"),
        port=ports.phoenix,
        other_ports=(ports.phoenix_grpc,),
        environment={
            "PHOENIX_HOST": _HOST,
            "PHOENIX_PORT": str(ports.phoenix),
            "PHOENIX_GRPC_PORT": str(ports.phoenix_grpc),
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        ready_path="/readyz",
    )


def variables(ports: Ports) -> Mapping[str, str]:
    """What every service is told, so that its spans arrive there."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{_HOST}:{ports.phoenix_grpc}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",  # Phoenix takes none
        "STAGEWIRE_ORCHESTRATOR_TRACE_URL": (
            f"http://localhost:{ports.phoenix}/redirects/traces/{{trace_id}}"
        ),
    }
