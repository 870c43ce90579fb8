"""The default engine: lips from the voice's phonemes, or from its loudness; blinks; on the CPU."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import numpy as np
from stagekit.audio import to_float
from stagewire.motion_bridge.v1 import motion_bridge_pb2
from stagewire_motion_codec import arkit52

from stagewire_motion_bridge.backend import Completed, Emit, Motion
from stagewire_motion_bridge.backends.lipsync_face import Blinks
from stagewire_motion_bridge.backends.lipsync_mouth import FRAME_RATE, Mouth
from stagewire_motion_bridge.backends.lipsync_phonemes import PhonemeTime, arpabet

_SHUT = [arkit52.CHANNELS.index("eyeBlinkLeft"), arkit52.CHANNELS.index("eyeBlinkRight")]


class LipsyncFace:
    """One session's face.

    Every whole frame (20 ms) of audio is emitted when it has arrived, but for the last one: only
    when more audio comes, or the end of it, is it known whether the mouth must be closed there.
    """

    codec = arkit52.NAME
    frame_rate = FRAME_RATE
    connection_id = ""

    def __init__(self, sample_rate: int, emit: Emit, blinks: Blinks) -> None:
        """A face at rest.

        Args:
            sample_rate: Of the voice, in hertz.
            emit: Takes the motion.
            blinks: Closes the eyes now and then.
        """
        self._sample_rate, self._emit, self._blinks = sample_rate, emit, blinks
        self._mouth = Mouth(sample_rate)
        self._received = 0
        self._emitted = 0

    async def start(self, turn: int) -> None:
        """See :class:`stagewire_motion_bridge.backend.Face`; so with the others."""
        self._mouth = Mouth(self._sample_rate)
        self._received = self._emitted = 0

    async def phonemes(self, phonemes: motion_bridge_pb2.TurnPhonemes) -> None:
        """Sounds to come."""
        self._mouth.expect(arpabet(phonemes))

    async def audio(self, turn: int, pcm: bytes) -> None:
        """Emits the frames that this completes."""
        await asyncio.to_thread(self._mouth.hear, to_float(pcm))
        self._received += len(pcm) // 2
        whole = self._received * FRAME_RATE // self._sample_rate
        await self._show(turn, whole - 1, last=False)

    async def finish(self, turn: int) -> None:
        """Emits the rest, rounded up to a whole frame, with the mouth closed at the end."""
        frames = -(-self._received * FRAME_RATE // self._sample_rate)
        await self._show(turn, frames, last=True)
        await self._emit(Completed(turn))

    async def cancel(self, turn: int) -> None:
        """Nothing goes on by itself here."""

    async def close(self) -> None:
        """Nothing is held."""

    async def _show(self, turn: int, until: int, last: bool) -> None:
        while self._emitted < until:
            begin = self._emitted
            end = min(until, begin + arkit52.MAX_FRAMES)
            closes = last and end == until
            payload = await asyncio.to_thread(self._render, begin, end, closes)
            self._emitted = end
            await self._emit(Motion(turn, payload, self._edge(begin), self._edge(end)))

    def _render(self, begin: int, end: int, closes: bool) -> bytes:
        frames = []
        for row in self._mouth.frames(begin, end, closes):
            row[_SHUT] = self._blinks.next_frame()
            frames.append(arkit52.Frame(tuple(row.tolist())))
        return arkit52.pack(frames, FRAME_RATE)

    def _edge(self, frame: int) -> int:
        return frame * self._sample_rate // FRAME_RATE


class LipsyncBackend:
    """Makes faces.

    Args:
        new_random: Makes the source of a session's blinks.
    """

    name = "lipsync"
    models = ()
    codecs = (arkit52.NAME,)
    features = ("phonemes",)

    def __init__(self, new_random: Callable[[], random.Random] = random.Random) -> None:
        """Builds the tables once, so that the first session does not wait for them."""
        self._new_random = new_random
        warm = Mouth(16_000)
        warm.expect([PhonemeTime("M", 0, 1_600), PhonemeTime("AA", 1_600, 3_200)])
        warm.hear(np.zeros(3_200, np.float32))
        warm.frames(0, 10, closes=True)

    async def connect(self, opening: motion_bridge_pb2.Open, codec: str, emit: Emit) -> LipsyncFace:
        """See :class:`stagewire_motion_bridge.backend.Backend`."""
        rate = opening.format.sample_rate_hertz
        return LipsyncFace(rate, emit, Blinks(FRAME_RATE, self._new_random()))


def create() -> LipsyncBackend:
    """The entry point."""
    return LipsyncBackend()
