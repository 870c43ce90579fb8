"""docs/deploying.md says what is so: its commands run, as far as they can without a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from stagewire_cli.stack import STAGES
from stagewire_orchestrator.stages.retry import RETRY_SECONDS
from support.behind_envoy import Behind, answered, until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploying.md").read_text("utf-8")
CONTAINERS = [stage.replace("_", "-") for stage in STAGES]
DEPLOY = ROOT / "deploy"
ENVOY = DEPLOY / "envoy"


def commands(chapter: str) -> str:
    """The one block of commands of a chapter."""
    text = PAGE.split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return str(block)


def run(script: str, folder: Path) -> str:
    ran = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("tls"))
    return tmp_path


def listeners(checkout: Path) -> dict[str, int]:
    config = yaml.safe_load((checkout / "deploy" / "envoy" / "envoy.yaml").read_text())
    return {
        one["name"]: one["address"]["socket_address"]["port_value"]
        for one in config["static_resources"]["listeners"]
    }


def test_tls_is_switched_on_by_the_commands(checkout: Path) -> None:
    assert listeners(checkout) == {"public": 8080, "stages": 50060}
    run(commands("TLS"), checkout)
    assert listeners(checkout) == {"public": 8080, "public_tls": 8443, "stages": 50060}
    assert (checkout / "deploy" / "envoy" / "tls" / "tls.key").is_file()
    assert {f"| {port} |" in PAGE for port in listeners(checkout).values()} == {True}


def test_spans_are_switched_on_by_the_command(checkout: Path) -> None:
    switch = "OTEL_EXPORTER_OTLP_ENDPOINT"

    def read(path: str) -> Any:
        return yaml.safe_load((checkout / "deploy" / path).read_text())

    def composed() -> dict[str, str | None]:
        services = read("compose.yaml")["services"]
        return {name: services[name]["environment"].get(switch) for name in CONTAINERS}

    assert set(composed().values()) == {None}
    run(commands("Traces"), checkout)
    (collector,) = [
        x for x in read("envoy/clusters.yaml")["resources"] if x["name"] == "otel_collector"
    ]
    endpoint = collector["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    address = "{address}:{port_value}".format_map(endpoint["address"]["socket_address"])
    assert f"`{address}`" in PAGE
    assert set(composed().values()) == {f"http://{address}"}
    (shared,) = read("kubernetes/kustomization.yaml")["configMapGenerator"]
    assert f"{switch}=http://{address}" in shared["literals"]
    for name in CONTAINERS:
        (deployment, *_) = yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text())
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": shared["name"]}}]


@pytest.mark.asyncio(loop_scope="session")
async def test_what_to_watch_can_be_watched(behind: Behind, tmp_path: Path) -> None:
    async with behind.client() as (session, client):
        await answered(client)
    await until(
        lambda: [
            line
            for line in behind.access_log()
            if (line["stage"], line["session_id"]) == ("tts", session.session_id)
        ]
    )
    log = behind.folder / "logs" / "envoy.log"
    script = commands("What to watch")
    for told, here in (
        ("50060", str(behind.ports.envoy_stages)),
        ("9901", str(behind.ports.envoy_admin)),
        ("~/.local/state/stagewire/logs/envoy.log", str(log)),
    ):
        assert told in script
        script = script.replace(told, here)
    said = run(script, tmp_path)
    assert "tts::127.0.0.1" in said
    assert "cluster.tts.upstream_rq_retry: " in said
    assert re.search(r"^[0-9]{3,}$", said, re.MULTILINE), "lines for Prometheus"
    assert session.session_id in said or '"stage"' in said
    (count,) = [x for x in commands("A canary in three commands").splitlines() if "uniq" in x]
    counted = run(
        count.replace("kubectl logs deployment/envoy --since=10m", f"cat {log}"), tmp_path
    )
    assert re.search(r'\d+ "grpc_status":"(OK|Unknown)","instance":"127\.0\.0\.1:\d+"', counted)


def test_the_commands_name_what_there_is() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    for path in re.findall(r"-[fk] (deploy/\S+?)[`;)]?(?=\s|$|`)", PAGE):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"deployment/([a-z-]+)", PAGE):
        assert (ROOT / "deploy" / "kubernetes" / f"{name}.yaml").is_file()
    for name in re.findall(r"docker compose [^\n#]*?(?:--no-deps|up -d|stop) ([a-z-]+)", PAGE):
        assert name in compose
    assert compose["tts-canary"]["image"].startswith("${TTS_CANARY:-")


def test_its_numbers_are_the_configuration_s() -> None:
    clusters = (ENVOY / "clusters.yaml").read_text()
    bootstrap = (ENVOY / "envoy.yaml").read_text()
    for said, configured in (
        ("five calls in a row rests for 5 s", "consecutive_5xx: 5"),
        ("five calls in a row rests for 5 s", "base_ejection_time: 5s"),
        ("a\nfifth of all running calls", "budget_percent: { value: 20 }"),
        ("each second", "interval: 1s"),
        ("within 2 s", "dns_refresh_rate: 2s"),
        ("(20 s and 5 s)", "connection_keepalive: { interval: 20s, timeout: 5s }"),
        ("90 and 10", "load_balancing_weight: 90"),
    ):
        assert " ".join(said.split()) in " ".join(PAGE.split())
        assert configured in clusters
    assert "4 h 10 min" in PAGE
    assert f"idle_timeout: {4 * 3600 + 600}s" in bootstrap
    assert f"for {RETRY_SECONDS:g} s" in PAGE
