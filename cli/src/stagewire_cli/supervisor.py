"""Runs services as processes: waits until they serve, restarts what dies, stops them in order.

Also a library for tests and benchmarks::

    async with Supervisor(services(Ports.free()), log_dir) as running:
        running.kill("asr")
        await running.ready("asr")
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stagekit.channel import connect

from stagewire_cli.stack import Service

_HOST = "127.0.0.1"
_TAIL_LINES = 20
_TAIL_BYTES = 32 << 10
_POLL_SECONDS = 0.1
_FIRST_BACKOFF_SECONDS, _LAST_BACKOFF_SECONDS = 0.5, 8.0
_MOST_DEATHS, _DEATHS_WITHIN_SECONDS = 5, 60.0


class PortInUseError(Exception):
    """A port that a service needs is taken; the message says which and what to do."""


class ServiceFailedError(Exception):
    """A service did not start, or died too often; the message has its last log lines."""


@dataclass(eq=False)
class _Child:
    service: Service
    log: Path
    process: asyncio.subprocess.Process | None = None
    log_offset: int = 0
    serving: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_DEATHS))

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def signal_group(self, number: signal.Signals) -> None:
        """Signals whatever is left of the child's process group, the child included."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Supervisor:
    """Processes of services, for as long as its ``async with`` block lasts.

    A service that dies before it served once ends the start: restarting would not help. One that
    dies later is restarted after 0.5 s, then 1, 2, 4 … 8 s; after 5 deaths in 60 s it is given up.

    Args:
        services: What to run, in starting order; it is stopped in reverse order.
        log_dir: Each service writes ``<name>.log`` there, anew with every supervisor.
        report: Gets a line (or several) for people about everything that happens.
        ready_seconds: How long a service may take until it serves.
        grace_seconds: From SIGTERM to SIGKILL.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        services: Sequence[Service],
        log_dir: Path,
        *,
        report: Callable[[str], None] = print,
        ready_seconds: float = 180.0,
        grace_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing runs yet."""
        self._children = {s.name: _Child(s, log_dir / f"{s.name}.log") for s in services}
        self._report = report
        self._ready_seconds = ready_seconds
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Supervisor:
        """Starts every service and waits until all serve.

        Raises:
            PortInUseError: Before anything was started.
            ServiceFailedError: When a service dies or does not serve in time; all are stopped.
        """
        check_ports([child.service for child in self._children.values()])
        began = self._clock()
        try:
            for child in self._children.values():
                child.log.parent.mkdir(parents=True, exist_ok=True)
                child.log.write_bytes(b"")
                await self._spawn(child)
            try:
                async with asyncio.TaskGroup() as group:
                    for child in self._children.values():
                        group.create_task(self._first_ready(child, began))
            except* ServiceFailedError as failures:
                raise failures.exceptions[0] from None
        except BaseException:
            await self._stop()
            raise
        # Bare tasks, because they outlive this method; __aexit__ cancels and awaits them.
        self._keepers = [
            asyncio.create_task(self._keep(child), name=f"keep {name}")
            for name, child in self._children.items()
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops every service, last first."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self._stop()

    async def wait(self) -> None:
        """Waits until a service is given up.

        Raises:
            ServiceFailedError: Then.
        """
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_EXCEPTION)
        for keeper in done:
            keeper.result()

    def pid(self, name: str) -> int:
        """The process id of a service; the last one if it is dead right now."""
        process = self._children[name].process
        assert process is not None, "the supervisor has not been entered"
        return process.pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signals a service's process; :meth:`ready` then waits for its successor."""
        self._children[name].serving.clear()
        os.kill(self.pid(name), number)

    async def ready(self, name: str, timeout: float = 60.0) -> None:
        """Waits until a service serves (again).

        Raises:
            TimeoutError: When it does not within ``timeout`` seconds.
        """
        async with asyncio.timeout(timeout):
            await self._children[name].serving.wait()

    def target(self, name: str) -> str:
        """The address that a service is asked at for its readiness: its gRPC's."""
        return f"{_HOST}:{self._children[name].service.port}"

    def log_tail(self, name: str, lines: int = _TAIL_LINES) -> str:
        """The last lines that the service's present process has written."""
        return _tail(self._children[name], lines)

    async def _spawn(self, child: _Child) -> None:
        child.log_offset = child.log.stat().st_size
        with child.log.open("ab") as output:
            child.process = await asyncio.create_subprocess_exec(
                *_tied_to_this_process(),
                *child.service.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **child.service.environment},
                # Its own group: Ctrl-C on the terminal reaches the supervisor alone, which stops
                # the services in order, and a service's own children can be signalled with it.
                start_new_session=True,
            )

    async def _first_ready(self, child: _Child, began: float) -> None:
        name = child.service.name
        try:
            async with asyncio.timeout(self._ready_seconds):
                if not await self._serves(child):
                    raise ServiceFailedError(f"{name} {_how_it_ended(child)}")
        except TimeoutError:
            raise ServiceFailedError(
                f"{name} does not serve after {self._ready_seconds:g} s.{_last_lines(child)}"
            ) from None
        self._report(f"{name} ready {self._clock() - began:.1f} s")

    async def _serves(self, child: _Child) -> bool:
        """Waits until it serves; False when the process ends first."""
        target, path = self.target(child.service.name), child.service.ready_path
        async with _probe_http(target, path) if path else _probe_grpc(target) as probe:
            while child.alive:
                if await probe() and child.alive:
                    child.serving.set()
                    return True
                await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _keep(self, child: _Child) -> None:
        """Restarts a service whenever it dies, until it does so too often."""
        name = child.service.name
        while True:
            assert child.process is not None
            await child.process.wait()
            child.serving.clear()
            child.signal_group(signal.SIGKILL)
            died = self._clock()
            child.deaths.append(died)
            self._report(f"{name} {_how_it_ended(child)}")
            recent = sum(died - death < _DEATHS_WITHIN_SECONDS for death in child.deaths)
            if recent >= _MOST_DEATHS:
                raise ServiceFailedError(
                    f"{name} died {recent} times in {_DEATHS_WITHIN_SECONDS:g} s and is given up; "
                    f"its log is {child.log}"
                )
            delay = min(_LAST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** (recent - 1))
            self._report(f"{name} starts again in {delay:g} s")
            await asyncio.sleep(delay)
            await self._spawn(child)
            try:
                async with asyncio.timeout(self._ready_seconds):
                    if await self._serves(child):
                        self._report(f"{name} ready again {self._clock() - died:.1f} s after")
            except TimeoutError:
                self._report(f"{name} does not serve after {self._ready_seconds:g} s; killed")
                child.signal_group(signal.SIGKILL)

    async def _stop(self) -> None:
        try:
            for child in reversed(self._children.values()):
                await self._stop_one(child)
        finally:  # also when this is cancelled: nothing may be left
            for child in self._children.values():
                child.signal_group(signal.SIGKILL)

    async def _stop_one(self, child: _Child) -> None:
        if child.process is None or not child.alive:
            return
        with suppress(ProcessLookupError):
            child.process.terminate()
        try:
            async with asyncio.timeout(self._grace_seconds):
                await child.process.wait()
        except TimeoutError:
            self._report(f"{child.service.name} did not stop in {self._grace_seconds:g} s; killed")
            child.signal_group(signal.SIGKILL)
            await child.process.wait()


