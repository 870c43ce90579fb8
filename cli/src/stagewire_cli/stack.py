"""The six services on one machine: which there are, where they listen, what each is told."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from stagewire_cli.models import SETS

# In starting order, which is also the order of one turn; they are stopped in reverse, so that the
# orchestrator ends its sessions while its stages still live.
STAGES = ("asr", "llm", "tts", "motion_bridge", "egress", "orchestrator")

_LOOPBACK = "127.0.0.1"
_HTTP_BEHIND_ENVOY = 8082


@dataclass(frozen=True)
class Ports:
    """Where the services of one stack listen, on 127.0.0.1, with Envoy and the trace UI."""

    asr: int = 50051
    llm: int = 50052
    tts: int = 50053
    motion_bridge: int = 50054
    egress: int = 50055
    orchestrator: int = 50050
    egress_websocket: int = 8081
    orchestrator_http: int = 8080
    orchestrator_metrics: int = 9460
    asr_metrics: int = 9461
    llm_metrics: int = 9462
    tts_metrics: int = 9463
    motion_bridge_metrics: int = 9464
    egress_metrics: int = 9465
    public: int = 8080
    envoy_stages: int = 50060
    envoy_admin: int = 9901
    phoenix: int = 6006
    phoenix_grpc: int = 4317

    @classmethod
    def chosen(cls, environment: Mapping[str, str], *, envoy: bool = False) -> Ports:
        """The default ports, or those that ``STAGEWIRE_<STAGE>_PORT`` and friends name.

        Args:
            environment: The user's.
            envoy: Whether Envoy has the public port, so that the orchestrator needs another one.

        Raises:
            SystemExit: When a variable is not a port number; the message names it.
        """
        named = {"orchestrator_http": _HTTP_BEHIND_ENVOY} if envoy else {}
        for name in cls.__dataclass_fields__:
            variable = _variable(name)
            if value := environment.get(variable):
                if not value.isdecimal() or not 1 <= int(value) <= 65535:
                    raise SystemExit(f"{variable}={value}: must be a port, 1 to 65535")
                named[name] = int(value)
        return cls(**named)

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody uses now: for tests, which must not meet a running demo."""
        with ExitStack() as held:
            numbers = {}
            for name in cls.__dataclass_fields__:
                listener = held.enter_context(socket.socket())
                listener.bind((_LOOPBACK, 0))
                numbers[name] = listener.getsockname()[1]
        return cls(**numbers)


@dataclass(frozen=True)
class Service:
    """One process to run.

    Attributes:
        name: The stage's name, such as ``motion_bridge``.
        command: What is executed.
        port: The port that is asked for readiness.
        other_ports: What else it listens on.
        environment: Variables on top of this process' own.
        ready_path: Ready when a GET of it answers 200; empty: when gRPC health says SERVING.
    """

    name: str
    command: tuple[str, ...]
    port: int
    other_ports: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = ""


def services(
    ports: Ports,
    *,
    models: str = "default",
    envoy: bool = False,
    extra: Mapping[str, Mapping[str, str]] | None = None,
    user: Mapping[str, str] = os.environ,
) -> list[Service]:
    """The stack, without the stages that the user has replaced with services elsewhere.

    Args:
        ports: Where it listens.
        models: ``default`` or ``small``; see :data:`stagewire_cli.models.SETS`.
        envoy: Whether they call each other, and clients come, through Envoy;
            :func:`stagewire_cli.proxy.service` is that one.
        extra: More variables for a stage, by its name; they win over everything.
        user: What the user has set. ``STAGEWIRE_ORCHESTRATOR_<STAGE>_TARGET`` there means that
            this stage is not started here.
    """
    return [
        _service(stage, ports, models, envoy, user, (extra or {}).get(stage, {}))
        for stage in STAGES
        if stage not in replaced(user)
    ]


