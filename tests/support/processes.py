"""One service as a real process on a free port of loopback, for tests that cross the wire."""

from __future__ import annotations

import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Below those that the system gives to outgoing connections, any of which could be taken in the time
# until a service listens. From another place for each process of tests, and no number twice.
_NUMBERS = itertools.cycle(random.Random(os.getpid()).sample(range(20_000, 32_000), 12_000))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of loopback that nothing has now: of TCP, or of UDP (SOCK_DGRAM)."""
    for port in _NUMBERS:
        with socket.socket(type=kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the numbers never end")


def health(address: str, service: str = "", timeout: float = 2.0) -> str:
    """The health status's name, or the gRPC code's when the check itself fails."""
    with grpc.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
        except grpc.RpcError as error:
            return str(error.code().name)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


class Service:
    """``python -m PACKAGE`` with its own port, environment and log file.

    Args:
        package: The module to run, such as ``stagewire_asr``.
        prefix: Its settings' prefix, such as ``STAGEWIRE_ASR_``.
        environment: Settings beside host and port, whole variable names.
    """

    def __init__(self, package: str, prefix: str, environment: Mapping[str, str]) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._package = package
        self._log = Path(tempfile.mkstemp(prefix=f"{package}-", suffix=".log")[1])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", package],
                env={
                    **os.environ,
                    f"{prefix}HOST": "127.0.0.1",
                    f"{prefix}PORT": str(port),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Waits until health says SERVING; a service that died is named with its last log lines."""
        deadline = time.monotonic() + seconds
        while health(self.address, timeout=1.0) != "SERVING":
            if self._process.poll() is not None or time.monotonic() > deadline:
                state = f"exited with {self._process.poll()}" if self.exited else "is not ready"
                last = "\n".join(self.log().splitlines()[-15:])
                self.stop()
                raise RuntimeError(f"{self._package} {state}; its log ends:\n{last}")
            time.sleep(0.1)

    @property
    def exited(self) -> bool:
        """Whether the process has ended by itself."""
        return self._process.poll() is not None

    def log(self) -> str:
        """Everything it has logged."""
        return self._log.read_text("utf-8", "replace")

    def resident_megabytes(self) -> float:
        """Its resident memory now."""
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self._process.pid)],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(shown.stdout) / 1024

    def terminate(self) -> None:
        """Asks it to drain and end (SIGTERM)."""
        self._process.terminate()

    def wait(self, seconds: float) -> int:
        """Waits for its end and returns the exit status."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        """Ends it, gently at first; safe to repeat."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.unlink(missing_ok=True)
