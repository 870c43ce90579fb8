"""Making a turn's call again when it breaks.

A call that breaks before its first output is made again, for a while: a stage that restarts costs
a pause, not the conversation. After the first output there is no second try, since the user may
have heard it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable

import grpc
from stagekit.errors import StageError, from_rpc_error

from stagewire_orchestrator import events as e
from stagewire_orchestrator.stages.context import Post

logger = logging.getLogger(__name__)

RETRY_SECONDS = 20.0
"""How long a call without output is tried again. Between the tries, and for a stage that is not
there, gRPC waits for the connection; the machine's answer_timeout ends it all."""
TURN_SECONDS = 600.0
"""The deadline of one call, and so the longest voice: it is read no faster than it is played.
A call that hangs ends long before, by the machine's answer_timeout."""
_PAUSE = 0.2
_RETRIED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,  # a killed backend behind a proxy, RST_STREAM
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


async def with_retries(
    stage: str,
    turn: int,
    once: Callable[[int, float | None], Awaitable[None]],
    spoke: Callable[[], bool],
    post: Post,
) -> None:
    """Runs ``once`` until it succeeds; posts StageFailed when it is given up.

    Args:
        stage: For the error's text.
        turn: The turn.
        once: Makes the call; is told which try it is, and when it began (None for the first).
        spoke: Whether the call has put something out.
        post: Takes the StageFailed.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + RETRY_SECONDS
    began: float | None = None
    for attempt in itertools.count(1):
        try:
            await once(attempt, began)
            return
        except grpc.aio.AioRpcError as broken:
            error = from_rpc_error(broken)
        except StageError as broken:
            error = broken
        if spoke() or error.code not in _RETRIED or loop.time() >= give_up:
            failed = StageError(error.reason, f"{stage}: {error.message}", code=error.code)
            await post(e.StageFailed(turn, stage, failed.to_fault(turn)))
            return
        logger.info("turn %d: %s broke (%s); once more", turn, stage, error.message)
        await asyncio.sleep(_PAUSE)
        began = loop.time()
