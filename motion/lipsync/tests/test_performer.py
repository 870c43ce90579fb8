"""The engine by itself: exact cover of the audio, and mouths that fit the sounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire_lipsync import Frames, Performer, PhonemeTime
from stagewire_motion_codec.arkit52 import CHANNELS

JAW = CHANNELS.index("jawOpen")
MOUTH = [n for n, name in enumerate(CHANNELS) if name.startswith(("jaw", "mouth", "tongue"))]
BLINK = CHANNELS.index("eyeBlinkLeft")


def phonemes(sounds: list[tuple[str, int]], at: int = 0) -> list[PhonemeTime]:
    listed = []
    for symbol, length in sounds:
        listed.append(PhonemeTime(symbol, at, at + length))
        at += length
    return listed


def tone(samples: int, level: float = 0.2) -> np.ndarray:
    return (level * np.sin(np.arange(samples) / 10)).astype(np.float32)


def say(sounds: list[tuple[str, int]], level: float = 0.2) -> Frames:
    face = Performer(16_000, seed=1)
    face.expect(phonemes(sounds))
    heard = face.hear(tone(sum(length for _, length in sounds), level))
    return Frames.join([heard, face.finish()])


@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]),
    sizes=st.lists(st.integers(1, 3_000), max_size=12),
    sounds=st.lists(st.tuples(st.sampled_from(["M", "AA", "S", "sil"]), st.integers(1, 2_000))),
    early=st.integers(0, 12),
)
@settings(max_examples=60, deadline=None)
def test_frames_cover_the_audio_exactly(
    rate: int, sizes: list[int], sounds: list[tuple[str, int]], early: int
) -> None:
    face = Performer(rate)
    face.start()
    received = shown = 0
    for number, size in enumerate(sizes):
        if number == early:
            face.expect(phonemes(sounds))
        shown += len(face.hear(tone(size)))
        received += size
        assert shown * rate // 50 <= received
        # All but the newest frame leaves as soon as its audio is there.
        assert received * 50 // rate - shown <= 1
    rest = face.finish()
    assert shown + len(rest) == -(-received * 50 // rate)
    if len(rest):
        assert rest.weights[-1, MOUTH].max() == 0


@pytest.mark.parametrize("sound", ["P", "B", "M"])
def test_bilabials_close_the_mouth(sound: str) -> None:
    frames = say([("sil", 1_600), ("AA", 2_400), (sound, 1_280), ("AA", 2_400)]).weights
    closed = frames[(4_000 + 640) // 320]
    open_ = frames[(1_600 + 1_200) // 320]
    assert closed[JAW] < 0.1
    assert closed[CHANNELS.index("mouthPressLeft")] > 0.3
    assert open_[JAW] > 0.3
    assert open_[CHANNELS.index("mouthPressLeft")] < 0.15


def test_vowels_differ() -> None:
    def shape(frames: Frames) -> dict[str, float]:
        return dict(zip(CHANNELS, frames.weights[len(frames) // 2].tolist(), strict=True))

    oo = shape(say([("UW", 6_400)]))
    ee = shape(say([("IY", 6_400)]))
    assert oo["mouthPucker"] > 0.5 > ee["mouthPucker"]
    assert ee["mouthStretchLeft"] > 0.3 > oo["mouthStretchLeft"]


def test_a_pause_closes_the_mouth_and_rest_begins_and_ends_an_utterance() -> None:
    frames = say([("sil", 480), ("AA", 3_200), ("sil", 4_800), ("AA", 3_200)]).weights[:, MOUTH]
    assert frames[0].max() == 0
    assert frames[(3_680 + 2_400) // 320].max() < 0.02
    assert frames[-1].max() == 0


def test_phonemes_in_pieces_or_at_once_are_the_same_within_reason() -> None:
    sounds = [
        ("HH", 1_280),
        ("AH", 1_280),
        ("L", 1_280),
        ("OW", 3_200),
        ("M", 1_600),
        ("IY", 3_200),
    ]
    whole = say(sounds)
    face = Performer(16_000)
    pieces = []
    at = 0
    for number, sound in enumerate(sounds):
        # A sound and the one after it are known before its audio comes.
        ahead = sounds[:2] if number == 0 else sounds[number + 1 : number + 2]
        face.expect(phonemes(ahead, at if number == 0 else at + sound[1]))
        pieces.append(face.hear(tone(sound[1])))
        at += sound[1]
    frames = Frames.join([*pieces, face.finish()])
    assert np.abs(whole.weights[:, JAW] - frames.weights[:, JAW]).mean() < 0.06


def test_without_phonemes_the_jaw_follows_loudness() -> None:
    face = Performer(16_000)
    heard = [face.hear(tone(8_000, 0.5)), face.hear(np.zeros(8_000, np.float32)), face.finish()]
    jaw = Frames.join(heard).weights[:, JAW]
    assert jaw[6:24].min() > 0.3
    assert jaw[40:].max() < 0.02


def test_useless_phonemes_do_no_harm() -> None:
    face = Performer(16_000)
    for start, end in [(-5, 100), (100, 100), (50, 40), (0, 2**62), (2**62, 2**62 + 5)]:
        face.expect([PhonemeTime("AA", start, end)])
    face.expect(phonemes([("???", 3_200), ("", 3_200)]))
    assert len(Frames.join([face.hear(tone(8_000)), face.finish()])) == 25


def test_a_new_utterance_begins_afresh() -> None:
    face = Performer(16_000)
    face.expect(phonemes([("AA", 8_000)]))
    face.hear(tone(8_000))
    face.start()
    frames = Frames.join([face.hear(np.zeros(3_200, np.float32)), face.finish()])
    assert frames.weights[:, JAW].max() == 0


def test_it_blinks_now_and_then() -> None:
    face = Performer(16_000, seed=1)
    eyes = Frames.join([face.rest(50) for _ in range(60)]).weights[:, BLINK].tolist()
    blinks = sum(1 for a, b in itertools.pairwise(eyes) if a < 0.5 <= b)
    assert 60 / 6.5 <= blinks <= 60 / 2
    assert np.mean(np.array(eyes) > 0) < 0.15
