from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagewire_motion_codec.arkit52 import CHANNELS, MAX_FRAMES, Frame, pack, unpack

ANGLES = st.integers(-32_767, 32_767).map(lambda n: n * 1e-4)
FRAMES = st.builds(
    Frame,
    st.lists(st.integers(0, 255), min_size=52, max_size=52).map(
        lambda w: tuple(n / 255 for n in w)
    ),
    ANGLES,
    ANGLES,
    ANGLES,
)
REST = Frame((0.0,) * 52)


def test_channels_are_arkits() -> None:
    assert len(CHANNELS) == len(set(CHANNELS)) == 52
    assert CHANNELS[0] == "eyeBlinkLeft"
    assert CHANNELS[17] == "jawOpen"
    assert CHANNELS[-1] == "tongueOut"


@given(st.lists(FRAMES, min_size=1, max_size=6), st.integers(1, 65_535))
def test_round_trip(frames: list[Frame], rate: int) -> None:
    payload = pack(frames, rate)
    assert len(payload) == 4 + 58 * len(frames)
    assert unpack(payload) == (rate, frames)
    assert pack(unpack(payload)[1], rate) == payload


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_value_error(payload: bytes) -> None:
    try:
        rate, frames = unpack(payload)
    except ValueError:
        return
    assert len(frames) * 58 + 4 == len(payload)
    assert all(0 <= weight <= 1 for frame in frames for weight in frame.weights)
    assert rate > 0


def test_the_layout_that_the_documentation_shows() -> None:
    weights = [0.0] * 52
    weights[CHANNELS.index("jawOpen")] = 0.5
    payload = pack([Frame(tuple(weights), pitch=0.1, yaw=-0.02)], 50)
    assert payload[:4] == bytes([1, 1, 50, 0])
    assert payload[4 + 17] == 128
    assert payload[4 + 52 :] == bytes([0xE8, 0x03, 0x38, 0xFF, 0x00, 0x00])


def test_out_of_range_is_clipped() -> None:
    frame = unpack(pack([Frame((2.0, -1.0) * 26, 9.0, -9.0)], 50))[1][0]
    assert frame.weights[:2] == (1.0, 0.0)
    assert (frame.pitch, frame.yaw) == pytest.approx((3.2767, -3.2767))


@pytest.mark.parametrize(
    ("frames", "rate"),
    [
        ([], 50),
        ([REST] * (MAX_FRAMES + 1), 50),
        ([Frame((0.0,) * 51)], 50),
        ([Frame((math.nan,) * 52)], 50),
        ([Frame((0.0,) * 52, pitch=math.inf)], 50),
        ([REST], 0),
        ([REST], 65_536),
    ],
)
def test_not_packed(frames: list[Frame], rate: int) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        pack(frames, rate)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x01\x01\x32",
        struct.pack("<BBH", 1, 0, 50),
        struct.pack("<BBH", 1, 1, 50),
        struct.pack("<BBH", 2, 1, 50) + bytes(58),
        struct.pack("<BBH", 1, 1, 0) + bytes(58),
        struct.pack("<BBH", 1, 1, 50) + bytes(59),
        struct.pack("<BBH", 1, 2, 50) + bytes(58),
    ],
)
def test_malformed(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        unpack(payload)
