"""For unit tests of a service: a real server and a real channel on loopback, in one line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc

from stagekit.channel import connect
from stagekit.server import Stage, serving

Message = TypeVar("Message")


@asynccontextmanager
async def channel_to(stage: Stage) -> AsyncIterator[grpc.aio.Channel]:
    """Serves ``stage`` on a free port of 127.0.0.1 and yields a channel to it."""
    async with serving(stage) as port, connect(f"127.0.0.1:{port}") as channel:
        yield channel


async def stream_of(messages: Iterable[Message]) -> AsyncIterator[Message]:
    """An async iterator over ``messages``, for a request stream known in advance."""
    for message in messages:
        yield message
