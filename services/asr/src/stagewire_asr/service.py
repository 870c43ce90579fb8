"""The contract's side of speech recognition: ``stagewire.asr.v1``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from stagekit import attributes as a
from stagekit import backends, tracing
from stagekit.admission import Admission
from stagekit.errors import StageError
from stagekit.metrics import StageMetrics
from stagekit.outbox import Outbox
from stagekit.server import Stage
from stagekit.streams import (
    MAX_AUDIO_BYTES,
    MAX_SAMPLE_RATE,
    MIN_SAMPLE_RATE,
    Commands,
    check_format,
    duplex,
    on_event,
    task_group,
)
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2, describe_pb2, error_pb2

import stagewire_asr
from stagewire_asr.backend import Backend, Event, Final, Options, Session
from stagewire_asr.microphone import Microphone
from stagewire_asr.reports import to_response
from stagewire_asr.settings import AsrSettings
from stagewire_asr.utterance_spans import UtteranceSpans

MAX_PHRASES = 100

# Events are few and small, so all are control: a recognizer never waits for a peer, and a peer that
# reads none of this many, minutes of talk, is cut off.
_OUTBOX_LIMIT = 512

Responses = Outbox[asr_pb2.TranscribeResponse]


class AsrService(asr_pb2_grpc.AsrServiceServicer):
    """Serves ``Transcribe`` on one backend.

    Args:
        backend: The recognizer of all sessions.
        admission: Places for sessions.
        drain: Set when the service will stop.
        settings: The service's.
        clock: The backend's, in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        admission: Admission,
        drain: asyncio.Event,
        settings: AsrSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes no session yet."""
        self._backend = backend
        self._admission = admission
        self._drain = drain
        self._settings = settings
        self._clock = clock
        self._metrics = StageMetrics()

    async def Transcribe(
        self, request_iterator: AsyncIterator[asr_pb2.TranscribeRequest], context: Any
    ) -> AsyncIterator[asr_pb2.TranscribeResponse]:
        """Hears one session."""
        commands = Commands(request_iterator)
        opening: asr_pb2.Open = await commands.open()
        about: tracing.Attributes = {a.BACKEND: self._backend.info.name}
        metadata = context.invocation_metadata()
        session_id, trace = opening.session_id, opening.trace
        with tracing.continued("asr open", session_id, trace, about, metadata) as span:
            options = self._options(opening)
            with self._admission.slot():
                outbox: Responses = Outbox(_OUTBOX_LIMIT)
                about_work = (span, self._metrics, self._clock)
                hearing = _Hearing(self._backend, options, opening, outbox, *about_work)
                work = self._serve(hearing, commands, outbox)
                async for response in duplex(work, outbox):
                    yield response

    def _options(self, opening: asr_pb2.Open) -> Options:
        check_format(opening.format)
        if len(opening.phrases) > MAX_PHRASES:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"phrases has {len(opening.phrases)} entries; at most {MAX_PHRASES} are allowed",
            )
        return Options(
            language=self._backend.resolve(opening.language or self._settings.language),
            phrases=tuple(opening.phrases),
            wants_partials=opening.wants_partials,
            wants_words=opening.wants_words,
        )

    async def _serve(
        self, hearing: _Hearing, commands: Commands[asr_pb2.TranscribeRequest], outbox: Responses
    ) -> None:
        async def say_goodbye() -> None:
            grace = Duration()
            grace.FromNanoseconds(int(self._settings.drain_seconds * 1e9))
            going_away = asr_pb2.TranscribeResponse()
            going_away.going_away.grace.CopyFrom(grace)
            await outbox.put_control(going_away)

        async with task_group() as tasks:
            goodbye = tasks.create_task(on_event(self._drain, say_goodbye))
            await hearing.run(commands)
            goodbye.cancel()


class _Hearing:
    """One session's stream, after ``open``."""

    def __init__(
        self,
        backend: Backend,
        options: Options,
        opening: asr_pb2.Open,
        outbox: Responses,
        span: tracing.Span,
        metrics: StageMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._span = span
        self._utterances = UtteranceSpans(span, backend.info.name, metrics, clock)
        self._backend = backend
        self._options = options
        self._outbox = outbox
        self._clock = clock
        self._microphone = Microphone(opening.format.sample_rate_hertz, backend.info.sample_rate)
        self._newest_utterance = 0

    async def run(self, commands: Commands[asr_pb2.TranscribeRequest]) -> None:
        ready = asr_pb2.Ready(
            language=self._options.language,
            max_audio_bytes=MAX_AUDIO_BYTES,
            features=self._backend.info.features,
        )
        await self._outbox.put_control(asr_pb2.TranscribeResponse(ready=ready))
        self._span.end()  # it is about the opening; what is heard has spans of its own
        try:
            async with self._backend.listen(self._options, self._report) as session:
                async for arm, message in commands:
                    await self._obey(session, arm, message)
        finally:
            self._utterances.close()

    async def _obey(self, session: Session, arm: str, message: Any) -> None:
        match arm:
            case "audio":
                samples = self._microphone.take(message)
                if len(samples):
                    await session.feed(samples)
            case "hint":
                await session.hint(avatar_speaking=message.avatar_speaking)
            case "finalize":
                await session.finalize()
            case "commit" if 1 <= message.utterance <= self._newest_utterance:
                await session.commit(message.utterance)
                self._utterances.committed(message.utterance, message.trace)
            case "commit":
                refusal = StageError(
                    error_pb2.ERROR_REASON_INVALID_FIELD,
                    f"commit.utterance is {message.utterance}; the newest utterance of this "
                    f"stream is {self._newest_utterance}",
                )
                fault = asr_pb2.TranscribeResponse(fault=refusal.to_fault())
                await self._outbox.put_control(fault)

    async def _report(self, event: Event) -> None:
        response = to_response(event, self._microphone, self._clock)
        if response.HasField("speech_started"):
            self._newest_utterance = response.speech_started.utterance
        if isinstance(event, Final):
            self._utterances.settled(event)
        await self._outbox.put_control(response)


async def build(settings: AsrSettings) -> Stage:
    """The stage with the backend that ``settings`` names; loads its models."""
    create: Callable[[], Backend] = backends.find("asr", settings.backend)
    return stage_of(await asyncio.to_thread(create), settings)


def stage_of(backend: Backend, settings: AsrSettings) -> Stage:
    """The stage on a backend that is ready."""
    info = backend.info
    admission = Admission(settings.max_sessions)
    drain = asyncio.Event()
    service = AsrService(backend, admission, drain, settings)
    return Stage(
        services=[asr_pb2.DESCRIPTOR.services_by_name["AsrService"].full_name],
        register=lambda server: asr_pb2_grpc.add_AsrServiceServicer_to_server(service, server),
        description=describe_pb2.StageDescription(
            stage="asr",
            version=stagewire_asr.__version__,
            contracts=[asr_pb2.DESCRIPTOR.package],
            backend=info.name,
            models=info.models,
            languages=info.languages,
            formats=[
                audio_pb2.AudioFormat(
                    encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=rate
                )
                for rate in (MIN_SAMPLE_RATE, info.sample_rate, MAX_SAMPLE_RATE)
            ],
            limits={"sessions": settings.max_sessions, "audio_bytes": MAX_AUDIO_BYTES},
            features=info.features,
        ),
        admission=admission,
        drain=drain,
        close=backend.close,
    )
