"""The whole stack as real processes with the real default models, once for all tests here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from stagewire_cli.stack import Ports, services
from stagewire_cli.supervisor import Supervisor
from support.processes import free_port
from support.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    ports = Ports.free()
    logs = tmp_path_factory.mktemp("logs")
    mirror = f"127.0.0.1:{free_port()}"
    avatars = logs / "avatars.yaml"
    profiles = Path(__file__).with_name("avatars.yaml").read_text()
    avatars.write_text(profiles.replace("MIRROR", mirror))
    extra = {"orchestrator": {"STAGEWIRE_ORCHESTRATOR_AVATARS": str(avatars)}}
    async with Supervisor(services(ports, extra=extra), logs) as supervisor:
        yield Stack(supervisor, ports, mirror)
