"""Keeping a session-long stream to a stage alive, also across the stage's restarts."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message
from stagekit.errors import StageError, from_rpc_error
from stagekit.outbox import Outbox
from stagekit.tracing import Span
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.trace_pb2 import TraceContext

logger = logging.getLogger(__name__)

Request = TypeVar("Request", bound=Message)

READY_SECONDS = 10.0
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.1, 2.0
_OUTBOX_LIMIT = 2048
_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""A stage that refuses a new stream with one of these will refuse the next one, too."""


class Link(Generic[Request]):
    """One stage's stream for one session.

    Args:
        name: The stage, for logs and errors.
        method: The stub's bidirectional method.
        opening: Makes the request with ``open``, for each new stream, with its context.
        span: Begins the span of a stream's opening.
        on_message: Called with (arm, message) for every response after ``ready``.
        on_lost: Called when the stream broke, or was left for another instance (DRAINING).
        on_back: Called with ``ready`` when a new stream stands.
        accept: Asked with ``ready`` whether a stream will do; else the next is tried after a pause.
        keep: Media messages kept for the stage while it is away; the oldest go first.
        vital: Whether the session cannot go on when the stage refuses it for good.
    """

    def __init__(
        self,
        name: str,
        method: Callable[..., Any],
        opening: Callable[[TraceContext], Request],
        span: Callable[[], Span],
        *,
        on_message: Callable[[str, Any], Any],
        on_lost: Callable[[StageError], Any],
        on_back: Callable[[Any], Any],
        accept: Callable[[Any], bool] = lambda ready: True,
        keep: int = 0,
        vital: bool = True,
    ) -> None:
        """Nothing is connected yet."""
        self._name = name
        self._method = method
        self._opening = opening
        self._span = span
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_back = on_back
        self._accept = accept
        self._vital = vital
        self._kept: deque[Request] = deque(maxlen=keep)
        self._outbox: Outbox[Request] | None = None
        self._first_ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._leaving = False
        self._leave = asyncio.Event()
        self._finished = False

    async def send(self, request: Request) -> None:
        """Sends media; while the stage is away it is kept, as far as there is room, or dropped."""
        if self._outbox is not None:
            await self._outbox.put(request)
        else:
            self._kept.append(request)

    async def send_control(self, request: Request) -> None:
        """Sends a control message ahead of queued media; dropped while the stage is away."""
        if self._outbox is not None:
            await self._outbox.put_control(request)

    async def discard(self, unwanted: Callable[[Request], bool]) -> None:
        """Forgets queued media."""
        if self._outbox is not None:
            await self._outbox.discard(unwanted)

    def leave_if_told(self) -> None:
        """Moves to another instance if this one announced that it goes; call between turns."""
        if self._leaving:
            self._leave.set()

    async def finish(self) -> None:
        """Sends what is queued, then half-closes: ``run`` returns when the stage closes too."""
        self._finished = True
        if self._outbox is not None:
            await self._outbox.close()

    async def first_ready(self) -> Any:
        """The first ``ready``.

        Raises:
            StageError: What made the first stream impossible.
        """
        return await asyncio.shield(self._first_ready)

    async def run(self) -> None:
        """Keeps a stream open until cancelled; returns if the first fails, or after ``finish``.

        Raises:
            StageError: When a vital stage refuses a further stream for good.
        """
        backoff = _FIRST_BACKOFF
        while True:
            try:
                problem = await self._converse()
            except (StageError, grpc.aio.AioRpcError) as error:
                problem = _name_stage(self._name, error)
            if not self._first_ready.done():
                self._first_ready.set_exception(problem)
            if self._finished or self._first_ready.exception() is not None:
                return
            if self._outbox is None and problem.code in _FINAL:
                if self._vital:
                    raise problem
                logger.error("%s; given up for this session", problem.message)
                return
            if self._outbox is not None:
                self._outbox = None
                backoff = _FIRST_BACKOFF
                await self._on_lost(problem)
            if problem.reason != error_pb2.ERROR_REASON_DRAINING:
                logger.warning("%s; next try in %.1f s", problem.message, backoff)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _LONGEST_BACKOFF)

    async def _converse(self) -> StageError:
        """One stream from ``open`` to its end; returns when it was left on purpose."""
        with self._span() as span:
            call = self._method(metadata=span.metadata)
            try:
                ready = await self._open(call, span.context)
                if not self._accept(ready):
                    raise StageError(
                        error_pb2.ERROR_REASON_STAGE_UNREACHABLE, "another instance answered"
                    )
            except BaseException:
                call.cancel()
                raise
        try:
            outbox: Outbox[Request] = Outbox(_OUTBOX_LIMIT)
            for request in self._kept:
                await outbox.put(request)
            self._kept.clear()
            self._outbox, self._leaving = outbox, False
            self._leave.clear()
            if self._first_ready.done():
                await self._on_back(ready)
            else:
                self._first_ready.set_result(ready)
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(_write(call, outbox))
                reading = tasks.create_task(self._read(call))
                await self._leave.wait()
                writing.cancel()
                reading.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            call.cancel()
        return StageError(error_pb2.ERROR_REASON_DRAINING, f"{self._name}: moved on")

    async def _open(self, call: Any, trace: TraceContext) -> Any:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await call.write(self._opening(trace))
                first = await call.read()
        except TimeoutError:
            raise StageError(
                error_pb2.ERROR_REASON_TIMEOUT, f"no `ready` within {READY_SECONDS:g} s"
            ) from None
        except asyncio.InvalidStateError:  # it ended while `open` was sent: its status says why
            first = await call.read()
        if first is grpc.aio.EOF or first.WhichOneof("message") != "ready":
            raise StageError(
                error_pb2.ERROR_REASON_BACKEND_FAILED, "its first answer was not `ready`"
            )
        return first.ready

    async def _read(self, call: Any) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            arm = response.WhichOneof("message")
            if arm == "going_away":
                self._leaving = True
            if arm is not None:  # an arm that this version does not know is ignored
                await self._on_message(arm, getattr(response, arm))
        raise StageError(error_pb2.ERROR_REASON_STAGE_UNREACHABLE, "it closed the stream")


async def _write(call: Any, outbox: Outbox[Request]) -> None:
    try:
        async for request in outbox:
            await call.write(request)
        await call.done_writing()
    except asyncio.InvalidStateError:
        pass  # the call has ended; the reader meets the same end, with its status


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The stage's error in a task group's, or the whole group when it is about something else."""
    expected, others = group.split((StageError, grpc.aio.AioRpcError))
    return group if expected is None or others is not None else expected.exceptions[0]


def _name_stage(stage: str, error: StageError | grpc.aio.AioRpcError) -> StageError:
    if isinstance(error, grpc.aio.AioRpcError):
        error = from_rpc_error(error)
    message = f"{stage}: {error.message}"
    return StageError(error.reason, message, code=error.code, retry_after=error.retry_after)
