"""Real LiveKit server, egress process and client library; only the orchestrator is a fake."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from support.livekit import BINARY, LiveKitServer, OwnServer, any_server, own_server, required
from support.livekit_process import Stage, egress_process, stage_at
from support.processes import Service


@pytest.fixture(scope="session")
def server() -> Iterator[LiveKitServer]:
    """The server that the environment names, or one of our own."""
    with any_server() as found:
        yield required(found)


@pytest.fixture
def mortal_server() -> Iterator[OwnServer]:
    """A server of the test's own, which it may kill."""
    if not BINARY.exists():
        required(None)
    with own_server() as own:
        yield own


@pytest.fixture(scope="session")
def egress_service() -> Iterator[Service]:
    """One egress for all tests that share it: their rooms must not touch each other."""
    service = egress_process()
    yield service
    service.stop()


@pytest.fixture
async def stage(egress_service: Service, server: LiveKitServer) -> AsyncIterator[Stage]:
    async with stage_at(egress_service, server) as stage:
        yield stage


@pytest.fixture
def room() -> str:
    """A room that no other test uses."""
    return f"room-{secrets.token_hex(4)}"