def replaced(user: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The stages that run elsewhere, and where (``STAGEWIRE_ORCHESTRATOR_<STAGE>_TARGET``)."""
    return {stage: user[_target(stage)] for stage in STAGES[:-1] if user.get(_target(stage))}


def models_needed(models: str, user: Mapping[str, str] = os.environ) -> list[str]:
    """The models that the stages started here run, as far as they run their default backends."""
    return [
        model
        for stage, names in SETS[models].items()
        if stage not in replaced(user) and not user.get(f"STAGEWIRE_{stage.upper()}_BACKEND")
        for model in names
    ]


def missing_packages() -> list[str]:
    """The distributions of the services that are not installed in this environment."""
    return [
        f"stagewire-{stage.replace('_', '-')}"
        for stage in STAGES
        if find_spec(f"stagewire_{stage}") is None
    ]


def state_dir() -> Path:
    """Where logs go: ``STAGEWIRE_HOME``, else the user's state folder."""
    if chosen := os.environ.get("STAGEWIRE_HOME"):
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "stagewire"


def _service(
    stage: str,
    ports: Ports,
    models: str,
    envoy: bool,
    user: Mapping[str, str],
    extra: Mapping[str, str],
) -> Service:
    # What the user has set stands above these defaults, and the table of ports above both.
    defaults = {
        "OPENBLAS_NUM_THREADS": "1",  # numpy's small products here only lose by more threads
        "PYTHONUNBUFFERED": "1",
        f"STAGEWIRE_{stage.upper()}_DRAIN_SECONDS": "2",  # Ctrl-C is not to take half a minute
        **(_SMALL.get(stage, {}) if models == "small" else {}),
    }
    environment = {key: value for key, value in defaults.items() if key not in user}
    port = getattr(ports, stage)
    others = {
        name: getattr(ports, name)
        for name in Ports.__dataclass_fields__
        if name.startswith(f"{stage}_")
    }
    environment |= {
        _variable(name): str(number) for name, number in {stage: port, **others}.items()
    }
    if stage == "orchestrator":
        for target in STAGES[:-1]:
            if target not in replaced(user):
                environment[_target(target)] = _address(target, ports, envoy)
        if "egress" not in replaced(user) and not user.keys() & _EGRESS_ELSEWHERE:
            own = f"ws://{_LOOPBACK}:{ports.egress_websocket}"
            public = f"ws://localhost:{ports.public}"
            environment["STAGEWIRE_ORCHESTRATOR_PAGE_WEBSOCKETS"] = public if envoy else own
    if stage == "egress":
        told = {"STAGEWIRE_EGRESS_SESSION_TARGET": _address("orchestrator", ports, envoy)}
        if envoy:
            told["STAGEWIRE_EGRESS_PUBLIC_URL"] = f"ws://localhost:{ports.public}/v1/join"
        environment |= {name: value for name, value in told.items() if name not in user}
    return Service(
        name=stage,
        command=(sys.executable, "-m", f"stagewire_{stage}"),
        port=port,
        other_ports=tuple(others.values()),
        environment={**environment, **extra},
    )


def _address(stage: str, ports: Ports, envoy: bool) -> str:
    """Where others call a stage: itself, or Envoy, which knows by the call what is meant."""
    return f"{_LOOPBACK}:{ports.envoy_stages if envoy else getattr(ports, stage)}"


def _variable(port: str) -> str:
    return f"STAGEWIRE_{port.upper()}_PORT"


def _target(stage: str) -> str:
    return f"STAGEWIRE_ORCHESTRATOR_{stage.upper()}_TARGET"


# With one of these the user has said where clients join, or what the page's policy allows.
_EGRESS_ELSEWHERE = frozenset(
    {
        "STAGEWIRE_EGRESS_PUBLIC_URL",
        "STAGEWIRE_EGRESS_WEBSOCKET_HOST",
        "STAGEWIRE_ORCHESTRATOR_PAGE_WEBSOCKETS",
    }
)

# What MODELS=small tells the stages, beside their defaults.
_SMALL: Mapping[str, Mapping[str, str]] = {
    "asr": {"STAGEWIRE_ASR_WHISPER_PARTIAL_MODEL": ""},
    "llm": {"STAGEWIRE_LLM_LLAMACPP_MODEL": "smollm2-135m"},
}
