"""The default engine: stagewire_lipsync, on the CPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np
from stagekit import attributes as a
from stagekit import tracing
from stagekit.audio import to_float
from stagekit.model_fetch import ensure
from stagewire.common.v1 import trace_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2
from stagewire_lipsync import FRAME_RATE, Frames, Performer, SphinxModel, idle_loop
from stagewire_motion_codec import arkit52

from stagewire_motion_bridge.backend import Completed, Emit, Motion
from stagewire_motion_bridge.backends.lipsync_phonemes import arpabet

_MODEL = "sphinx-en-us"
_IDLE_SECONDS = 20.0  # long enough that nobody sees it repeat; 58 kB


class LipsyncFace:
    """One session's face.

    Args:
        performer: Makes the frames.
        sample_rate: Of the voice, in hertz.
        emit: Takes the motion.
        idle_motion: Payloads of a loop.
    """

    codec = arkit52.NAME
    frame_rate = FRAME_RATE
    connection_id = ""
    first_motion_wait = None

    def __init__(
        self,
        performer: Performer,
        sample_rate: int,
        emit: Emit,
        idle_motion: Sequence[bytes] = (),
    ) -> None:
        """A face at rest."""
        self.idle_motion = idle_motion
        self._performer, self._sample_rate, self._emit = performer, sample_rate, emit
        self._emitted = 0
        self._span: tracing.Span | None = None
        self._busy = 0.0

    async def run(self) -> None:
        """Nothing goes on by itself here."""

    async def start(self, turn: int, trace: trace_pb2.TraceContext) -> None:
        """See :class:`stagewire_motion_bridge.backend.Face`; so with the others."""
        self._end_span()
        self._span = tracing.current().child("lipsync perform", under=trace)
        self._performer.start()
        self._emitted = 0

    async def phonemes(self, phonemes: motion_bridge_pb2.TurnPhonemes) -> None:
        """Sounds to come."""
        self._performer.expect(arpabet(phonemes))

    async def audio(self, turn: int, pcm: bytes) -> None:
        """Emits the frames that this settles."""
        await self._show(turn, lambda: self._performer.hear(to_float(pcm)))

    async def finish(self, turn: int) -> None:
        """Emits the rest."""
        await self._show(turn, self._performer.finish)
        self._end_span()
        await self._emit(Completed(turn))

    async def cancel(self, turn: int) -> None:
        """Nothing goes on by itself here."""
        self._end_span()

    async def close(self) -> None:
        """Nothing is held."""
        self._end_span()

    def _end_span(self) -> None:
        if self._span is not None:
            self._span.set({a.BUSY: self._busy})
            self._span.end()
        self._span, self._busy = None, 0.0

    async def _show(self, turn: int, perform: Callable[[], Frames]) -> None:
        began = time.monotonic()
        shown = await asyncio.to_thread(lambda: payloads(perform()))
        self._busy += time.monotonic() - began
        for payload, count in shown:
            begin, self._emitted = self._emitted, self._emitted + count
            await self._emit(Motion(turn, payload, self._edge(begin), self._edge(self._emitted)))

    def _edge(self, frame: int) -> int:
        return frame * self._sample_rate // FRAME_RATE


def payloads(frames: Frames) -> list[tuple[bytes, int]]:
    """Frames as payloads of the codec, each with the number of its frames."""
    listed = [
        arkit52.Frame(tuple(weights), *head)
        for weights, head in zip(frames.weights.tolist(), frames.head.tolist(), strict=True)
    ]
    pieces = [
        listed[at : at + arkit52.MAX_FRAMES] for at in range(0, len(listed), arkit52.MAX_FRAMES)
    ]
    return [(arkit52.pack(piece, FRAME_RATE), len(piece)) for piece in pieces]


class LipsyncBackend:
    """Makes faces.

    Args:
        model: Hears the sounds of voices that come without phonemes; without it, loudness has to
            do.
        new_seed: Makes a session's seed; None leaves it to chance.
    """

    name = "lipsync"
    models = (_MODEL,)
    codecs = (arkit52.NAME,)
    features = ("phonemes",)

    def __init__(
        self,
        model: SphinxModel | None = None,
        new_seed: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Performs once, so that the first session does not wait for memory."""
        self._model, self._new_seed = model, new_seed
        warm = Performer(16_000, model=model)
        warm.hear(np.zeros(6_400, np.float32))
        warm.finish()
        self._idle = [payload for payload, _ in payloads(idle_loop(_IDLE_SECONDS, new_seed()))]

    async def run(self) -> None:
        """Nothing goes on beside the faces."""

    async def connect(self, opening: motion_bridge_pb2.Open, codec: str, emit: Emit) -> LipsyncFace:
        """See :class:`stagewire_motion_bridge.backend.Backend`."""
        rate = opening.format.sample_rate_hertz
        performer = Performer(rate, self._new_seed(), self._model)
        return LipsyncFace(performer, rate, emit, self._idle)


def create() -> LipsyncBackend:
    """The entry point; fetches the model if it is not here."""
    return LipsyncBackend(SphinxModel(ensure(_MODEL)))