def check_ports(services: Sequence[Service]) -> None:
    """Makes sure that nobody listens where the services are to.

    Raises:
        PortInUseError: Naming every port that is taken, and the variable that chooses another.
    """
    taken = []
    for service in services:
        for port in (service.port, *service.other_ports):
            with socket.socket() as probe:
                # As servers do, so that a connection of a former run in TIME_WAIT is no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((_HOST, port))
                except OSError as error:
                    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                        raise
                    variable = next(
                        (key for key, value in service.environment.items() if value == str(port)),
                        "its port",
                    )
                    taken.append(f"port {port} of {service.name} (another: {variable}=…)")
    if taken:
        raise PortInUseError(
            f"in use: {'; '.join(taken)}. Perhaps another stagewire runs here: stop that one first."
        )


@asynccontextmanager
async def _probe_grpc(target: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Asks for gRPC health SERVING."""
    async with connect(target) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # its stubs know no methods

        async def serves() -> bool:
            with suppress(grpc.aio.AioRpcError):
                answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
            return False

        yield serves


@asynccontextmanager
async def _probe_http(target: str, path: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Asks for status 200."""
    async with httpx.AsyncClient(timeout=1.0, trust_env=False) as client:

        async def serves() -> bool:
            with suppress(httpx.HTTPError):
                return (await client.get(f"http://{target}{path}")).status_code == 200
            return False

        yield serves


def _tied_to_this_process() -> tuple[str, ...]:
    """A prefix that ends a service when its supervisor is killed hard, where util-linux has it."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


def _how_it_ended(child: _Child) -> str:
    assert child.process is not None
    status = child.process.returncode or 0
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
    return f"{how}.{_last_lines(child)}"


def _last_lines(child: _Child) -> str:
    tail = _tail(child, _TAIL_LINES)
    return (
        f" Its last lines, of {child.log}:\n{tail}" if tail else f" It wrote nothing: {child.log}"
    )


def _tail(child: _Child, lines: int) -> str:
    with child.log.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(child.log_offset, size - _TAIL_BYTES))
        text = log.read().decode("utf-8", "replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
