"""The supervisor with real processes of a fake service (fake_service.py)."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from stagewire_cli import supervisor
from stagewire_cli.stack import Ports, Service
from stagewire_cli.supervisor import PortInUseError, ServiceFailedError, Supervisor

FAKE = Path(__file__).with_name("fake_service.py")


def fake(name: str, port: int, mode: str = "") -> Service:
    command = (sys.executable, str(FAKE), str(port), *([mode] if mode else []))
    return Service(name, command, port, environment={f"STAGEWIRE_{name.upper()}_PORT": str(port)})


def lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    if Path("/proc/self").exists():
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while lives(pid):
            await asyncio.sleep(0.02)


@pytest.fixture
def ports() -> Ports:
    return Ports.free()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "_LAST_BACKOFF_SECONDS", 0.05)


async def test_starts_all_and_stops_in_reverse_order(
    ports: Ports, tmp_path: Path, said: list[str]
) -> None:
    services = [fake("asr", ports.asr), fake("llm", ports.llm), fake("tts", ports.tts)]
    async with Supervisor(services, tmp_path, report=said.append) as running:
        pids = [running.pid(service.name) for service in services]
        assert all(map(lives, pids))
        assert sorted(line.split()[:2] for line in said) == [
            ["asr", "ready"],
            ["llm", "ready"],
            ["tts", "ready"],
        ]
    assert not any(map(lives, pids))
    stopped = [
        float((tmp_path / f"{name}.log").read_text().split("stopped")[1])
        for name in ("tts", "llm", "asr")
    ]
    assert stopped == sorted(stopped)


async def test_a_killed_service_is_named_with_its_log_and_serves_again(
    ports: Ports, tmp_path: Path, said: list[str]
) -> None:
    async with Supervisor([fake("asr", ports.asr)], tmp_path, report=said.append) as running:
        before = running.pid("asr")
        running.kill("asr")
        await running.ready("asr", timeout=20)
        assert running.pid("asr") != before
        assert not lives(before)
    told = "\n".join(said)
    assert "asr was killed by SIGKILL" in told
    assert "    serving" in told
    assert "asr ready again" in told


async def test_one_that_cannot_start_ends_the_start_with_its_last_lines(
    ports: Ports, tmp_path: Path
) -> None:
    services = [fake("asr", ports.asr), fake("llm", ports.llm, "dies")]
    running = Supervisor(services, tmp_path)
    with pytest.raises(ServiceFailedError) as caught:
        await running.__aenter__()
    message = str(caught.value)
    assert message.startswith("llm ended (1)")
    assert "no such backend" in message
    assert "line 99" in message
    assert "line 50" not in message  # the last 20 only
    assert not lives(running.pid("asr"))


async def test_what_has_a_ready_path_is_ready_when_that_answers_200(
    ports: Ports, tmp_path: Path, said: list[str]
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(ports.envoy_stages))
    proxy = Service(
        "envoy", (*command, "-d", str(served)), ports.envoy_stages, ready_path="/stages"
    )
    starting = Supervisor([proxy], tmp_path / "logs", report=said.append, ready_seconds=1.5)
    with pytest.raises(ServiceFailedError, match="envoy does not serve"):
        await starting.__aenter__()  # 404
    (served / "stages").touch()
    async with Supervisor([proxy], tmp_path / "logs", report=said.append):
        assert any(line.startswith("envoy ready") for line in said)


async def test_one_that_never_serves_ends_the_start(ports: Ports, tmp_path: Path) -> None:
    running = Supervisor([fake("asr", ports.asr, "never_serves")], tmp_path, ready_seconds=0.5)
    with pytest.raises(ServiceFailedError, match=r"asr does not serve after 0\.5 s"):
        await running.__aenter__()
    assert not lives(running.pid("asr"))


async def test_one_that_keeps_dying_is_given_up(
    ports: Ports, tmp_path: Path, said: list[str]
) -> None:
    services = [fake("asr", ports.asr), fake("llm", ports.llm, "dies_at_sigterm")]
    async with Supervisor(services, tmp_path, report=said.append) as running:
        given_up = asyncio.create_task(running.wait())  # awaited below
        for _ in range(5):
            await running.ready("llm")
            running.kill("llm", signal.SIGTERM)
        with pytest.raises(ServiceFailedError, match="llm died 5 times"):
            await asyncio.wait_for(given_up, 60)
        assert lives(running.pid("asr"))
    assert sum("starts again" in line for line in said) == 4
    assert "the last words" in "\n".join(said)
    assert not lives(running.pid("asr"))


async def test_sigterm_ignored_is_killed_after_the_grace(
    ports: Ports, tmp_path: Path, said: list[str]
) -> None:
    service = fake("asr", ports.asr, "ignores_sigterm")
    async with Supervisor([service], tmp_path, report=said.append, grace_seconds=0.3) as running:
        pid = running.pid("asr")
    assert not lives(pid)
    assert "asr did not stop in 0.3 s; killed" in said


async def test_a_service_s_own_children_go_with_it(ports: Ports, tmp_path: Path) -> None:
    async with Supervisor([fake("asr", ports.asr, "has_a_child")], tmp_path) as running:
        child = int(running.log_tail("asr").split()[0])
        assert lives(child)
    await gone(child)


async def test_cancelled_while_stopping_leaves_nothing(ports: Ports, tmp_path: Path) -> None:
    service = fake("asr", ports.asr, "ignores_sigterm")
    running = await Supervisor([service], tmp_path, grace_seconds=60).__aenter__()
    stopping = asyncio.create_task(running.__aexit__(None, None, None))
    await asyncio.sleep(0.2)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await gone(running.pid("asr"))


async def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} of asr .*STAGEWIRE_ASR_PORT"):
            await Supervisor([fake("asr", port)], tmp_path).__aenter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(supervisor._tied_to_this_process() == (), reason="no setpriv here")
async def test_kill_9_of_the_supervisor_ends_its_services(ports: Ports, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from stagewire_cli.stack import Service\n"
        "from stagewire_cli.supervisor import Supervisor\n"
        "async def main():\n"
        f"    service = Service('asr', {fake('asr', ports.asr).command!r}, {ports.asr})\n"
        f"    async with Supervisor([service], Path({str(tmp_path)!r})) as running:\n"
        "        print(running.pid('asr'), flush=True); await running.wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        pid = int(lines[1])
        assert lives(pid)
        process.send_signal(signal.SIGKILL)
    await gone(pid)


def test_free_ports_are_distinct() -> None:
    ports = Ports.free()
    numbers = [getattr(ports, name) for name in Ports.__dataclass_fields__]
    assert len(set(numbers)) == len(numbers)
