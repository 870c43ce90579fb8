"""The contract's side of the stage: checks `open`, serves sessions, says when it drains."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from google.protobuf import duration_pb2
from stagekit import attributes as a
from stagekit import backends, tracing
from stagekit.admission import Admission
from stagekit.errors import StageError
from stagekit.metrics import StageMetrics
from stagekit.outbox import Outbox
from stagekit.server import Stage
from stagekit.streams import (
    MAX_AUDIO_BYTES,
    Commands,
    check_format,
    duplex,
    on_event,
    task_group,
)
from stagekit.turn_spans import TurnSpans
from stagewire.common.v1 import audio_pb2, describe_pb2, error_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2, motion_bridge_pb2_grpc

from stagewire_motion_bridge.backend import Backend, Face
from stagewire_motion_bridge.session import Request, Response, Session
from stagewire_motion_bridge.settings import MotionBridgeSettings

logger = logging.getLogger(__name__)

_QUEUE = 512
"""Messages that wait for the peer at most: about half a minute of motion, 100 kB. Large enough
that a peer which reads at the speed of speech never keeps its own interrupt waiting behind it."""


class MotionBridgeServicer(motion_bridge_pb2_grpc.MotionBridgeServiceServicer):
    """Serves sessions.

    Args:
        backend: What moves the faces.
        admission: Counts the sessions.
        drain: Set when the stage drains.
        drain_seconds: How long streams stay open then.
    """

    def __init__(
        self, backend: Backend, admission: Admission, drain: asyncio.Event, drain_seconds: float
    ) -> None:
        """Ready to serve."""
        self._backend, self._admission = backend, admission
        self._drain, self._drain_seconds = drain, drain_seconds
        self._metrics = StageMetrics()

    async def Animate(
        self, request_iterator: AsyncIterator[Request], context: Any
    ) -> AsyncIterator[Response]:
        """Animates one session; see the contract.

        Raises:
            StageError: As the contract's error reasons say.
        """
        commands = Commands(request_iterator)
        opening: motion_bridge_pb2.Open = await commands.open()
        about: tracing.Attributes = {a.BACKEND: self._backend.name}
        metadata = context.invocation_metadata()
        session_id, trace = opening.session_id, opening.trace
        with tracing.continued("motion_bridge open", session_id, trace, about, metadata) as span:
            codec = self._check(opening)
            with self._admission.slot():
                async for response in self._animate(opening, codec, commands, span):
                    yield response

    async def _animate(
        self,
        opening: motion_bridge_pb2.Open,
        codec: str,
        commands: Commands[Request],
        span: tracing.Span,
    ) -> AsyncIterator[Response]:
        outbox: Outbox[Response] = Outbox(_QUEUE)
        spans = TurnSpans(
            span, "motion_bridge animate", {a.BACKEND: self._backend.name}, self._metrics
        )
        session = Session(outbox, time.monotonic, spans)
        face = await self._backend.connect(opening, codec, session.emit)
        try:
            await outbox.put_control(Response(ready=self._ready(face)))
            span.set({a.MOTION_CODEC: face.codec})
            span.end()  # it is about the opening; each turn has a span of its own
            async for response in duplex(self._run(session, commands, face, outbox), outbox):
                if session.leaves(response):
                    yield response
        finally:
            spans.close()
            await face.close()

    async def _run(
        self, session: Session, commands: Commands[Request], face: Face, outbox: Outbox[Response]
    ) -> None:
        async with task_group() as tasks:
            helpers = [
                tasks.create_task(face.run()),
                tasks.create_task(on_event(self._drain, lambda: self._going_away(outbox))),
            ]
            await session.serve(commands, face)
            for helper in helpers:
                helper.cancel()

    async def _going_away(self, outbox: Outbox[Response]) -> None:
        grace = duration_pb2.Duration()
        grace.FromNanoseconds(int(self._drain_seconds * 1e9))
        await outbox.put_control(Response(going_away=error_pb2.GoingAway(grace=grace)))

    def _check(self, opening: motion_bridge_pb2.Open) -> str:
        """The codec of the session."""
        check_format(opening.format)
        delivery = opening.WhichOneof("delivery")
        if delivery is None:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                "open.delivery is not set: say where motion goes",
            )
        if delivery == "livekit_room" and "livekit_room" not in self._backend.features:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"open.livekit_room: the backend {self._backend.name} does not publish into rooms "
                "by itself; ask for open.return_frames and let egress publish",
            )
        for codec in opening.codecs or self._backend.codecs:
            if codec in self._backend.codecs:
                return codec
        raise StageError(
            error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT,
            f"open.codecs has none of this stage's: {', '.join(self._backend.codecs)}",
        )

    def _ready(self, face: Face) -> motion_bridge_pb2.Ready:
        ready = motion_bridge_pb2.Ready(
            codec=face.codec,
            frame_rate=face.frame_rate,
            connection_id=face.connection_id,
            max_audio_bytes=MAX_AUDIO_BYTES,
            features=self._backend.features,
            idle_motion=face.idle_motion,
        )
        if face.first_motion_wait is not None:
            ready.first_motion_wait.FromNanoseconds(int(face.first_motion_wait * 1e9))
        return ready


def create_stage(backend: Backend, settings: MotionBridgeSettings) -> Stage:
    """The stage around a backend that is ready."""
    admission = Admission(settings.max_sessions)
    drain = asyncio.Event()
    servicer = MotionBridgeServicer(backend, admission, drain, settings.drain_seconds)
    pcm = audio_pb2.AUDIO_ENCODING_PCM_S16LE
    formats = [
        audio_pb2.AudioFormat(encoding=pcm, sample_rate_hertz=rate)
        for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
    ]
    description = describe_pb2.StageDescription(
        stage="motion_bridge",
        version=version("stagewire-motion-bridge"),
        contracts=["stagewire.motion_bridge.v1"],
        backend=backend.name,
        models=backend.models,
        formats=formats,
        codecs=backend.codecs,
        limits={"sessions": settings.max_sessions, "audio_bytes": MAX_AUDIO_BYTES},
        features=backend.features,
    )
    service = motion_bridge_pb2.DESCRIPTOR.services_by_name["MotionBridgeService"].full_name
    return Stage(
        services=[service],
        register=lambda server: motion_bridge_pb2_grpc.add_MotionBridgeServiceServicer_to_server(
            servicer, server
        ),
        description=description,
        admission=admission,
        drain=drain,
        run=backend.run,
    )


async def build(settings: MotionBridgeSettings) -> Stage:
    """Loads the chosen backend and makes the stage."""
    create = backends.find("motion_bridge", settings.chosen_backend())
    backend: Backend = await asyncio.to_thread(create)
    logger.info("backend %s", backend.name)
    return create_stage(backend, settings)
