"""The server side of a bidirectional stream: open first, then commands; answers by an outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from stagewire.common.v1 import audio_pb2, error_pb2

from stagekit.errors import StageError
from stagekit.outbox import Outbox

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")

OPEN_TIMEOUT_SECONDS = 10.0
MAX_AUDIO_BYTES = 1 << 20
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8_000, 48_000
_MAX_ID = 128


class Commands(Generic[Request]):
    """The requests of one stream, checked: ``open`` first and once, every message with one arm.

    Every request type of the contract is a oneof named ``message`` with an arm ``open``.
    """

    def __init__(self, requests: AsyncIterator[Request]) -> None:
        """Wraps the request iterator of a servicer method."""
        self._requests = requests

    async def open(self, timeout: float = OPEN_TIMEOUT_SECONDS) -> Any:
        """Returns the ``open`` message.

        Raises:
            StageError: NOT_OPEN, or TIMEOUT after ``timeout`` seconds without a message.
        """
        try:
            async with asyncio.timeout(timeout):
                first = await anext(self._requests, None)
        except TimeoutError:
            raise StageError(
                error_pb2.ERROR_REASON_TIMEOUT, f"no `open` message within {timeout:g} s"
            ) from None
        arm = first.WhichOneof("message") if first is not None else None
        if first is None or arm != "open":
            raise StageError(
                error_pb2.ERROR_REASON_NOT_OPEN,
                f"the first message must be `open`, got {f'`{arm}`' if arm else 'none'}",
            )
        opening = getattr(first, "open")  # noqa: B009  # Request is any message with this arm
        check_id("session_id", opening.session_id)
        return opening

    async def __aiter__(self) -> AsyncIterator[tuple[str, Any]]:
        """Yields (arm, message) for every request after ``open``.

        Raises:
            StageError: ALREADY_OPEN or UNKNOWN_COMMAND.
        """
        async for request in self._requests:
            arm = request.WhichOneof("message")
            if arm is None:
                raise StageError(
                    error_pb2.ERROR_REASON_UNKNOWN_COMMAND,
                    "a message has no arm set, or one that this version does not know",
                )
            if arm == "open":
                raise StageError(error_pb2.ERROR_REASON_ALREADY_OPEN, "a second `open` message")
            yield arm, getattr(request, arm)


async def duplex(
    work: Coroutine[Any, Any, None], outbox: Outbox[Response]
) -> AsyncIterator[Response]:
    """Runs ``work`` beside the sending of what it puts into ``outbox``.

    The stream ends when ``work`` does: after the queue is empty, or with the error it raised. When
    the RPC is cancelled, so is ``work``.
    """

    async def run() -> None:
        try:
            await work
        finally:
            await outbox.close()

    # A bare task, because a TaskGroup must not span the yields of a generator; it ends below.
    task = asyncio.create_task(run())
    try:
        async for message in outbox:
            yield message
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises its first error bare, so that a StageError keeps its own status."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


def check_id(field: str, value: str) -> None:
    """Refuses an id that is empty or longer than 128 characters."""
    if not 1 <= len(value) <= _MAX_ID:
        raise StageError(
            error_pb2.ERROR_REASON_INVALID_FIELD,
            f"{field} has {len(value)} characters; 1 to {_MAX_ID} are allowed",
        )


def check_format(audio_format: audio_pb2.AudioFormat) -> None:
    """Refuses anything but PCM_S16LE at 8 to 48 kHz."""
    if audio_format.encoding != audio_pb2.AUDIO_ENCODING_PCM_S16LE:
        raise StageError(
            error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT,
            f"audio encoding {audio_format.encoding} is not PCM_S16LE",
        )
    if not MIN_SAMPLE_RATE <= audio_format.sample_rate_hertz <= MAX_SAMPLE_RATE:
        raise StageError(
            error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT,
            f"sample rate {audio_format.sample_rate_hertz} Hz is not between "
            f"{MIN_SAMPLE_RATE} and {MAX_SAMPLE_RATE}",
        )


class AudioTrack:
    """Checks that audio messages are whole samples and continue each other.

    Args:
        next_sample: Where the first message must start; None accepts any start.
    """

    def __init__(self, next_sample: int | None = 0) -> None:
        """Begins a track."""
        self.next_sample = next_sample

    def accept(self, audio: audio_pb2.Audio) -> None:
        """Takes the next message.

        Raises:
            StageError: MALFORMED_AUDIO, MESSAGE_TOO_LARGE or DISCONTINUITY.
        """
        size = len(audio.data)
        if size == 0 or size % 2:
            raise StageError(
                error_pb2.ERROR_REASON_MALFORMED_AUDIO,
                f"audio of {size} bytes is not a positive number of 16-bit samples",
            )
        if size > MAX_AUDIO_BYTES:
            raise StageError(
                error_pb2.ERROR_REASON_MESSAGE_TOO_LARGE,
                f"audio of {size} bytes; at most {MAX_AUDIO_BYTES} are taken in one message",
            )
        expected = audio.start_sample if self.next_sample is None else self.next_sample
        if audio.start_sample != expected or audio.start_sample < 0:
            raise StageError(
                error_pb2.ERROR_REASON_DISCONTINUITY,
                f"audio starts at sample {audio.start_sample}; expected {expected}",
            )
        self.next_sample = audio.start_sample + size // 2


class _TurnMessage(Protocol):
    @property
    def turn(self) -> int: ...


class TurnFence:
    """Numbers only grow, so one comparison keeps an old turn's messages out."""

    def __init__(self) -> None:
        """No turn yet."""
        self.current = 0
        self._open = False

    def start(self, turn: int) -> int | None:
        """Begins a turn; returns the turn that it supersedes, if one is still open.

        Raises:
            StageError: INVALID_FIELD when the number does not grow.
        """
        if turn <= self.current:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"turn {turn} does not follow turn {self.current}: numbers only grow",
            )
        superseded = self.current if self._open else None
        self.current, self._open = turn, True
        return superseded

    def admits(self, message: _TurnMessage) -> bool:
        """Whether the message belongs to the open turn; an older or ended turn's is dropped.

        Raises:
            StageError: INVALID_FIELD for a turn that was never started.
        """
        if message.turn > self.current or message.turn == 0:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD, f"turn {message.turn} was not started"
            )
        return self._open and message.turn == self.current

    def end(self, turn: int) -> bool:
        """Ends a turn; False when it is not the open one (it has ended already)."""
        if not self._open or turn != self.current:
            return False
        self._open = False
        return True


async def on_event(event: asyncio.Event, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Waits for ``event`` (a drain), then runs ``action`` once."""
    await event.wait()
    await action()
