"""The end of a turn's call."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc

_SECONDS = 1.0


async def ended(call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
    """Waits until the stage closes a call whose output is complete.

    Cancelling it instead would make a success a cancellation in the stage's and the proxy's logs
    and counts. A stage that does not close it in a second is not waited for, and how it ends is
    of no interest any more.
    """
    with suppress(TimeoutError, grpc.aio.AioRpcError):
        async with asyncio.timeout(_SECONDS):
            async for _ in call:
                pass
