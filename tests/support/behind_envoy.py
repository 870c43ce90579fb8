"""The real proxy, orchestrator and egress with scripted stages behind them, in processes each."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from stagewire.common.v1 import turn_pb2
from stagewire_cli import api, proxy
from stagewire_cli import client as c
from stagewire_cli.client import Client, join
from stagewire_cli.stack import Ports, Service, services
from stagewire_cli.supervisor import Supervisor
from support.processes import free_port, health

SCRIPT = Path(__file__).parents[1] / "envoy" / "scripted_process.py"
SCRIPTED = {"asr": 2, "llm": 2, "tts": 2, "motion_bridge": 2}


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Waits until a condition holds, and returns its value."""
    async with asyncio.timeout(seconds):
        while not (value := condition()):
            await asyncio.sleep(0.02)
    return value


class Instance:
    """One process of a scripted stage; it may be started again on its port.

    Attributes:
        address: Where it serves.
    """

    def __init__(self, stage: str, folder: Path) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._folder = folder / f"{stage}-{port}"
        self._folder.mkdir(parents=True)
        self._command = [sys.executable, str(SCRIPT), stage, str(port), str(self._folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, unless it runs."""
        if self._process is None or self._process.poll() is not None:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        """Signals it."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Waits for its end and returns the status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, and waits for its end."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        """Ends it; safe to repeat."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def misbehave(self, how: str) -> None:
        """``hang-before``, ``hang-after``, ``slow`` or ``end-late``, from now on; "" for none."""
        for name in ("hang-before", "hang-after", "slow", "end-late"):
            (self._folder / name).unlink(missing_ok=True)
        if how:
            (self._folder / how).touch()

    def lines(self, key: str = "", session_id: str = "") -> list[dict[str, Any]]:
        """What it has said: lines that have a key, of one session."""
        said = [
            json.loads(line)
            for line in (self._folder / "log").read_text().splitlines()
            if line.startswith("{")
        ]
        return [
            line
            for line in said
            if (not key or key in line)
            and (not session_id or line.get("x-session-id") == session_id)
        ]


@dataclass
class Behind:
    """What runs.

    Attributes:
        ports: Where; ``public`` and ``envoy_stages`` are Envoy's.
        supervisor: Envoy, orchestrator and egress.
        stages: The scripted instances of each stage.
        folder: Envoy's configuration, and all logs.
        addresses: What Envoy was told.
    """

    ports: Ports
    supervisor: Supervisor
    stages: dict[str, list[Instance]]
    folder: Path
    addresses: proxy.Addresses

    @property
    def url(self) -> str:
        """The public port."""
        return f"http://127.0.0.1:{self.ports.public}"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[tuple[api.Session, Client]]:
        """A session and its client, greeted."""
        async with (
            api.session(self.url) as session,
            join(session.join_url, session.client_token) as client,
        ):
            assert (await finish(client)).reason == "COMPLETED"
            yield session, client

    def serving(self, stage: str, session_id: str) -> tuple[Instance, Instance]:
        """The instance that had the session's last call, and another one."""
        one, other = self.stages[stage]
        calls = {x: x.lines("call", session_id) for x in (one, other)}
        assert calls[one] or calls[other], f"{stage} was not called"
        return (one, other) if len(calls[one]) > len(calls[other]) else (other, one)

    def statistics(self, name: str) -> int:
        """One of Envoy's counters or gauges."""
        told = httpx.get(
            f"http://127.0.0.1:{self.ports.envoy_admin}/stats",
            params={"filter": f"^{name}$"},
            trust_env=False,
        )
        return int(told.text.rpartition(":")[2] or 0)

    def access_log(self) -> list[dict[str, Any]]:
        """Envoy's access log."""
        text = (self.folder / "logs" / "envoy.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    async def whole(self) -> None:
        """Starts again what a test has killed, and waits until Envoy knows."""
        for instances in self.stages.values():
            for instance in instances:
                instance.misbehave("")
                instance.start()
        for instance in (x for instances in self.stages.values() for x in instances):
            # Envoy may not have noticed yet that it was away.
            await until(lambda instance=instance: health(instance.address) == "SERVING")
        for stage, instances in self.stages.items():
            name, wanted = f"cluster.{stage}.membership_healthy", len(instances)
            await until(lambda name=name, wanted=wanted: self.statistics(name) == wanted)
        for name in ("envoy", "orchestrator", "egress"):
            await self.supervisor.ready(name)
        # An instance that failed calls rests for a while; a test begins with none that does.
        await until(
            lambda: not self.statistics(r"cluster\.(llm|tts)\.outlier_detection\.ejections_active")
        )


@asynccontextmanager
async def behind_envoy(
    folder: Path,
    *,
    collector: str = "",
    certificates: Path | None = None,
    weights: Mapping[str, list[int]] | None = None,
    extra: Mapping[str, Mapping[str, str]] | None = None,
    scripted: Mapping[str, int] = SCRIPTED,
    egresses: int = 1,
) -> AsyncIterator[Behind]:
    """Runs everything while the block lasts.

    Args:
        folder: For configuration and logs.
        collector: Where Envoy sends spans.
        certificates: The folder with a certificate; the TLS port is then on.
        weights: The weights of a stage's instances; 1 each by default.
        extra: More variables for orchestrator and egress.
        scripted: How many instances of each scripted stage.
        egresses: How many instances of egress; several say in their join URL which they are.
    """
    ports = Ports.free()
    with ExitStack() as running:
        stages = {name: [Instance(name, folder) for _ in range(n)] for name, n in scripted.items()}
        for instance in (x for instances in stages.values() for x in instances):
            instance.start()
            running.callback(instance.stop)
        several = _several(ports, egresses)
        addresses = proxy.Addresses(
            public=f"127.0.0.1:{ports.public}",
            stages=f"127.0.0.1:{ports.envoy_stages}",
            admin=f"127.0.0.1:{ports.envoy_admin}",
            instances=_instances(several, stages, weights or {}),
            collector=collector,
            public_tls=f"127.0.0.1:{free_port()}" if certificates else "",
            certificates=certificates,
        )
        proxy.write(folder / "envoy", addresses)
        command = proxy.command(folder / "envoy")
        envoy = Service("envoy", command, ports.envoy_stages, ready_path=proxy.STAGES_HEALTHY)
        ours = [
            *_egresses(several),
            *_only("orchestrator", services(ports, envoy=True, extra=extra, user={})),
        ]
        async with Supervisor([envoy, *ours], folder / "logs") as supervisor:
            behind = Behind(ports, supervisor, stages, folder, addresses)
            await behind.whole()
            yield behind


def _several(ports: Ports, egresses: int) -> list[Ports]:
    """The stack's ports, and for each further egress the same with other ones for that."""
    own = [name for name in Ports.__dataclass_fields__ if name.startswith("egress")]
    others = ({name: free_port() for name in own} for _ in range(egresses - 1))
    return [ports, *(replace(ports, **other) for other in others)]


def _egresses(several: list[Ports]) -> list[Service]:
    if len(several) == 1:
        return _only("egress", services(several[0], envoy=True, user={}))
    made = []
    for number, ports in enumerate(several):
        at = f"127.0.0.1:{ports.egress_websocket}"
        url = f"ws://localhost:{ports.public}/v1/join?at={at}"
        told = {"egress": {"STAGEWIRE_EGRESS_PUBLIC_URL": url}}
        (egress,) = _only("egress", services(ports, envoy=True, extra=told, user={}))
        made.append(replace(egress, name=f"egress{number or ''}"))
    return made


def _only(name: str, found: list[Service]) -> list[Service]:
    return [service for service in found if service.name == name]


@asynccontextmanager
async def envoy_alone(
    folder: Path,
    instances: Mapping[str, Mapping[str, int]],
    certificates: Path | None = None,
    ready_path: str = proxy.STAGES_HEALTHY,
) -> AsyncIterator[proxy.Addresses]:
    """Envoy with instances that a test brings along, by their clusters."""
    addresses = proxy.Addresses(
        public=f"127.0.0.1:{free_port()}",
        stages=f"127.0.0.1:{free_port()}",
        admin=f"127.0.0.1:{free_port()}",
        instances=instances,
        public_tls=f"127.0.0.1:{free_port()}" if certificates else "",
        certificates=certificates,
    )
    proxy.write(folder / "envoy", addresses)
    port = int(addresses.stages.rpartition(":")[2])
    command = proxy.command(folder / "envoy")
    envoy = Service("envoy", command, port, ready_path=ready_path)
    async with Supervisor([envoy], folder / "logs"):
        yield addresses


def _instances(
    several: list[Ports], stages: Mapping[str, list[Instance]], weights: Mapping[str, list[int]]
) -> dict[str, dict[str, int]]:
    scripted = {
        name: dict(
            zip(
                [instance.address for instance in instances],
                weights.get(name, [1] * len(instances)),
                strict=True,
            )
        )
        for name, instances in stages.items()
    }
    ours = {
        name: {f"127.0.0.1:{getattr(ports, name)}": 1 for ports in several}
        for name in ("egress", "egress_websocket", "orchestrator", "orchestrator_http")
    }
    return {**scripted, **ours}


@dataclass
class Ended:
    """How a turn ended.

    Attributes:
        reason: Such as COMPLETED; LOST when the connection ended first.
        text: The answer's, as far as it was made.
        notices: What the client was told to be wrong.
    """

    reason: str = "LOST"
    text: str = ""
    notices: list[str] = field(default_factory=list)


async def finish(client: Client) -> Ended:
    """Plays what comes at once until a turn is over."""
    ended = Ended()
    async with asyncio.timeout(60):
        async for message in client:
            match message:
                case c.EndOfTurn():
                    await client.report(message.turn, message.sample_count)
                case c.Event() if message.event.WhichOneof("event") == "notice":
                    ended.notices.append(message.event.notice.message)
                case c.Event() if message.event.WhichOneof("event") == "turn_summary":
                    summary = message.event.turn_summary
                    reason = turn_pb2.TurnEndReason.Name(summary.reason)
                    ended.reason = reason.removeprefix("TURN_END_REASON_")
                    ended.text = summary.text
                    break
    return ended


async def ask(client: Client, text: str = "one two three four five") -> Ended:
    """Types something and plays the answer."""
    await client.type_text(text)
    return await finish(client)


async def answered(client: Client, text: str = "one two three four five") -> None:
    """Asks, and makes sure that the whole answer came."""
    ended = await ask(client, text)
    ended.text = ended.text.strip()
    assert ended == Ended("COMPLETED", text), ended


@asynccontextmanager
async def rejoined(session: api.Session, seconds: float = 20.0) -> AsyncIterator[Client]:
    """Joins as a client that comes back does: again and again, but not after 4401."""
    async with asyncio.timeout(seconds):
        while True:
            joining = join(session.join_url, session.client_token)
            try:
                client = await joining.__aenter__()
                break
            except c.JoinError as error:
                if "opens no session" in str(error):
                    raise
            await asyncio.sleep(0.1)
    try:
        yield client
    finally:
        await joining.__aexit__(None, None, None)
