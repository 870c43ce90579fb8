"""The engine by itself: exact cover of the audio, and mouths that fit the sounds."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire_lipsync import Frames, Performer, PhonemeTime, idle_loop
from stagewire_motion_codec.arkit52 import CHANNELS

Samples = npt.NDArray[np.float32]
JAW, PRESS, CLOSE = (CHANNELS.index(c) for c in ("jawOpen", "mouthPressLeft", "mouthClose"))
MOUTH = [n for n, name in enumerate(CHANNELS) if name.startswith(("jaw", "mouth", "tongue"))]
BLINK, BROW = CHANNELS.index("eyeBlinkLeft"), CHANNELS.index("browInnerUp")
RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]


def phonemes(sounds: list[tuple[str, int]], at: int = 0) -> list[PhonemeTime]:
    listed = []
    for symbol, length in sounds:
        listed.append(PhonemeTime(symbol, at, at + length))
        at += length
    return listed


def tone(samples: int, level: float = 0.2) -> Samples:
    return (level * np.sin(np.arange(samples) / 10)).astype(np.float32)


def say(sounds: list[tuple[str, int]], level: float = 0.2) -> Frames:
    face = Performer(16_000, seed=1)
    face.expect(phonemes(sounds))
    heard = face.hear(tone(sum(length for _, length in sounds), level))
    return Frames.join([heard, face.finish()])


def shape(frames: Frames, frame: int) -> dict[str, float]:
    return dict(zip(CHANNELS, frames.weights[frame].tolist(), strict=True))


@given(
    rate=st.sampled_from(RATES),
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
        assert received * 50 // rate - shown <= 5
    rest = face.finish()
    assert shown + len(rest) == -(-received * 50 // rate)
    if len(rest):
        assert rest.weights[-1, MOUTH].max() == 0
    assert rest.weights.min(initial=0) >= 0
    assert rest.weights.max(initial=0) <= 1


@pytest.mark.parametrize("rate", RATES)
def test_where_phonemes_are_known_only_the_newest_frame_is_held_back(rate: int) -> None:
    face = Performer(rate)
    face.expect(phonemes([("AA", rate // 4), ("M", rate // 10)] * 4))
    shown = 0
    for number in range(1, 13):
        shown += len(face.hear(tone(rate // 10)))
        whole = number * (rate // 10) * 50 // rate
        assert whole - shown <= 1


@pytest.mark.parametrize("sound", ["P", "B", "M"])
def test_bilabials_close_the_mouth(sound: str) -> None:
    frames = say([("sil", 1_600), ("AA", 2_400), (sound, 1_280), ("AA", 2_400)]).weights
    closed = frames[(4_000 + 640) // 320]
    open_ = frames[(1_600 + 1_200) // 320]
    assert closed[JAW] < 0.1
    assert closed[JAW] - closed[CLOSE] < 0.03
    assert closed[PRESS] > 0.3
    assert open_[JAW] > 0.3
    assert open_[PRESS] < 0.15


@pytest.mark.parametrize("sound", ["F", "V"])
def test_labiodentals_bring_the_lip_to_the_teeth(sound: str) -> None:
    frames = say([("AA", 2_400), (sound, 1_440), ("AA", 2_400)])
    lip, vowel = shape(frames, (2_400 + 720) // 320), shape(frames, 4)
    assert lip["mouthShrugLower"] > 0.3 > 0.1 > vowel["mouthShrugLower"]
    assert lip["mouthUpperUpLeft"] > 0.2
    assert lip["mouthPressLeft"] < 0.1
    assert lip["jawOpen"] < 0.2


def test_vowels_differ() -> None:
    oo, ee, ah = (shape(say([(vowel, 6_400)]), 10) for vowel in ("UW", "IY", "AA"))
    assert oo["mouthPucker"] > 0.5 > 0.1 > ee["mouthPucker"]
    assert ee["mouthStretchLeft"] > 0.3 > 0.1 > oo["mouthStretchLeft"]
    assert ah["jawOpen"] > 2 * max(oo["jawOpen"], ee["jawOpen"])


def test_a_diphthong_moves() -> None:
    frames = say([("AW", 6_400), ("sil", 3_200)])
    early, late = shape(frames, 5), shape(frames, 16)
    assert early["jawOpen"] > late["jawOpen"] + 0.1
    assert late["mouthPucker"] > early["mouthPucker"] + 0.1


def test_lips_keep_the_rounding_of_vowels_through_a_consonant_that_does_not_care() -> None:
    assert shape(say([("UW", 3_200), ("T", 1_280), ("UW", 3_200)]), 12)["mouthPucker"] > 0.5
    assert shape(say([("IY", 3_200), ("T", 1_280), ("IY", 3_200)]), 12)["mouthPucker"] < 0.1


def test_a_pause_closes_the_mouth_and_rest_begins_and_ends_an_utterance() -> None:
    frames = say([("sil", 480), ("AA", 3_200), ("sil", 4_800), ("AA", 3_200)]).weights[:, MOUTH]
    assert frames[0].max() == 0
    assert frames[(3_680 + 2_400) // 320].max() < 0.02
    assert frames[-1].max() == 0


def test_the_mouth_moves_smoothly() -> None:
    jaw = say([("sil", 1_600), ("AA", 3_200), ("sil", 3_200)]).weights[:, JAW]
    assert jaw.max() > 0.4
    assert np.abs(np.diff(jaw)).max() < 0.2


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


def test_phonemes_that_run_out_are_followed_by_what_is_heard() -> None:
    face = Performer(16_000)
    face.expect(phonemes([("M", 8_000)]))
    heard = [face.hear(tone(800, 0.5)) for _ in range(20)]
    frames = Frames.join([*heard, face.finish()]).weights
    assert frames[5:23, PRESS].min() > 0.4
    assert frames[35:48, JAW].min() > 0.3
    assert frames[35:48, PRESS].max() < 0.05


def test_without_phonemes_and_model_the_jaw_follows_loudness() -> None:
    face = Performer(16_000)
    heard = [face.hear(tone(8_000, 0.5)), face.hear(np.zeros(8_000, np.float32)), face.finish()]
    jaw = Frames.join(heard).weights[:, JAW]
    assert jaw[6:24].min() > 0.3
    assert jaw[40:].max() < 0.02


def test_useless_phonemes_do_no_harm() -> None:
    face = Performer(16_000)
    for start, end in [(-5, 100), (100, 100), (50, 40), (0, 2**62), (2**62, 2**62 + 5)]:
        face.expect([PhonemeTime("AA", start, end)])
    face.expect(phonemes([("???", 3_200), ("", 3_200), ("AA", 400_000)]))
    face.expect([PhonemeTime("M", 0, 3_200)])
    frames = Frames.join([face.hear(tone(8_000)), face.finish()])
    assert len(frames) == 25
    assert frames.weights[:, PRESS].max() < 0.1


@pytest.mark.parametrize(
    "samples",
    [
        np.full(16_000, np.nan, np.float32),
        np.full(16_000, np.inf, np.float32),
        np.where(np.arange(16_000) % 2, -50, 50).astype(np.float32),
        np.zeros(16_000, np.float32),
    ],
    ids=["NaN", "infinite", "clipping", "silence"],
)
def test_audio_that_is_no_voice(samples: Samples) -> None:
    face = Performer(16_000)
    frames = Frames.join([face.hear(samples), face.hear(tone(1_600)), face.finish()])
    assert len(frames) == 55
    assert np.isfinite(frames.weights).all()
    assert np.isfinite(frames.head).all()
    assert 0 <= frames.weights.min() <= frames.weights.max() <= 1


@pytest.mark.parametrize("rate", [0, -1, 7_999, 1_000_000])
def test_a_rate_that_is_no_voices(rate: int) -> None:
    with pytest.raises(ValueError, match=str(rate)):
        Performer(rate)


def test_a_new_utterance_begins_afresh() -> None:
    face = Performer(16_000)
    face.expect(phonemes([("AA", 8_000)]))
    face.hear(tone(8_000))
    face.start()
    frames = Frames.join([face.hear(np.zeros(3_200, np.float32)), face.finish()])
    assert frames.weights[:, JAW].max() == 0


def test_a_seed_makes_it_repeatable_and_faces_are_independent() -> None:
    def performance(seed: int, other: Performer | None = None) -> Frames:
        face, pieces = Performer(16_000, seed), []
        for n in range(100):
            pieces.append(face.hear(tone(1_600, 0.1 + n % 3 / 10)))
            if other:
                other.hear(tone(700))
        return Frames.join([*pieces, face.finish(), face.rest(200)])

    one, again = performance(5), performance(5, Performer(16_000, 9))
    assert np.array_equal(one.weights, again.weights)
    assert np.array_equal(one.head, again.head)
    another = performance(6)
    assert not np.array_equal(one.head, another.head)
    assert np.array_equal(one.weights[:, MOUTH], another.weights[:, MOUTH])


def test_it_blinks_now_and_then() -> None:
    face = Performer(16_000, seed=1)
    eyes = Frames.join([face.rest(50) for _ in range(60)]).weights[:, BLINK].tolist()
    blinks = sum(1 for a, b in itertools.pairwise(eyes) if a < 0.5 <= b)
    assert 60 / 6.5 <= blinks <= 60 / 2
    assert np.mean(np.array(eyes) > 0) < 0.15


def test_at_rest_it_lives_with_its_mouth_closed() -> None:
    frames = Performer(16_000, seed=2).rest(1_500)
    assert frames.weights[:, MOUTH].max() == 0
    assert 0.01 < np.abs(frames.head).max() < 0.1
    assert np.abs(np.diff(frames.head, axis=0)).max() < 0.005
    gaze = frames.weights[:, [n for n, c in enumerate(CHANNELS) if c.startswith("eyeLook")]]
    assert 0.02 < gaze.max() < 0.3
    breath = np.abs(np.fft.rfft(frames.head[:, 0] - frames.head[:, 0].mean()))
    quarter_hertz = round(0.25 * 1_500 / 50)
    assert breath[quarter_hertz - 1 : quarter_hertz + 2].max() > 3 * np.median(breath)


def test_brows_and_head_follow_what_is_stressed() -> None:
    face, silent = Performer(16_000, seed=3), Performer(16_000, seed=3)
    loud = [tone(9_600, 0.05), tone(4_800, 0.7)] * 8
    spoken = Frames.join([face.hear(piece) for piece in loud])
    still = Frames.join([silent.hear(np.zeros(14_400, np.float32)) for _ in range(8)])
    assert still.weights[:, BROW].max() == 0
    assert spoken.weights[:, BROW].max() > 0.1
    assert spoken.head[:, 0].max() > still.head[:, 0].max()


@given(seconds=st.floats(4, 40), seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_an_idle_loop_continues_into_its_beginning(seconds: float, seed: int) -> None:
    loop = idle_loop(seconds, seed)
    assert len(loop) == round(seconds * 50)
    turned = np.concatenate([loop.head[-1:], loop.head])
    assert np.abs(np.diff(turned, axis=0)).max() < 0.005
    jump = np.abs(loop.weights[0] - loop.weights[-1])
    assert jump.max() < 0.03
    assert loop.weights[:, MOUTH].max() == 0
    assert np.array_equal(loop.weights, idle_loop(seconds, seed).weights)


@pytest.mark.parametrize("seconds", [0, 3.9, float("nan")])
def test_an_idle_loop_is_not_short(seconds: float) -> None:
    with pytest.raises(ValueError, match="shorter"):
        idle_loop(seconds)
