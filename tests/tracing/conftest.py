"""Six real services as processes, scripted backends behind them, a sink for what they export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from stagekit.audio import Samples
from stagewire_cli import proxy
from stagewire_cli.conversation import Question
from stagewire_cli.stack import STAGES, Ports, services
from stagewire_cli.supervisor import Supervisor
from support.otlp import Sink, sink
from support.scripted_backends import environment
from support.stack import Stack

SECRET = "sk-a-secret-of-the-test-0815"
HEARD = "the zebra crossed quietly"


@pytest.fixture
def collector() -> Iterator[Sink]:
    """A sink for one test."""
    with sink() as running:
        yield running


@dataclass
class Traced:
    """A running stack, and what it exports."""

    stack: Stack
    sink: Sink


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    """One stack with one sink, for all tests that do no harm to them."""
    with sink() as collector:
        async with running(tmp_path_factory.mktemp("traced"), **exporting(collector)) as stack:
            yield Traced(stack, collector)


@asynccontextmanager
async def running(folder: Path, collector: str = "", **more: str) -> AsyncIterator[Stack]:
    """A stack, with further variables for every service.

    Args:
        folder: For its files; new.
        collector: Where Envoy, in front of the stages, exports to; empty: there is no Envoy.
        more: The variables.
    """
    ports = Ports.free()
    avatars = {"STAGEWIRE_ORCHESTRATOR_AVATARS": str(Path(__file__).with_name("avatars.yaml"))}
    told = {**environment(folder / "backends", HEARD), **avatars, **more}
    extra = dict.fromkeys(STAGES, told)
    stack = services(ports, extra=extra, user={}, envoy=bool(collector))
    if collector:
        stack.insert(0, proxy.service(ports, folder / "envoy", user={}, collector=collector))
    async with Supervisor(stack, folder / "logs") as supervisor:
        public = ports.public if collector else ports.orchestrator_http
        yield Stack(supervisor, replace(ports, orchestrator_http=public))


def exporting(to: Sink) -> dict[str, str]:
    """The variables with which a service exports there, soon."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": to.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }


def noise(*pauses: float) -> Question:
    """Bursts that the scripted asr hears as speech, with pauses (seconds) between and after."""
    parts: list[Samples] = []
    for pause in (*pauses, 0.5):
        burst = np.random.default_rng(1).normal(0, 0.2, 9_600)
        parts += [burst.astype(np.float32), np.zeros(int(16_000 * pause), np.float32)]
    return Question("noise", samples=np.concatenate(parts))
