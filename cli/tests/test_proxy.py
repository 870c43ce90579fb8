"""Envoy's configuration for a stack on this machine."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from stagewire_cli import proxy
from stagewire_cli.stack import Ports


@pytest.fixture(autouse=True)
def _envoy_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "executable", lambda: "/usr/bin/envoy")


def written(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The bootstrap, and the clusters by name."""
    bootstrap = yaml.safe_load((folder / "envoy.yaml").read_text())
    clusters = yaml.safe_load((folder / "clusters.yaml").read_text())["resources"]
    return bootstrap, {cluster["name"]: cluster for cluster in clusters}


def addresses_in(tree: Any) -> set[str]:
    """Every address in a configuration."""
    if isinstance(tree, list):
        return set().union(*map(addresses_in, tree))
    if not isinstance(tree, dict):
        return set()
    socket = tree.get("socket_address")
    here = {f"{socket['address']}:{socket['port_value']}"} if socket else set()
    return here.union(*map(addresses_in, tree.values()))


def test_every_address_is_this_stack_s(tmp_path: Path) -> None:
    ports = Ports.free()
    service = proxy.service(ports, tmp_path, user={})
    bootstrap, clusters = written(tmp_path)
    listening = {ports.public, ports.envoy_stages, ports.envoy_admin}
    assert addresses_in(bootstrap) == {f"127.0.0.1:{port}" for port in listening}
    named = {name: getattr(ports, name) for name in Ports.__dataclass_fields__}
    beside = ("phoenix", "_metrics")  # asked directly, not through Envoy
    behind = {port for name, port in named.items() if not any(part in name for part in beside)}
    behind -= listening
    assert addresses_in(list(clusters.values())) == {f"127.0.0.1:{port}" for port in behind}
    assert {service.port, *service.other_ports} == listening
    assert str(tmp_path / "envoy.yaml") in service.command
    text = (tmp_path / "envoy.yaml").read_text()
    assert "/etc/envoy" not in text
    assert "otel_collector" not in text


def test_a_stage_that_runs_elsewhere_is_left_out(tmp_path: Path) -> None:
    user = {"STAGEWIRE_ORCHESTRATOR_TTS_TARGET": "vendor.example:443"}
    proxy.service(Ports(), tmp_path, user=user)
    bootstrap, clusters = written(tmp_path)
    assert "tts" not in clusters
    assert "tts" not in yaml.safe_dump(bootstrap)
    assert {"asr", "llm"} <= set(clusters)


def test_spans_are_switched_on_by_a_collector(tmp_path: Path) -> None:
    proxy.service(Ports(), tmp_path, user={}, collector="127.0.0.1:4317")
    bootstrap, clusters = written(tmp_path)
    assert addresses_in(clusters["otel_collector"]) == {"127.0.0.1:4317"}
    assert "stagewire-envoy" in yaml.safe_dump(bootstrap)


@pytest.mark.parametrize(
    ("environment", "collector"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}, "127.0.0.1:4317"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:5317",
            },
            "traces:5317",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example"}, ""),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            "",
        ),
    ],
)
def test_the_collector_is_the_services_own(environment: dict[str, str], collector: str) -> None:
    assert proxy.collector_of(environment) == collector


def test_without_envoy_there_is_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "executable", lambda: "")
    with pytest.raises(FileNotFoundError, match="no `envoy`"):
        proxy.command(tmp_path)
