"""The files of deploy/envoy as they are: Envoy takes them, also with all of it switched on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from stagewire_cli import proxy
from support.certificates import self_made

DEPLOYED = Path(__file__).parents[2] / "deploy" / "envoy"


def switched_on(name: str, *marks: str) -> str:
    """A deployed file after the `sed` commands that its head names."""
    text = (DEPLOYED / name).read_text()
    for mark in marks:
        text = "\n".join(line.removeprefix(f"#{mark} ") for line in text.splitlines())
    return text


def validate(bootstrap: str, clusters: str, folder: Path) -> None:
    """Has Envoy read both: a bootstrap's dynamic clusters would not be validated with it."""
    for place in ("/etc/envoy", "/etc/stagewire"):
        bootstrap = bootstrap.replace(place, str(folder))
    whole = yaml.safe_load(bootstrap)
    resources = yaml.safe_load(clusters)["resources"]
    for resource in resources:
        del resource["@type"]
    whole["static_resources"]["clusters"] = resources
    del whole["dynamic_resources"]
    (folder / "whole.yaml").write_text(yaml.safe_dump(whole))
    for path in ("envoy.yaml", "whole.yaml"):
        (folder / "envoy.yaml").write_text(bootstrap)
        (folder / "clusters.yaml").write_text(clusters)
        command = [proxy.executable(), "--mode", "validate", "-l", "warning", "-c", folder / path]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert "deprecated" not in ran.stderr.lower(), ran.stderr


@pytest.fixture
def certificate(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    self_made(tmp_path / "tls")  # instead of /etc/stagewire/tls


@pytest.mark.usefixtures("certificate")
@pytest.mark.parametrize("marks", [(), ("tls",), ("otlp",), ("tls", "otlp")])
def test_envoy_takes_the_deployed_files(tmp_path: Path, marks: tuple[str, ...]) -> None:
    validate(switched_on("envoy.yaml", *marks), switched_on("clusters.yaml", *marks), tmp_path)
