"""The contract's side of the stage: checks what comes in, and serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from stagekit import attributes as a
from stagekit import backends, tracing
from stagekit.admission import Admission
from stagekit.errors import StageError
from stagekit.metrics import StageMetrics
from stagekit.outbox import Outbox
from stagekit.server import Stage
from stagekit.streams import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, Commands, check_format, duplex
from stagewire.common.v1 import audio_pb2, describe_pb2, error_pb2
from stagewire.tts.v1 import tts_pb2, tts_pb2_grpc

from stagewire_tts.backend import Backend
from stagewire_tts.settings import TtsSettings
from stagewire_tts.turn import MAX_TEXT, Order, Response, Turn

_QUEUE = 16
"""Messages that wait for the peer at most: about a second of audio. Then synthesis waits too."""
_RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)


class TtsServicer(tts_pb2_grpc.TtsServiceServicer):
    """Serves turns.

    Args:
        backend: Who speaks.
        admission: Counts the turns.
        workers: Threads in which the backend runs.
    """

    def __init__(self, backend: Backend, admission: Admission, workers: ThreadPoolExecutor) -> None:
        """Ready to serve."""
        self._backend, self._admission, self._workers = backend, admission, workers
        self._metrics = StageMetrics()

    async def Synthesize(
        self, request_iterator: AsyncIterator[tts_pb2.SynthesizeRequest], context: Any
    ) -> AsyncIterator[Response]:
        """Speaks one turn; see the contract.

        Raises:
            StageError: As the contract's error reasons say.
        """
        commands = Commands(request_iterator)
        opening: tts_pb2.Open = await commands.open()
        about: tracing.Attributes = {a.TURN: opening.turn, a.BACKEND: self._backend.name}
        metadata = context.invocation_metadata()
        session_id, trace = opening.session_id, opening.trace
        with tracing.continued("tts synthesize", session_id, trace, about, metadata) as span:
            order = self._order(opening)
            with self._admission.slot():
                outbox: Outbox[Response] = Outbox(_QUEUE)
                async for response in duplex(self._run(order, commands, outbox, span), outbox):
                    yield response
                    if response.HasField("done"):
                        span.end()  # it is sent: a caller that hangs up now has everything

    async def _run(
        self,
        order: Order,
        commands: Commands[tts_pb2.SynthesizeRequest],
        outbox: Outbox[Response],
        span: tracing.Span,
    ) -> None:
        await outbox.put(Response(ready=self._ready(order)))
        turn = Turn(order, self._backend, self._workers, outbox, span)
        try:
            async for arm, message in commands:
                if arm == "text":
                    await turn.speak(message.text)
                # `flush` needs no answer: nothing is ever held back.
        finally:
            turn.tell(self._metrics)
        await outbox.put(turn.done())

    def _order(self, opening: tts_pb2.Open) -> Order:
        backend = self._backend
        if opening.turn == 0:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD, "open.turn is 0; turns count from 1"
            )
        voice = opening.voice or backend.voices[0]
        if voice not in backend.voices:
            raise StageError(
                error_pb2.ERROR_REASON_UNKNOWN_VOICE,
                f"open.voice is not a voice of this stage; it has: {', '.join(backend.voices)}",
            )
        if opening.language and not _speaks(backend, opening.language):
            raise StageError(
                error_pb2.ERROR_REASON_UNSUPPORTED_LANGUAGE,
                f"open.language is not served; this stage speaks {', '.join(backend.languages)}",
            )
        percent = opening.speaking_rate_percent or 100
        if not 50 <= percent <= 200:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"open.speaking_rate_percent is {percent}; 50 to 200 are allowed, or 0 for 100",
            )
        sample_rate = backend.sample_rate
        if opening.HasField("format"):
            check_format(opening.format)
            sample_rate = opening.format.sample_rate_hertz
        return Order(
            voice=voice,
            rate=percent / 100,
            sample_rate=sample_rate,
            words=opening.wants_words,
            phonemes=opening.wants_phonemes,
        )

    def _ready(self, order: Order) -> tts_pb2.Ready:
        return tts_pb2.Ready(
            format=_pcm(order.sample_rate), voice=order.voice, features=self._backend.features
        )


def _speaks(backend: Backend, language: str) -> bool:
    """Whether some language served has the same primary subtag: "en" and "en-GB" get "en-US"."""
    wanted = language.replace("_", "-").split("-")[0].lower()
    return any(tag.split("-")[0].lower() == wanted for tag in backend.languages)


def _pcm(sample_rate: int) -> audio_pb2.AudioFormat:
    return audio_pb2.AudioFormat(
        encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=sample_rate
    )


def create_stage(backend: Backend, settings: TtsSettings) -> Stage:
    """The stage around a backend that is ready."""
    admission = Admission(settings.max_sessions)
    workers = ThreadPoolExecutor(settings.workers, thread_name_prefix="tts")
    servicer = TtsServicer(backend, admission, workers)

    async def close() -> None:
        await asyncio.to_thread(workers.shutdown, cancel_futures=True)

    rates = sorted({backend.sample_rate, *_RATES})
    description = describe_pb2.StageDescription(
        stage="tts",
        version=version("stagewire-tts"),
        contracts=["stagewire.tts.v1"],
        backend=backend.name,
        models=backend.models,
        languages=backend.languages,
        voices=backend.voices,
        formats=[_pcm(rate) for rate in rates],
        limits={
            "sessions": settings.max_sessions,
            "text_characters": MAX_TEXT,
            "sample_rate_min": MIN_SAMPLE_RATE,
            "sample_rate_max": MAX_SAMPLE_RATE,
        },
        features=backend.features,
    )
    return Stage(
        services=[tts_pb2.DESCRIPTOR.services_by_name["TtsService"].full_name],
        register=lambda server: tts_pb2_grpc.add_TtsServiceServicer_to_server(servicer, server),
        description=description,
        admission=admission,
        close=close,
    )


async def build(settings: TtsSettings) -> Stage:
    """Loads the chosen backend and makes the stage."""
    create = backends.find("tts", settings.backend)
    return create_stage(await asyncio.to_thread(create), settings)
