"""The whole stack as real processes with the real default models, once for all tests here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from stagewire_cli.stack import Ports, services
from stagewire_cli.supervisor import Supervisor
from support.livekit import LiveKitServer, any_server
from support.motion_server import MotionServer
from support.processes import Service, free_port
from support.stack import Stack


@pytest.fixture(scope="session")
def livekit() -> Iterator[LiveKitServer | None]:
    """The LiveKit server of the stack's rooms; the other tests need none."""
    with any_server() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, livekit: LiveKitServer | None
) -> AsyncIterator[Stack]:
    ports = Ports.free()
    logs = tmp_path_factory.mktemp("logs")
    mirror = f"127.0.0.1:{free_port()}"
    avatars = logs / "avatars.yaml"
    profiles = Path(__file__).with_name("avatars.yaml").read_text()
    avatars.write_text(profiles.replace("MIRROR", mirror))
    environment = {"STAGEWIRE_ORCHESTRATOR_AVATARS": str(avatars)}
    if livekit is not None:
        key, secret = livekit.keys
        environment |= {
            "LIVEKIT_URL": livekit.url,
            "LIVEKIT_API_KEY": key,
            "LIVEKIT_API_SECRET": secret,
        }
    stack = services(ports, extra={"orchestrator": environment})
    async with Supervisor(stack, logs) as supervisor:
        yield Stack(supervisor, ports, mirror, livekit)


@pytest.fixture(scope="module")
def motion_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotionServer]:
    server = MotionServer(tmp_path_factory.mktemp("motion") / "server.log")
    yield server
    server.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bridge(stack: Stack, motion_server: MotionServer) -> AsyncIterator[Service]:
    """The motion_bridge of the avatar ``mirror``; three variables make it one of Spatius'."""
    assert stack.mirror, "the profile says where it is"
    host, _, port = stack.mirror.partition(":")
    service = Service(
        "stagewire_motion_bridge",
        "STAGEWIRE_MOTION_BRIDGE_",
        {**motion_server.environment, "STAGEWIRE_MOTION_BRIDGE_PORT": port},
    )
    service.address = f"{host}:{port}"
    await asyncio.to_thread(service.wait_ready)
    yield service
    await asyncio.to_thread(service.stop)
