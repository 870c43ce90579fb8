"""The default backend: what it tells the engine, and what it makes of the engine's frames."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
from stagewire.common.v1.trace_pb2 import TraceContext
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb
from stagewire_lipsync import Performer
from stagewire_motion_bridge.backend import Completed, Event, Motion
from stagewire_motion_bridge.backends.lipsync import LipsyncFace, create
from stagewire_motion_codec import arkit52
from stagewire_motion_codec.arkit52 import CHANNELS, MAX_FRAMES, unpack

JAW, PRESS = CHANNELS.index("jawOpen"), CHANNELS.index("mouthPressLeft")


class Stage:
    """A face and what it emitted."""

    def __init__(self, rate: int = 16_000) -> None:
        self.events: list[Event] = []
        self.face = LipsyncFace(Performer(rate, seed=1), rate, self._emit)

    async def _emit(self, event: Event) -> None:
        self.events.append(event)

    def motions(self) -> list[Motion]:
        return [event for event in self.events if isinstance(event, Motion)]


@pytest.mark.parametrize(("rate", "samples"), [(16_000, 100_001), (22_050, 30_000), (8_000, 1)])
async def test_motion_covers_the_audio_exactly(rate: int, samples: int) -> None:
    stage = Stage(rate)
    await stage.face.start(1, TraceContext())
    await stage.face.audio(1, bytes(2 * samples))
    await stage.face.finish(1)
    frame = at = 0
    for motion in stage.motions():
        count = len(unpack(motion.payload)[1])
        frame += count
        assert 1 <= count <= MAX_FRAMES
        assert motion.start_sample == at
        at = motion.end_sample
        assert at == frame * rate // 50
    assert frame == -(-samples * 50 // rate)
    assert stage.events[-1] == Completed(1)


@pytest.mark.parametrize(
    ("alphabet", "symbols"), [(1, ["", "AA1", "b", "AA"]), (2, ["", "\u0251", "b", "\u0251"])]
)
async def test_phonemes_of_either_alphabet_shape_the_mouth(
    alphabet: int, symbols: list[str]
) -> None:
    stage = Stage()
    at, listed = 0, []
    for symbol, length in zip(symbols, [1_600, 2_400, 1_280, 2_400], strict=True):
        listed.append({"symbol": symbol, "start_sample": at, "end_sample": at + length})
        at += length
    await stage.face.start(1, TraceContext())
    await stage.face.phonemes(pb.TurnPhonemes(turn=1, alphabet=alphabet, phonemes=listed))
    await stage.face.audio(1, b"\0\x10" * at)
    await stage.face.finish(1)
    frames = [frame.weights for motion in stage.motions() for frame in unpack(motion.payload)[1]]
    assert frames[(4_000 + 640) // 320][JAW] < 0.1 < 0.3 < frames[(1_600 + 1_200) // 320][JAW]
    assert frames[(4_000 + 640) // 320][PRESS] > 0.3


async def test_an_alphabet_that_is_not_known_is_no_help_and_no_harm() -> None:
    stage = Stage()
    await stage.face.start(1, TraceContext())
    sound = {"symbol": "M", "start_sample": 0, "end_sample": 3_200}
    await stage.face.phonemes(pb.TurnPhonemes(turn=1, alphabet=0, phonemes=[sound]))
    await stage.face.audio(1, bytes(6_400))
    await stage.face.finish(1)
    assert sum(len(unpack(motion.payload)[1]) for motion in stage.motions()) == 10


@pytest.mark.models
async def test_a_voice_without_phonemes_moves_more_than_the_jaw() -> None:
    stage = Stage()
    opening = pb.Open(session_id="s", format={"encoding": 1, "sample_rate_hertz": 16_000})
    face = await create().connect(opening, arkit52.NAME, stage._emit)
    path = Path(__file__).parents[3] / "tests" / "data" / "speech" / "librivox-0870.wav"
    with wave.open(str(path)) as file:
        pcm = file.readframes(file.getnframes())
    await face.start(1, TraceContext())
    for at in range(0, len(pcm), 1_600):
        await face.audio(1, pcm[at : at + 1_600])
    await face.finish(1)
    frames = [frame.weights for motion in stage.motions() for frame in unpack(motion.payload)[1]]
    assert len(frames) == -(-len(pcm) // 640)
    for name in ("jawOpen", "mouthPressLeft", "mouthShrugLower", "mouthPucker", "mouthStretchLeft"):
        assert max(weights[CHANNELS.index(name)] for weights in frames) > 0.2
    assert len(face.idle_motion) >= 1
