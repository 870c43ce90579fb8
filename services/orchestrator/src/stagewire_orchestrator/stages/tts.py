"""The tts stage: a call for each turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
from stagekit.errors import StageError, from_rpc_error
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.audio_pb2 import AudioFormat
from stagewire.tts.v1 import tts_pb2, tts_pb2_grpc

from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import Reported
from stagewire_orchestrator.stages.context import Context
from stagewire_orchestrator.stages.ending import ended
from stagewire_orchestrator.stages.link import first_error
from stagewire_orchestrator.stages.retry import TURN_SECONDS, with_retries

_TtsCall = grpc.aio.StreamStreamCall[tts_pb2.SynthesizeRequest, tts_pb2.SynthesizeResponse]


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


async def voice_format(context: Context, timeout: float) -> AudioFormat:
    """The format of the avatar's voice; asking for it also shows that stage and voice are there.

    Raises:
        StageError: What tts answered, or that it could not be reached.
    """
    avatar = context.avatar
    stub = tts_pb2_grpc.TtsServiceStub(context.channels.to(avatar, "tts"))
    with context.spans.call("tts", "open") as span:
        call = stub.Synthesize(metadata=span.metadata, timeout=timeout)
        opening = tts_pb2.Open(
            session_id=context.session_id,
            turn=1,
            voice=avatar.voice,
            language=context.locale,
            trace=span.context,
        )
        try:
            await call.write(tts_pb2.SynthesizeRequest(open=opening))
            first = await anext(aiter(call), None)
            await call.done_writing()
            await ended(call)
        except grpc.aio.AioRpcError as error:
            problem = from_rpc_error(error)
            raise StageError(problem.reason, f"tts: {problem.message}", code=problem.code) from None
        finally:
            call.cancel()
    if first is None:
        raise StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "tts: no `ready`")
    return first.ready.format


async def synthesize(
    context: Context,
    turn: int,
    voice: AudioFormat,
    script: Script,
    room_for_audio: Callable[[int], Awaitable[None]],
) -> None:
    """Speaks one turn: posts what tts makes, then TtsDone or StageFailed.

    Args:
        context: The session.
        turn: The turn.
        voice: The session's voice format, which ``ready`` must confirm.
        script: The text.
        room_for_audio: Waits while enough voice of the turn is ahead of playback.
    """
    avatar = context.avatar
    stub = tts_pb2_grpc.TtsServiceStub(context.channels.to(avatar, "tts"))
    opening = tts_pb2.Open(
        session_id=context.session_id,
        turn=turn,
        voice=avatar.voice,
        language=context.locale,
        format=voice,
        wants_words=True,
        wants_phonemes=True,
        speaking_rate_percent=avatar.speaking_rate_percent,
    )
    spoke = False

    async def write(call: _TtsCall) -> None:
        try:
            await call.write(tts_pb2.SynthesizeRequest(open=opening))
            async for clause in script:
                await call.write(tts_pb2.SynthesizeRequest(text=tts_pb2.Text(text=clause)))
            await call.done_writing()
        except asyncio.InvalidStateError:
            pass  # the call has ended; the reader meets the same end, with its status

    async def read(call: _TtsCall, retried: float | None) -> None:
        nonlocal spoke
        async for response in call:
            match response.WhichOneof("message"):
                case "ready":
                    _check_format(response.ready.format, voice)
                case "words":
                    spoke = True
                    await context.post(e.TtsWords(turn, response.words.words))
                case "phonemes":
                    spoke, spoken = True, response.phonemes
                    await context.post(e.TtsPhonemes(turn, spoken.alphabet, spoken.phonemes))
                case "audio":
                    spoke = True
                    audio, reported = response.audio, Reported.read(response.timing)
                    await context.post(
                        e.TtsAudio(turn, audio.data, audio.start_sample, reported, retried)
                    )
                    await room_for_audio(turn)
                case "done":
                    await context.post(e.TtsDone(turn))
                    await ended(call)
                    return
        raise StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "the voice has no end")

    async def once(attempt: int, retried: float | None) -> None:
        with context.spans.call("tts", "synthesize", turn, attempt) as span:
            opening.trace.CopyFrom(span.context)
            call = stub.Synthesize(
                metadata=span.metadata, timeout=TURN_SECONDS, wait_for_ready=True
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    writer = tasks.create_task(write(call))
                    await read(call, retried)
                    writer.cancel()
            except BaseExceptionGroup as group:
                raise first_error(group) from None
            finally:
                call.cancel()

    await with_retries("tts", turn, once, lambda: spoke, context.post)


def _check_format(got: AudioFormat, expected: AudioFormat) -> None:
    if got != expected:
        raise StageError(
            error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT,
            f"tts answers in {got.sample_rate_hertz} Hz, the session speaks in "
            f"{expected.sample_rate_hertz} Hz",
        )
