"""Windows, counts and the mapping to FLAME, without a server."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire_lipsync import Frames, Performer
from stagewire_motion_codec import spatius
from stagewire_motion_codec.arkit52 import CHANNELS
from stagewire_motion_server.audio import Pcm
from stagewire_motion_server.flame import keyframes
from stagewire_motion_server.options import KEYFRAMES_AT_MOST
from stagewire_motion_server.turn import Turn, Windows

REST = spatius.Keyframe()


def perform(pcm: bytes, cuts: list[int], rate: int, performer: Performer | None = None) -> list:
    """All windows of a turn whose audio comes in these pieces."""
    turn = Turn("r", Pcm(rate), rate, performer or Performer(rate, 3), Windows(50, 100), 600)
    edges = [0, *sorted(2 * c % (len(pcm) + 2) for c in cuts), len(pcm)]
    windows = []
    for begin, end in pairwise(edges):
        for step in turn.hear(pcm[begin:end]):
            windows += step
    return [*windows, *turn.finish()]


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(0, 80_000),
    cuts=st.lists(st.integers(0, 40_000), max_size=6),
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100]),
)
def test_a_turn_has_as_many_keyframes_as_its_audio_however_it_comes(
    samples: int, cuts: list[int], rate: int
) -> None:
    windows = perform(bytes(2 * samples), cuts, rate)
    assert sum(map(len, windows)) == math.floor(samples * 25 / rate)
    sizes = [len(window) for window in windows]
    assert sizes[:-1] == [50, *[100] * 9][: len(sizes) - 1]
    assert sizes[-1] > 0 or samples * 25 < rate


def test_how_the_audio_comes_does_not_change_the_motion() -> None:
    noise = np.random.default_rng(1).normal(0, 4000, 48_000).astype("<i2").tobytes()

    def motion(cuts: list[int]) -> list[spatius.Keyframe]:
        return [keyframe for window in perform(noise, cuts, 16_000) for keyframe in window]

    assert motion([]) == motion([1, 333, 5_000, 17_001]) == motion(list(range(0, 48_000, 320)))


def test_turns_of_one_face_follow_each_other() -> None:
    face = Performer(16_000, 3)
    first = perform(bytes(32_000), [], 16_000, face)
    second = perform(bytes(48_000), [], 16_000, face)
    assert (len(first[0]), len(second[0])) == (25, 37)


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 40), st.integers(1, 40))
def test_windows_lose_nothing_and_hold_one_back(
    additions: list[int], first: int, following: int
) -> None:
    windows = Windows(first, following)
    given_out = [w for count in additions for w in windows.add([REST] * count)]
    rest = windows.rest()
    sizes = [len(window) for window in given_out]
    assert sum(sizes) + len(rest) == sum(additions)
    assert sizes == [first, *[following] * len(sizes)][: len(sizes)]
    assert (len(rest) == 0) == (sum(additions) == 0)
    assert len(rest) <= (following if sizes else first)


def test_the_longest_window_is_a_message_that_the_sdk_reads() -> None:
    longest = [face((1.0, 1.0, 1.0), jawOpen=1.0)] * KEYFRAMES_AT_MOST
    animation = spatius.Animation("r" * 100, tuple(longest), True, "c" * 100, "a" * 1_000)
    assert len(spatius.pack(animation)) < 1 << 20


# -- FLAME


def face(head: tuple[float, float, float] = (0, 0, 0), **weights: float) -> spatius.Keyframe:
    row = np.zeros((2, 52), np.float32)
    for name, weight in weights.items():
        row[:, CHANNELS.index(name)] = weight
    (keyframe,) = keyframes(Frames(row, np.array([head, head], np.float32)))
    return keyframe


def test_a_face_at_rest() -> None:
    rest = face()
    assert rest.translation == (-0.0007, 0.0037, -0.0008)
    assert rest.jaw_pose == pytest.approx((0.01, -0.0051, 0.0105))
    assert rest.neck_pose == pytest.approx((0.12, 0, 0))
    assert rest.eye_pose == pytest.approx((0.0003,) * 6)
    assert rest.eye_lid == (0, 0)
    assert rest.rotation == (0.0,) * 3
    assert rest.expression == (0.0,) * 100


def test_the_jaw_opens() -> None:
    assert face(jawOpen=0.5).jaw_pose[0] == pytest.approx(0.035)
    assert face(jawOpen=1.0).jaw_pose[0] == pytest.approx(0.06)


def test_lids_are_left_and_right() -> None:
    assert face(eyeBlinkLeft=1.0, eyeBlinkRight=0.25).eye_lid == (1.0, 0.25)


def test_the_head_turns() -> None:
    assert face((0.1, -0.05, 0.02)).neck_pose == pytest.approx((0.22, -0.05, 0.02))


def test_eyes_look_where_arkit_says() -> None:
    down = face(eyeLookDownLeft=1.0, eyeLookDownRight=1.0).eye_pose
    assert down == pytest.approx((0.5239, 0.0003, 0.0003) * 2, abs=1e-4)
    left = face(eyeLookOutLeft=1.0, eyeLookInRight=1.0).eye_pose  # to the face's own left
    assert left == pytest.approx((0.0003, 0.5239, 0.0003) * 2, abs=1e-4)
    up_right = face(eyeLookUpLeft=0.5, eyeLookUpRight=0.5, eyeLookInLeft=0.5, eyeLookOutRight=0.5)
    assert up_right.eye_pose == pytest.approx((-0.2615, -0.2615, 0.0003) * 2, abs=1e-4)


def test_a_keyframe_is_the_mean_of_its_two_frames() -> None:
    row = np.zeros((4, 52), np.float32)
    row[0, CHANNELS.index("jawOpen")] = 1.0
    first, second = keyframes(Frames(row, np.zeros((4, 3), np.float32)))
    assert first.jaw_pose[0] == pytest.approx(0.035)
    assert second.jaw_pose[0] == pytest.approx(0.01)
