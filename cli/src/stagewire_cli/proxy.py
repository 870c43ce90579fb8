"""Envoy on this machine: the files of ``deploy/envoy`` with the addresses of a stack here.

Nothing but addresses is changed. What a stack does not have is left out: the cluster of a stage
that runs elsewhere, and the routes to it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from stagewire_cli.stack import STAGES, Ports, Service, replaced

BOOTSTRAP, CLUSTERS = "envoy.yaml", "clusters.yaml"
STAGES_HEALTHY = "/stages"
"""On the stages' port: 200 when every stage has an instance that serves."""

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Addresses:
    """Where Envoy listens, and what is behind it; every address is ``host:port``.

    Attributes:
        public: The port for everybody.
        stages: The port for the orchestrator and egress.
        admin: Envoy's own.
        instances: The weights of a cluster's instances, by their addresses, by the cluster's name.
        collector: Where spans go, OTLP over gRPC; empty: none are made.
        public_tls: The encrypted port; empty: none.
        certificates: The folder with its ``tls.crt`` and ``tls.key``.
    """

    public: str
    stages: str
    admin: str
    instances: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    collector: str = ""
    public_tls: str = ""
    certificates: Path | None = None


def executable() -> str:
    """The ``envoy`` beside this Python, or in PATH; empty when there is none."""
    beside = Path(sys.executable).with_name("envoy")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("envoy") or ""


def command(folder: Path) -> tuple[str, ...]:
    """Runs Envoy with what :func:`write` has written into ``folder``.

    Raises:
        FileNotFoundError: When there is no Envoy on this machine.
    """
    envoy = executable()
    if not envoy:
        raise FileNotFoundError("there is no `envoy` beside this Python or in PATH")
    log = ("--log-level", "warning", "--file-flush-interval-msec", "1000")
    config = ("-c", str(folder / BOOTSTRAP))
    return (envoy, *config, "--concurrency", "1", "--disable-hot-restart", *log)


def write(folder: Path, addresses: Addresses) -> None:
    """Writes Envoy's configuration into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_clusters(folder, addresses)
    _replace(folder / BOOTSTRAP, _bootstrap(folder, addresses))


def write_clusters(folder: Path, addresses: Addresses) -> None:
    """Replaces the clusters: a running Envoy takes the new ones, and running streams go on."""
    resources = [
        cluster
        for cluster in _template(CLUSTERS, addresses)["resources"]
        if cluster["name"] in _present(addresses)
    ]
    for cluster in resources:
        cluster["load_assignment"]["endpoints"] = [
            {
                "lb_endpoints": [
                    {"load_balancing_weight": weight, "endpoint": {"address": _socket(address)}}
                    for address, weight in _present(addresses)[cluster["name"]].items()
                ]
            }
        ]
    _replace(folder / CLUSTERS, {"resources": resources})


def _bootstrap(folder: Path, addresses: Addresses) -> dict[str, Any]:
    config: dict[str, Any] = _template(BOOTSTRAP, addresses)
    config["admin"]["address"] = _socket(addresses.admin)
    config["dynamic_resources"]["cds_config"]["path_config_source"] = {
        "path": str(folder / CLUSTERS),
        "watched_directory": {"path": str(folder)},
    }
    for listener in config["static_resources"]["listeners"]:
        listener["address"] = _socket(getattr(addresses, listener["name"]))
        for chain in listener["filter_chains"]:
            _leave_out_absent(chain["filters"][0]["typed_config"], addresses)
            if "transport_socket" in chain:
                _certify(chain["transport_socket"]["typed_config"], addresses)
    return config


def _leave_out_absent(connections: dict[str, Any], addresses: Addresses) -> None:
    """Takes routes and health conditions away that are about clusters which are not there."""
    for host in connections["route_config"]["virtual_hosts"]:
        host["routes"] = [
            route
            for route in host["routes"]
            if "route" not in route or route["route"]["cluster"] in _present(addresses)
        ]
    for http_filter in connections["http_filters"]:
        needed = http_filter["typed_config"].get("cluster_min_healthy_percentages", {})
        for cluster in set(needed) - set(_present(addresses)):
            del needed[cluster]


def _certify(tls: dict[str, Any], addresses: Addresses) -> None:
    assert addresses.certificates is not None, "a TLS port needs a certificate"
    folder = addresses.certificates
    tls["common_tls_context"]["tls_certificates"] = [
        {
            "certificate_chain": {"filename": str(folder / "tls.crt")},
            "private_key": {"filename": str(folder / "tls.key")},
            "watched_directory": {"path": str(folder)},
        }
    ]


def _template(name: str, addresses: Addresses) -> Any:
    """The file as it is deployed, with the parts switched on that the addresses ask for."""
    text = files("stagewire_cli").joinpath("data", name).read_text("utf-8")
    for mark, wanted in (("#tls ", addresses.public_tls), ("#otlp ", addresses.collector)):
        if wanted:
            text = "\n".join(line.removeprefix(mark) for line in text.splitlines())
    return yaml.safe_load(text)


def _present(addresses: Addresses) -> Mapping[str, Mapping[str, int]]:
    collector = {"otel_collector": {addresses.collector: 1}} if addresses.collector else {}
    return {**addresses.instances, **collector}


def _socket(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def _replace(path: Path, content: object) -> None:
    """Moves the new file over the old one: only of that Envoy takes notice."""
    new = path.with_suffix(".new")
    new.write_text(yaml.safe_dump(content, sort_keys=False, width=120), "utf-8")
    new.replace(path)


def service(
    ports: Ports, folder: Path, *, user: Mapping[str, str] = os.environ, collector: str = ""
) -> Service:
    """Envoy in front of :func:`stagewire_cli.stack.services`; writes its configuration.

    Args:
        ports: Where the stack listens.
        folder: Where the configuration goes.
        user: What the user has set; a stage that runs elsewhere is called there, not through Envoy.
        collector: Where spans go, OTLP over gRPC, ``host:port``; empty: none are made.

    Raises:
        FileNotFoundError: When there is no Envoy on this machine.
    """
    clusters = {stage: getattr(ports, stage) for stage in STAGES if stage not in replaced(user)}
    clusters["orchestrator_http"] = ports.orchestrator_http
    if "egress" in clusters:
        clusters["egress_websocket"] = ports.egress_websocket
    addresses = Addresses(
        public=f"{_LOOPBACK}:{ports.public}",
        stages=f"{_LOOPBACK}:{ports.envoy_stages}",
        admin=f"{_LOOPBACK}:{ports.envoy_admin}",
        instances={name: {f"{_LOOPBACK}:{port}": 1} for name, port in clusters.items()},
        collector=collector,
    )
    write(folder, addresses)
    own = {name: getattr(ports, name) for name in ("public", "envoy_stages", "envoy_admin")}
    return Service(
        name="envoy",
        command=command(folder),
        port=ports.envoy_stages,
        other_ports=(ports.public, ports.envoy_admin),
        # Envoy reads none of them; they tell which variable chooses another port.
        environment={f"STAGEWIRE_{name.upper()}_PORT": str(port) for name, port in own.items()},
        ready_path=STAGES_HEALTHY,
    )


def collector_of(environment: Mapping[str, str]) -> str:
    """Where the services' OTLP settings send spans, if over gRPC: ``host:port``; else empty."""
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT", ""
    )
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"
    )
    url = urlsplit(endpoint)
    plain = url.scheme == "http" and url.port and protocol == "grpc"
    return f"{url.hostname}:{url.port}" if plain else ""
