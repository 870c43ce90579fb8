"""The demo's trace UI: how it is installed and run. Phoenix itself is not run here: 850 MB."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from stagewire_cli import phoenix
from stagewire_cli.stack import STAGES, Ports, services


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], list[str]]:
    """Stands in for the commands that install; call it with the status that they end with."""
    monkeypatch.setenv("STAGEWIRE_MODELS_DIR", str(tmp_path / "models"))

    def stand_in(status: int) -> list[str]:
        ran: list[str] = []

        def run(command: tuple[object, ...], check: bool) -> subprocess.CompletedProcess[bytes]:
            ran.append(" ".join(map(str, command)))
            (tmp_path / "phoenix").mkdir(exist_ok=True)
            return subprocess.CompletedProcess([], status)

        monkeypatch.setattr(subprocess, "run", run)
        return ran

    return stand_in


def test_it_is_installed_once_and_says_so(pip: Callable[[int], list[str]], tmp_path: Path) -> None:
    ran, said = pip(0), list[str]()
    python = phoenix.install(said.append)
    assert python == tmp_path / "phoenix" / "bin" / "python"
    assert "-m venv" in ran[0]
    assert "pip install" in ran[1]
    assert "850 MB" in said[0]
    assert phoenix.install(said.append) == python
    assert len(ran) == 2
    assert len(said) == 1


def test_new_pins_install_it_anew(pip: Callable[[int], list[str]], tmp_path: Path) -> None:
    ran = pip(0)
    phoenix.install(print)
    (tmp_path / "phoenix" / "installed.txt").write_text("arize-phoenix==1.0")
    phoenix.install(print)
    assert len(ran) == 4


def test_a_failed_install_says_what_to_do_and_is_tried_again(
    pip: Callable[[int], list[str]],
) -> None:
    pip(1)
    with pytest.raises(phoenix.PhoenixError, match="leave out TRACES=phoenix"):
        phoenix.install(print)
    assert pip(0) == []
    phoenix.install(print)


def test_every_service_sends_there_and_phoenix_itself_nowhere() -> None:
    ports = Ports.free()
    told = phoenix.variables(ports)
    for service in services(ports, user={}, extra=dict.fromkeys(STAGES, told)):
        endpoint = service.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == f"http://127.0.0.1:{ports.phoenix_grpc}"
    itself = phoenix.service(Path("python"), ports, Path("traces"))
    assert not any(name.startswith("OTEL") for name in itself.environment)
    assert itself.environment["PHOENIX_HOST"] == "127.0.0.1"
    assert itself.environment["PHOENIX_TELEMETRY_ENABLED"] == "false"
