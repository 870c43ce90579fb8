import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from stagekit.testing import channel_to

ECHO = Path(__file__).with_name("echo_service.py")


@pytest.fixture(scope="session")
def echo() -> SimpleNamespace:
    """The module of the fake service; tests directories are no packages to import from."""
    return SimpleNamespace(path=ECHO, **runpy.run_path(str(ECHO)))


@pytest.fixture
async def channel(echo: SimpleNamespace) -> AsyncIterator[grpc.aio.Channel]:
    """To the fake service with room for two sessions, in this process."""
    stage = await echo.build(echo.EchoSettings(max_sessions=2))
    async with channel_to(stage) as channel:
        yield channel
