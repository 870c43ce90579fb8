"""``stagewire demo`` as its user sees it: real processes, small models, a recorded voice."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from stagewire_cli import proxy
from stagewire_cli.stack import STAGES, Ports

ENVOY = ["envoy"] if proxy.executable() else []
pytestmark = [pytest.mark.slow, pytest.mark.models]


class Demo:
    """A running demo and what it says, line by line."""

    def __init__(self, home: Path) -> None:
        ports = Ports.free()
        variables = {
            f"STAGEWIRE_{name.upper()}_PORT": str(getattr(ports, name))
            for name in Ports.__dataclass_fields__
        }
        self.home = home
        self.environment = {**os.environ, **variables, "STAGEWIRE_HOME": str(home)}
        self.process = self.start("--models", "small")
        self.said: list[str] = []

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "stagewire_cli", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )

    def until(self, wanted: str) -> str:
        """Reads until a line matches; the end of the output fails the test."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if re.search(wanted, line):
                return line
        raise AssertionError(f"never said {wanted!r}:\n" + "\n".join(self.said))

    def services(self) -> dict[str, int]:
        """The pids of its services, by name."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
        ).stdout
        found = re.findall(r"(\d+) .*-m stagewire_(\w+)", listed)
        return {name: int(pid) for pid, name in found}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(40)
        running.process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the services with Linux' ps")
def test_a_demo_from_start_to_ctrl_c(demo: Demo) -> None:
    demo.until("self-check passed")
    ready = [line for line in demo.said if re.fullmatch(r"\w+ ready \d+\.\d s", line)]
    assert sorted(line.split()[0] for line in ready) == sorted([*STAGES, *ENVOY])
    assert "somewhere" in demo.until("heard").lower()
    assert len(demo.until("answered").split()) > 1
    demo.until("took .* s from the end of speech")
    demo.until("serving; Ctrl-C stops everything")

    services = demo.services()
    assert set(services) == set(STAGES)
    second = demo.start("--models", "small")  # the same ports
    told, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"port {demo.environment['STAGEWIRE_ASR_PORT']} of asr" in told

    os.kill(services["tts"], signal.SIGKILL)
    demo.until("tts was killed by SIGKILL")
    demo.until("tts ready again")
    assert (demo.home / "logs" / "tts.log").is_file()

    pids = demo.services().values()
    demo.process.send_signal(signal.SIGINT)
    demo.until("stopped")
    assert demo.process.wait(30) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
