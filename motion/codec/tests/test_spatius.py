from __future__ import annotations

import itertools
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as wire
from stagewire_motion_codec.spatius import SIZES, Animation, Keyframe, pack, unpack

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def vectors(size: int) -> st.SearchStrategy[tuple[float, ...]]:
    """A few numbers, over and over."""
    few = st.lists(FLOATS, min_size=1, max_size=4)
    return few.map(lambda values: tuple(itertools.islice(itertools.cycle(values), size)))


KEYFRAMES = st.builds(Keyframe, **{name: vectors(size) for name, size in SIZES.items()})
ANIMATIONS = st.builds(
    Animation,
    req_id=st.text(max_size=40),
    keyframes=st.lists(KEYFRAMES, max_size=4).map(tuple),
    end=st.booleans(),
    connection_id=st.text(max_size=20),
    avatar_id=st.text(max_size=20),
    traceparent=st.sampled_from(["", "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"]),
)


@given(ANIMATIONS)
def test_round_trip(animation: Animation) -> None:
    assert unpack(pack(animation)) == animation


@given(st.binary(max_size=300))
def test_any_bytes_are_an_animation_or_a_value_error(payload: bytes) -> None:
    try:
        animation = unpack(payload)
    except ValueError:
        return
    assert all(len(getattr(k, n)) == size for k in animation.keyframes for n, size in SIZES.items())


@given(ANIMATIONS, st.data())
def test_a_damaged_message_is_an_animation_or_a_value_error(
    animation: Animation, data: st.DataObject
) -> None:
    payload = bytearray(pack(animation))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    with suppress(ValueError):
        unpack(bytes(payload))


def test_the_bytes_are_those_of_the_wire() -> None:
    """Written by hand from the wire's field numbers, so that no rename here can move one."""

    def field(number: int, content: bytes) -> bytes:
        size = len(content)
        length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        return bytes([number << 3 | 2]) + length + content

    def floats(number: int, *values: float) -> bytes:
        return field(number, struct.pack(f"<{len(values)}f", *values))

    keyframe = b"".join(
        [
            floats(1, 1, 2, 3),
            floats(2, 4, 5, 6),
            floats(3, 0.125, 0, 0),
            floats(4, 0.5, 0, 0),
            floats(5, 1, 2, 3, 4, 5, 6),
            floats(6, 0.25, 0.75),
            floats(7, *range(100)),
        ]
    )
    response = b"".join(
        [
            field(1, b"connection"),
            field(2, b"request"),
            b"\x18\x01",
            field(4, field(1, keyframe)),
            field(5, b"avatar"),
            field(6, field(1, b"00-trace")),
        ]
    )
    payload = b"\x08\x05" + field(6, response)
    animation = Animation(
        req_id="request",
        keyframes=(
            Keyframe(
                translation=(1, 2, 3),
                rotation=(4, 5, 6),
                neck_pose=(0.125, 0, 0),
                jaw_pose=(0.5, 0, 0),
                eye_pose=(1, 2, 3, 4, 5, 6),
                eye_lid=(0.25, 0.75),
                expression=tuple(map(float, range(100))),
            ),
        ),
        end=True,
        connection_id="connection",
        avatar_id="avatar",
        traceparent="00-trace",
    )
    assert pack(animation) == payload
    assert unpack(payload) == animation


@pytest.mark.parametrize("sent", ["confirm_session", "audio_input", "server_error", "interrupt"])
def test_other_messages_are_no_motion(sent: str) -> None:
    message = wire.Message()
    getattr(message, sent).SetInParent()
    with pytest.raises(ValueError, match=sent):
        unpack(message.SerializeToString())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("jaw_pose", (0.0,) * 2),
        ("expression", (0.0,) * 101),
        ("eye_lid", ()),
        ("neck_pose", (float("nan"), 0.0, 0.0)),
        ("rotation", (0.0, float("inf"), 0.0)),
        ("translation", (1e39, 0.0, 0.0)),
    ],
)
def test_malformed_keyframes_are_refused_both_ways(name: str, values: tuple[float, ...]) -> None:
    keyframe = Keyframe(**{name: values})
    with pytest.raises(ValueError, match=name):
        pack(Animation("r", (keyframe,)))
    if 1e39 not in values:  # which no 32-bit float on the wire can be
        message = wire.Message.FromString(pack(Animation("r", (Keyframe(),))))
        written = getattr(message.response_animation.animation.keyframes[0], name)
        del written[:]
        written.extend(values)
        with pytest.raises(ValueError, match=name):
            unpack(message.SerializeToString())
