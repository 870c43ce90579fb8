"""The default engine by itself: exact cover of the audio, and mouths that fit the sounds."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb
from stagewire_motion_bridge.backend import Completed, Event, Motion
from stagewire_motion_bridge.backends.lipsync import LipsyncFace
from stagewire_motion_bridge.backends.lipsync_face import Blinks
from stagewire_motion_codec.arkit52 import CHANNELS, Frame, unpack

JAW = CHANNELS.index("jawOpen")
MOUTH = [n for n, name in enumerate(CHANNELS) if name.startswith(("jaw", "mouth", "tongue"))]
BLINK = CHANNELS.index("eyeBlinkLeft")


def phonemes(sounds: list[tuple[str, int]], alphabet: int = 1, at: int = 0) -> pb.TurnPhonemes:
    listed = []
    for symbol, length in sounds:
        listed.append({"symbol": symbol, "start_sample": at, "end_sample": at + length})
        at += length
    return pb.TurnPhonemes(turn=1, alphabet=alphabet, phonemes=listed)  # type: ignore[arg-type]  # dicts are taken


class Stage:
    """A face and what it emitted."""

    def __init__(self, rate: int = 16_000) -> None:
        self.events: list[Event] = []
        self.face = LipsyncFace(rate, self._emit, Blinks(50, random.Random(1)))

    async def _emit(self, event: Event) -> None:
        self.events.append(event)

    def motions(self) -> list[Motion]:
        return [event for event in self.events if isinstance(event, Motion)]

    def frames(self) -> list[Frame]:
        return [frame for motion in self.motions() for frame in unpack(motion.payload)[1]]

    async def say(
        self, sounds: list[tuple[str, int]], alphabet: int = 1, level: float = 0.2
    ) -> list[Frame]:
        total = sum(length for _, length in sounds)
        await self.face.start(1)
        await self.face.phonemes(phonemes(sounds, alphabet))
        await self.face.audio(1, tone(total, level))
        await self.face.finish(1)
        return self.frames()


def tone(samples: int, level: float = 0.2) -> bytes:
    wave = level * 32_767 * np.sin(np.arange(samples) / 10)
    return wave.astype("<i2").tobytes()


@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]),
    sizes=st.lists(st.integers(1, 3_000), max_size=12),
    sounds=st.lists(st.tuples(st.sampled_from(["M", "AA", "S", "sil"]), st.integers(1, 2_000))),
    early=st.integers(0, 12),
)
@settings(max_examples=60, deadline=None)
async def test_motion_covers_the_audio_exactly(
    rate: int, sizes: list[int], sounds: list[tuple[str, int]], early: int
) -> None:
    stage = Stage(rate)
    await stage.face.start(1)
    received = 0
    for number, size in enumerate(sizes):
        if number == early:
            await stage.face.phonemes(phonemes(sounds))
        await stage.face.audio(1, tone(size))
        received += size
        shown = stage.motions()[-1].end_sample if stage.motions() else 0
        assert shown <= received
        # All but the newest frame leaves as soon as its audio is there.
        assert received * 50 // rate - shown * 50 / rate <= 1.01
    await stage.face.finish(1)
    frame = at = 0
    for motion in stage.motions():
        assert motion.start_sample == at == frame * rate // 50
        frame += len(unpack(motion.payload)[1])
        at = motion.end_sample
        assert at == frame * rate // 50 > motion.start_sample
    assert frame == -(-received * 50 // rate)
    assert stage.events[-1] == Completed(1)
    if frame:
        assert max(stage.frames()[-1].weights[n] for n in MOUTH) == 0


@pytest.mark.parametrize("sound", ["P", "B", "M"])
@pytest.mark.parametrize("alphabet", [1, 2])
async def test_bilabials_close_the_mouth(sound: str, alphabet: int) -> None:
    vowel = "AA" if alphabet == 1 else "\u0251"
    symbol = sound if alphabet == 1 else sound.lower()
    frames = await Stage().say(
        [("" if alphabet == 2 else "sil", 1_600), (vowel, 2_400), (symbol, 1_280), (vowel, 2_400)],
        alphabet,
    )
    closed = frames[(4_000 + 640) // 320].weights
    open_ = frames[(1_600 + 1_200) // 320].weights
    assert closed[JAW] < 0.1
    assert closed[CHANNELS.index("mouthPressLeft")] > 0.3
    assert open_[JAW] > 0.3
    assert open_[CHANNELS.index("mouthPressLeft")] < 0.15


async def test_vowels_differ() -> None:
    def shape(frames: list[Frame]) -> dict[str, float]:
        return dict(zip(CHANNELS, frames[len(frames) // 2].weights, strict=True))

    oo = shape(await Stage().say([("UW", 6_400)]))
    ee = shape(await Stage().say([("IY", 6_400)]))
    assert oo["mouthPucker"] > 0.5 > ee["mouthPucker"]
    assert ee["mouthStretchLeft"] > 0.3 > oo["mouthStretchLeft"]


async def test_a_pause_closes_the_mouth_and_rest_begins_and_ends_a_turn() -> None:
    frames = await Stage().say([("sil", 480), ("AA", 3_200), ("sil", 4_800), ("AA", 3_200)])
    assert max(frames[0].weights[n] for n in MOUTH) == 0
    assert max(frames[(3_680 + 2_400) // 320].weights[n] for n in MOUTH) < 0.02
    assert max(frames[-1].weights[n] for n in MOUTH) == 0


async def test_phonemes_in_pieces_or_at_once_are_the_same_within_reason() -> None:
    sounds = [
        ("HH", 1_280),
        ("AH", 1_280),
        ("L", 1_280),
        ("OW", 3_200),
        ("M", 1_600),
        ("IY", 3_200),
    ]
    whole = await Stage().say(sounds)
    stage = Stage()
    await stage.face.start(1)
    at = 0
    for number, sound in enumerate(sounds):
        # A sound and the one after it are known before its audio comes.
        ahead = sounds[:2] if number == 0 else sounds[number + 1 : number + 2]
        start = at if number == 0 else at + sound[1]
        await stage.face.phonemes(phonemes(ahead, at=start))
        await stage.face.audio(1, tone(sound[1]))
        at += sound[1]
    await stage.face.finish(1)
    apart = [
        abs(a.weights[JAW] - b.weights[JAW]) for a, b in zip(whole, stage.frames(), strict=True)
    ]
    assert float(np.mean(apart)) < 0.06


async def test_without_phonemes_the_jaw_follows_loudness() -> None:
    stage = Stage()
    await stage.face.start(1)
    await stage.face.audio(1, tone(8_000, level=0.5))
    await stage.face.audio(1, bytes(16_000))
    await stage.face.finish(1)
    jaw = [frame.weights[JAW] for frame in stage.frames()]
    assert min(jaw[6:24]) > 0.3
    assert max(jaw[40:]) < 0.02


async def test_useless_phonemes_do_no_harm() -> None:
    stage = Stage()
    await stage.face.start(1)
    for start, end in [(-5, 100), (100, 100), (50, 40), (0, 2**62), (2**62, 2**62 + 5)]:
        sound = {"symbol": "AA", "start_sample": start, "end_sample": end}
        await stage.face.phonemes(pb.TurnPhonemes(turn=1, alphabet=1, phonemes=[sound]))  # type: ignore[list-item]  # a dict is taken
    await stage.face.phonemes(phonemes([("???", 3_200), ("", 3_200)]))
    await stage.face.phonemes(phonemes([("M", 3_200)], alphabet=0))
    await stage.face.audio(1, tone(8_000))
    await stage.face.finish(1)
    assert len(stage.frames()) == 25


async def test_a_new_turn_begins_afresh() -> None:
    stage = Stage()
    await stage.say([("AA", 8_000)])
    stage.events.clear()
    await stage.face.start(2)
    await stage.face.audio(2, bytes(6_400))
    await stage.face.finish(2)
    assert stage.motions()[0].start_sample == 0
    assert max(frame.weights[JAW] for frame in stage.frames()) == 0


async def test_it_blinks_now_and_then() -> None:
    stage = Stage()
    await stage.face.start(1)
    for _ in range(60):
        await stage.face.audio(1, bytes(32_000))
    eyes = [frame.weights[BLINK] for frame in stage.frames()]
    blinks = sum(1 for a, b in itertools.pairwise(eyes) if a < 0.5 <= b)
    assert 60 / 6.5 <= blinks <= 60 / 2
    assert np.mean(np.array(eyes) > 0) < 0.15
