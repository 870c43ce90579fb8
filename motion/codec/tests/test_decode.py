"""Either codec's payload, by name."""

from __future__ import annotations

import pytest
from stagewire_motion_codec import Clip, arkit52, decode, spatius


def test_arkit52_frames_have_arkits_names_and_a_head() -> None:
    weights = [0.0] * 52
    weights[arkit52.CHANNELS.index("jawOpen")] = 1.0
    frame = arkit52.Frame(tuple(weights), pitch=0.1, yaw=-0.02)
    clip = decode("stagewire.arkit52", arkit52.pack([frame, frame], 50))
    assert clip.frames_per_second == 50
    assert not clip.last
    assert len(clip.frames) == 2
    first = clip.frames[0]
    assert set(first) == {*arkit52.CHANNELS, "pitch", "yaw", "roll"}
    assert first["jawOpen"] == 1.0
    assert first["mouthClose"] == 0.0
    assert (first["pitch"], first["yaw"], first["roll"]) == pytest.approx((0.1, -0.02, 0.0))


def test_spatius_frames_have_flames_names() -> None:
    keyframe = spatius.Keyframe(jaw_pose=(0.5, 0.0, 0.0))
    payload = spatius.pack(spatius.Animation("turn", (keyframe,), end=True))
    clip = decode("spatius.message", payload)
    assert clip.frames_per_second == 25
    assert clip.last
    assert set(clip.frames[0]) == set(spatius.SIZES)
    assert clip.frames[0]["jaw_pose"] == [0.5, 0.0, 0.0]


def test_a_control_message_has_no_frames() -> None:
    assert decode("spatius.message", spatius.pack(spatius.Animation("turn"))) == Clip(25, [])


@pytest.mark.parametrize("codec", ["stagewire.arkit52", "spatius.message"])
def test_a_malformed_payload_is_an_error_with_a_reason(codec: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(codec, b"\xff")


def test_an_unknown_codec_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"'nobody\.codec' is not one of stagewire\.arkit52, spa"):
        decode("nobody.codec", b"")
