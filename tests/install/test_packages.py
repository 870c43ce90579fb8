"""Each service by itself: its Dockerfile's install command in a fresh environment, then serving.

No image is built; what stands in the Dockerfile is run as it stands there, except for the folder
that COPY would have filled.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from stagewire.common.v1 import describe_pb2, describe_pb2_grpc
from support.processes import free_port, health

ROOT = Path(__file__).parents[2]
STAGES = ("asr", "llm", "tts", "motion_bridge", "egress", "orchestrator")
PACKAGES = sorted(
    str(path.parent.relative_to(ROOT))
    for pattern in ("protos", "cli", "motion/*", "services/*")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
# The smallest model of a stage will do: what is tested is that its package is complete.
SMALL = {"STAGEWIRE_LLM_LLAMACPP_MODEL": "smollm2-135m", "STAGEWIRE_ASR_WHISPER_PARTIAL_MODEL": ""}


@dataclass(frozen=True)
class Dockerfile:
    """What a service's Dockerfile says."""

    copied: dict[str, str]
    install: list[str]
    environment: dict[str, str]
    ports: list[int]
    user: str
    command: list[str]

    @classmethod
    def of(cls, stage: str) -> "Dockerfile":
        return cls.at(ROOT / "services" / stage / "Dockerfile")

    @classmethod
    def at(cls, path: Path) -> "Dockerfile":
        text = path.read_text().replace("\\\n", " ")
        lines = [line.partition(" ") for line in text.splitlines() if line and line[0] != "#"]
        said: dict[str, list[str]] = {}
        for instruction, _, rest in lines:
            said.setdefault(instruction, []).append(rest.strip())
        copies = [rest.split() for rest in said["COPY"]]
        steps = [step for rest in said["RUN"] for step in rest.split("&&") if "pip install" in step]
        assert len(steps) == 1, "one install command, and one only"
        return cls(
            copied={target: source for source, target in copies},
            install=shlex.split(steps[0]),
            environment=dict(
                pair.split("=", 1) for rest in said.get("ENV", []) for pair in shlex.split(rest)
            ),
            ports=[int(port) for rest in said["EXPOSE"] for port in rest.split()],
            user=said["USER"][-1],
            command=json.loads(said["CMD"][-1]),
        )

    def install_here(self, python: Path) -> list[str]:
        """The install command with COPY's targets replaced by the folders that they come from."""
        assert self.install[:2] == ["pip", "install"]
        return [str(python), "-m", "pip", *(self._here(word) for word in self.install[1:])]

    def _here(self, word: str) -> str:
        path, bracket, extras = word.partition("[")
        for target, source in self.copied.items():
            if os.path.normpath(path) == os.path.normpath(target):
                return f"{ROOT / source}{bracket}{extras}"
        return word


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_in_a_dockerfile_exists(stage: str) -> None:
    dockerfile = Dockerfile.of(stage)
    for source in dockerfile.copied.values():
        assert (ROOT / source).exists(), source
    here = dockerfile.install_here(Path("python"))
    packages = [Path(word.partition("[")[0]) for word in here if word.startswith("/")]
    installed = {str(path.relative_to(ROOT)) for path in packages}
    others = {path for path in installed if not path.startswith("motion/")}
    assert others == {"protos", "services/stagekit", f"services/{stage}"}
    assert all((path / "pyproject.toml").is_file() for path in packages)
    assert dockerfile.command == ["python", "-m", f"stagewire_{stage}"]
    assert (ROOT / f"services/{stage}/src/stagewire_{stage}/__main__.py").is_file()
    assert dockerfile.environment[f"STAGEWIRE_{stage.upper()}_HOST"] == "0.0.0.0"
    assert dockerfile.ports
    assert dockerfile.user not in ("root", "0")


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_the_package_and_no_tests(package: str, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", tmp_path, ROOT / package], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    modules = {name.parts[0] for name in names if not name.parts[0].endswith(".dist-info")}
    assert len(modules) == 1, modules
    assert not [name for name in names if "tests" in name.parts or name.name.startswith("test_")]
    assert any(name.name == "py.typed" for name in names)


@pytest.fixture(params=STAGES)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A stage, and the Python of a fresh environment in which only that stage is installed."""
    stage = str(request.param)
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    command = Dockerfile.of(stage).install_here(python)
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, f"{shlex.join(command)}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    return stage, python


@pytest.fixture
def serving(
    installed: tuple[str, Path], tmp_path: Path
) -> Iterator[tuple[str, str, "subprocess.Popen[bytes]"]]:
    """A stage, its address, and its process, started as its Dockerfile starts it."""
    stage, python = installed
    port = free_port()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    environment |= SMALL | {
        f"STAGEWIRE_{stage.upper()}_PORT": str(port),
        "STAGEWIRE_EGRESS_WEBSOCKET_PORT": str(free_port()),
        "STAGEWIRE_ORCHESTRATOR_HTTP_PORT": str(free_port()),
    }
    command = Dockerfile.of(stage).command
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, *command[1:]], env=environment, cwd=tmp_path, stdout=log, stderr=log
        )
    address = f"127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while health(address) != "SERVING":
            told = (tmp_path / "log").read_text()
            assert process.poll() is None, f"{stage} ended ({process.returncode}):\n{told}"
            assert time.monotonic() < deadline, f"{stage} does not serve:\n{told}"
            time.sleep(0.2)
        yield stage, address, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.models
def test_a_service_alone_serves_and_stops(
    serving: tuple[str, str, "subprocess.Popen[bytes]"],
) -> None:
    stage, address, process = serving
    contract = f"stagewire.{stage}.v1"
    with grpc.insecure_channel(address) as channel:
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (answer,) = stub.ServerReflectionInfo(iter([listing]), timeout=5)
        names = {service.name for service in answer.list_services_response.service}
        described = describe_pb2_grpc.StageServiceStub(channel).Describe(
            describe_pb2.DescribeRequest(), timeout=5
        )
    assert {"grpc.health.v1.Health", "stagewire.common.v1.StageService"} < names
    own = [name for name in names if name.startswith(f"{contract}.")]
    assert own, names
    assert all(health(address, name) == "SERVING" for name in own)
    assert described.description.stage == stage
    assert contract in described.description.contracts
    assert described.description.version
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


@pytest.mark.slow
@pytest.mark.models
def test_the_motion_server_alone_listens_and_stops(tmp_path: Path) -> None:
    dockerfile = Dockerfile.at(ROOT / "motion" / "server" / "Dockerfile")
    assert dockerfile.user not in ("root", "0")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = dockerfile.install_here(python)
    ran = subprocess.run(install, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, f"{shlex.join(install)}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    command = [python, *dockerfile.command[1:], "--port", "0", "--admin-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Motion Server listens on 127.0.0.1:")
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()
