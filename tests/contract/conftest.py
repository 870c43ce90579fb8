"""Which stages are tested, where they are, and in which order.

``STAGEWIRE_CONFORMANCE_TARGET_TTS=host:port`` (ASR, LLM, MOTION_BRIDGE, EGRESS alike) names a
running server; when any is set, only the stages so named are tested. Otherwise the suite starts
each installed service by itself, one at a time.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import pytest
from contract import cases
from contract.probes import idle
from contract.stage import MAX_SESSIONS, Stage, Target
from contract.stages.asr import Asr
from contract.stages.egress import Egress
from contract.stages.llm import Llm
from contract.stages.motion_bridge import MotionBridge
from contract.stages.tts import Tts
from contract.wire import Call
from support.processes import Service

# The light ones first: they fail fastest.
STAGES: tuple[Stage, ...] = (Egress(), MotionBridge(), Tts(), Llm(), Asr())


def _given_address(stage: Stage) -> str:
    return os.environ.get(f"STAGEWIRE_CONFORMANCE_TARGET_{stage.name.upper()}", "")


def _chosen() -> list[Stage]:
    return [stage for stage in STAGES if _given_address(stage)] or list(STAGES)


def pytest_configure(config: pytest.Config) -> None:
    """Names the suite's own marks."""
    config.addinivalue_line("markers", "about(*stages): a test of these stages only")
    config.addinivalue_line("markers", "ends_the_process: runs as its stage's last test")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test for each stage that it is about, and for each refusal of that stage."""
    if "stage" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("about")
    stages = [stage for stage in _chosen() if mark is None or stage.name in mark.args]
    if "refusal" in metafunc.fixturenames:
        rows = [(stage, case) for stage in stages for case in cases.refusals(stage)]
        ids = [f"{stage.name}-{case.name}" for stage, case in rows]
        metafunc.parametrize(("stage", "refusal"), rows, ids=ids)
    else:
        metafunc.parametrize("stage", stages, ids=[stage.name for stage in stages])


def _stage_of(item: pytest.Item) -> object:
    return item.callspec.params.get("stage") if isinstance(item, pytest.Function) else None


def _order(item: pytest.Item) -> tuple[int, bool]:
    stage = _stage_of(item)
    place = STAGES.index(stage) if isinstance(stage, Stage) else -1
    return place, item.get_closest_marker("ends_the_process") is not None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stage by stage, so that one process runs at a time; what ends the process comes last."""
    folder = Path(__file__).parent
    here = [item for item in items if item.path.is_relative_to(folder)]
    others = [item for item in items if not item.path.is_relative_to(folder)]
    # A test about stages that were not chosen has none: pytest would report it as skipped.
    chosen = [item for item in here if isinstance(_stage_of(item), Stage)]
    items[:] = [*others, *sorted(chosen, key=_order)]


class _Targets:
    """The implementation under test now; changing the stage ends the process of the one before."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._target: Target | None = None

    def of(self, stage: Stage) -> Target:
        if self._stage is not stage or self._target is None:
            self.stop()
            self._target = self._start(stage)
            self._stage = stage
        return self._target

    def stop(self) -> None:
        if self._target is not None and self._target.process is not None:
            self._target.process.stop()
        self._target = None

    def _start(self, stage: Stage) -> Target:
        if address := _given_address(stage):
            return Target(address, None)
        prefix = f"STAGEWIRE_{stage.name.upper()}_"
        settings = {
            f"{prefix}MAX_SESSIONS": str(MAX_SESSIONS),
            f"{prefix}DRAIN_SECONDS": "30",
            **stage.settings,
        }
        service = Service(f"stagewire_{stage.name}", prefix, settings)
        service.wait_ready()
        return Target(service.address, service)


@pytest.fixture(scope="session")
def targets() -> Iterator[_Targets]:
    """Keeps a stage's process from test to test."""
    held = _Targets()
    yield held
    held.stop()


@pytest.fixture
def target(targets: _Targets, stage: Stage) -> Target:
    """The implementation of ``stage`` under test."""
    return targets.of(stage)


@pytest.fixture
async def channel(target: Target) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the target."""
    async with grpc.aio.insecure_channel(target.address) as opened:
        yield opened


@pytest.fixture
async def begin(channel: grpc.aio.Channel, stage: Stage) -> AsyncIterator[Callable[..., Call]]:
    """Begins calls to the stage; afterwards every place must become free again."""
    calls: list[Call] = []

    def begin_call(deadline: float = 60.0) -> Call:
        calls.append(Call(channel, stage.path, stage.response, deadline))
        return calls[-1]

    yield begin_call
    for call in calls:
        call.cancel()
    await idle(channel)
