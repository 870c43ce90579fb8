"""The calls of one turn: the answer from llm, its voice from tts.

A call that breaks before its first output is made again, for a while: a stage that restarts costs
a pause, not the conversation. After the first output there is no second try, since the user may
have heard it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
from stagekit.errors import StageError, from_rpc_error
from stagewire.common.v1 import audio_pb2, error_pb2
from stagewire.llm.v1 import llm_pb2
from stagewire.tts.v1 import tts_pb2

from stagewire_orchestrator import events as e
from stagewire_orchestrator.links import first_error

logger = logging.getLogger(__name__)

Post = Callable[[e.Event], Awaitable[None]]
_LlmCall = grpc.aio.StreamStreamCall[llm_pb2.GenerateRequest, llm_pb2.GenerateResponse]
_TtsCall = grpc.aio.StreamStreamCall[tts_pb2.SynthesizeRequest, tts_pb2.SynthesizeResponse]

RETRY_SECONDS = 20.0
"""How long a call without output is tried again. Between the tries, and for a stage that is not
there, gRPC waits for the connection; the machine's answer_timeout ends it all."""
TURN_SECONDS = 120.0
"""The deadline of one call."""
_PAUSE = 0.2
_RETRIED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,  # a killed backend behind a proxy, RST_STREAM
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


async def generate(
    method: Callable[..., _LlmCall],
    opening: llm_pb2.Open,
    metadata: tuple[tuple[str, str], ...],
    post: Post,
) -> None:
    """Runs Generate for one turn and posts LlmDelta, then LlmDone or StageFailed."""
    turn = opening.turn
    spoke = False

    async def once() -> None:
        nonlocal spoke
        call = method(metadata=metadata, timeout=TURN_SECONDS, wait_for_ready=True)
        try:
            await call.write(llm_pb2.GenerateRequest(open=opening))
            await call.done_writing()
            async for response in call:
                if response.WhichOneof("message") == "delta":
                    spoke = True
                    await post(e.LlmDelta(turn, response.delta.text))
                elif response.WhichOneof("message") == "done":
                    await post(e.LlmDone(turn))
                    return
            raise StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "the answer has no end")
        finally:
            call.cancel()

    await _with_retries("llm", turn, once, lambda: spoke, post)


class Script:
    """A turn's text on its way to tts: grows while the answer is generated, can be read again."""

    def __init__(self) -> None:
        """No text yet."""
        self._clauses: list[str] = []
        self._finished = False
        self._news = asyncio.Event()

    def add(self, clause: str) -> None:
        """Adds a clause."""
        self._clauses.append(clause)
        self._news.set()

    def finish(self) -> None:
        """No more text follows."""
        self._finished = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yields every clause from the first, as they come, to the end. One reader at a time."""
        position = 0
        while True:
            while position < len(self._clauses):
                position += 1
                yield self._clauses[position - 1]
            if self._finished:
                return
            self._news.clear()
            await self._news.wait()


async def synthesize(
    method: Callable[..., _TtsCall],
    opening: tts_pb2.Open,
    script: Script,
    metadata: tuple[tuple[str, str], ...],
    post: Post,
    room_for_audio: Callable[[], Awaitable[None]],
) -> None:
    """Runs Synthesize for one turn and posts what it makes, then TtsDone or StageFailed.

    Args:
        method: The stub's method.
        opening: The turn's ``open``; its format is the session's, which ``ready`` must confirm.
        script: The text.
        metadata: Goes with the call.
        post: Takes events.
        room_for_audio: Waits while enough voice is ahead of playback.
    """
    turn = opening.turn
    spoke = False

    async def write(call: _TtsCall) -> None:
        try:
            await call.write(tts_pb2.SynthesizeRequest(open=opening))
            async for clause in script:
                await call.write(tts_pb2.SynthesizeRequest(text=tts_pb2.Text(text=clause)))
            await call.done_writing()
        except asyncio.InvalidStateError:
            pass  # the call has ended; the reader meets the same end, with its status

    async def read(call: _TtsCall) -> None:
        nonlocal spoke
        async for response in call:
            match response.WhichOneof("message"):
                case "ready":
                    _check_format(response.ready.format, opening.format)
                case "words":
                    await post(e.TtsWords(turn, response.words.words))
                case "phonemes":
                    spoken = response.phonemes
                    await post(e.TtsPhonemes(turn, spoken.alphabet, spoken.phonemes))
                case "audio":
                    spoke = True
                    audio = response.audio
                    await post(e.TtsAudio(turn, audio.data, audio.start_sample))
                    await room_for_audio()
                case "done":
                    await post(e.TtsDone(turn))
                    return
        raise StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "the voice has no end")

    async def once() -> None:
        call = method(metadata=metadata, timeout=TURN_SECONDS, wait_for_ready=True)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(write(call))
                await read(call)
                writer.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            call.cancel()

    await _with_retries("tts", turn, once, lambda: spoke, post)


def _check_format(got: audio_pb2.AudioFormat, expected: audio_pb2.AudioFormat) -> None:
    if got != expected:
        raise StageError(
            error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT,
            f"tts answers in {got.sample_rate_hertz} Hz, the session speaks in "
            f"{expected.sample_rate_hertz} Hz",
        )


async def _with_retries(
    stage: str,
    turn: int,
    once: Callable[[], Awaitable[None]],
    spoke: Callable[[], bool],
    post: Post,
) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + RETRY_SECONDS
    while True:
        try:
            await once()
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
