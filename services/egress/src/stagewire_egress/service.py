"""The contract's side of the egress stage: ``Deliver``, one stream per session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.metadata import version
from typing import Any

import grpc
from stagekit import attributes as a
from stagekit import tracing
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
)
from stagekit.turn_spans import TurnSpans
from stagewire.common.v1 import audio_pb2, describe_pb2, error_pb2
from stagewire.egress.v1 import egress_pb2, egress_pb2_grpc

from stagewire_egress.delivery import Target
from stagewire_egress.livekit.target import LiveKitRooms
from stagewire_egress.session import Response, Session
from stagewire_egress.settings import EgressSettings
from stagewire_egress.websocket.server import WebSocketServer

# Towards the orchestrator: 2.5 s of microphone in 20 ms messages, and as many control messages.
_BREAK_SECONDS = 0.05
_OUTBOX_MESSAGES = 128
_MAX_CODEC_CHARACTERS = 64
_MAX_IDLE_BYTES = 256 * 1024


class EgressService(egress_pb2_grpc.EgressServiceServicer):
    """Serves sessions.

    Args:
        targets: How each kind of target (an arm of ``Open.target``) is served.
        admission: Counts the sessions.
        drain: Set when this instance stops soon.
        settings: The stage's settings.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        admission: Admission,
        drain: asyncio.Event,
        settings: EgressSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes the servicer."""
        self._targets = targets
        self._admission = admission
        self._drain = drain
        self._settings = settings
        self._clock = clock
        self._session_ids: set[str] = set()
        self._metrics = StageMetrics()

    async def Deliver(
        self,
        request_iterator: AsyncIterator[egress_pb2.DeliverRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[Response]:
        """One session, from `open` to the end of the stream."""
        commands = Commands(request_iterator)
        opening: egress_pb2.Open = await commands.open()
        kind = opening.WhichOneof("target") or "none"
        metadata = context.invocation_metadata()
        session_id, trace = opening.session_id, opening.trace
        about: tracing.Attributes = {a.EGRESS_TARGET: kind}
        with tracing.continued("egress open", session_id, trace, about, metadata) as span:
            target = self._target(opening)
            spans = TurnSpans(span, "egress deliver", about, self._metrics)
            # After the reading: gRPC may lose the status of a call that ends before its first
            # message.
            with self._admission.slot():
                self._session_ids.add(opening.session_id)
                try:
                    outbox = Outbox[Response](_OUTBOX_MESSAGES)
                    work = self._serve(target, opening, commands, outbox, span, spans)
                    async for message in duplex(work, outbox):
                        yield message
                finally:
                    spans.close()
                    self._session_ids.discard(opening.session_id)

    def _target(self, opening: egress_pb2.Open) -> Target:
        """The checked opening's target."""
        kind = opening.WhichOneof("target")
        if kind is None or kind not in self._targets:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"target {kind or '(none)'} is not served by this build; it serves: "
                f"{', '.join(self._targets)}",
            )
        check_format(opening.voice_format)
        check_format(opening.microphone_format)
        if len(opening.motion_codec) > _MAX_CODEC_CHARACTERS or opening.motion_frame_rate < 0:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"motion_codec may have {_MAX_CODEC_CHARACTERS} characters and motion_frame_rate "
                "is not negative",
            )
        if (idle_bytes := sum(map(len, opening.idle_motion))) > _MAX_IDLE_BYTES:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"idle_motion has {idle_bytes} bytes; at most {_MAX_IDLE_BYTES}",
            )
        if opening.session_id in self._session_ids:
            raise StageError(
                error_pb2.ERROR_REASON_SESSION_EXISTS,
                f"session {opening.session_id} is open on this instance; end its stream first",
            )
        return self._targets[kind]

    async def _serve(
        self,
        target: Target,
        opening: egress_pb2.Open,
        commands: Commands[egress_pb2.DeliverRequest],
        outbox: Outbox[Response],
        span: tracing.Span,
        spans: TurnSpans,
    ) -> None:
        session = Session(opening, outbox, self._settings.return_seconds, spans, self._clock)
        async with target.open(opening, session) as delivery:
            await outbox.put_control(session.ready(delivery))
            span.end()  # it is about the opening; each turn has a span of its own
            try:
                async with asyncio.TaskGroup() as tasks:
                    helpers = [
                        tasks.create_task(session.watch()),
                        tasks.create_task(session.broken()),
                        tasks.create_task(self._say_drain(session)),
                    ]
                    async for arm, message in commands:
                        await session.command(arm, message)
                    # A broken stream's requests may end a moment before gRPC cancels its call. Only
                    # the end of one that is whole ends the session: clients come back to the other.
                    await asyncio.sleep(_BREAK_SECONDS)
                    for helper in helpers:
                        helper.cancel()
            except ExceptionGroup as group:
                # The first failure ended the others; the stream's status tells that one.
                raise group.exceptions[0] from None
            await session.end()

    async def _say_drain(self, session: Session) -> None:
        await self._drain.wait()
        await session.going_away(self._settings.drain_seconds)


async def build(settings: EgressSettings) -> Stage:
    """Makes the stage; the WebSocket listens from here on."""
    web_socket = WebSocketServer(settings)
    await web_socket.start()
    admission, drain = Admission(settings.max_sessions), asyncio.Event()
    rooms = LiveKitRooms(settings)
    targets: dict[str, Target] = {"web_socket": web_socket, "livekit": rooms}
    service = EgressService(targets, admission, drain, settings)

    async def close() -> None:
        await web_socket.stop()
        await rooms.close()

    return Stage(
        services=["stagewire.egress.v1.EgressService"],
        register=lambda server: egress_pb2_grpc.add_EgressServiceServicer_to_server(
            service, server
        ),
        description=_description(settings),
        admission=admission,
        drain=drain,
        close=close,
    )


def _description(settings: EgressSettings) -> describe_pb2.StageDescription:
    return describe_pb2.StageDescription(
        stage="egress",
        version=version("stagewire-egress"),
        contracts=["stagewire.egress.v1"],
        backend="websocket, livekit",
        formats=[
            audio_pb2.AudioFormat(
                encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=rate
            )
            for rate in (MIN_SAMPLE_RATE, 16_000, 24_000, MAX_SAMPLE_RATE)
        ],
        limits={"sessions": settings.max_sessions, "audio_bytes": MAX_AUDIO_BYTES},
        features=list(dict.fromkeys((*WebSocketServer.features, *LiveKitRooms.features))),
    )
