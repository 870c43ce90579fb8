"""The codec ``spatius.message``: a motion message of Spatius' Motion Server, byte for byte.

A payload is one serialized ``Message`` (stagewire/spatius_wire/v2) whose data is an animation: what
the Server SDK's ``transport_frames`` hands over, and what Spatius' client SDKs are fed. On the way
to a client it is opaque; here it is read for tests, recordings and previews, and written by the
local Motion Server. docs/motion-codecs.md has the layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as wire

NAME = "spatius.message"
FRAME_RATE = 25
"""Keyframes per second; the payload does not carry it."""

SIZES = {
    "translation": 3,
    "rotation": 3,
    "neck_pose": 3,
    "jaw_pose": 3,
    "eye_pose": 6,
    "eye_lid": 2,
    "expression": 100,
}
"""The parameters of a keyframe, and how many numbers each has."""

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Keyframe:
    """A face at one moment, as FLAME parameters; angles in radians.

    Attributes:
        translation: Where the head is.
        rotation: Of the whole head, axis-angle.
        neck_pose: The neck's rotation; [0] is positive for a nod down.
        jaw_pose: The jaw's rotation; [0] is how far it is open.
        eye_pose: The left eye's rotation, then the right one's.
        eye_lid: How far the lids are closed, left and right, 0 to 1.
        expression: Coefficients of FLAME's expression space.
    """

    translation: Vector = (0.0,) * 3
    rotation: Vector = (0.0,) * 3
    neck_pose: Vector = (0.0,) * 3
    jaw_pose: Vector = (0.0,) * 3
    eye_pose: Vector = (0.0,) * 6
    eye_lid: Vector = (0.0,) * 2
    expression: Vector = (0.0,) * 100


@dataclass(frozen=True)
class Animation:
    """What one message says.

    Attributes:
        req_id: The turn, in the words of this wire.
        keyframes: In order; none in a control message.
        end: Whether the turn's motion ends with it.
        connection_id: The Motion Server's session.
        avatar_id: For whom the motion was made.
        traceparent: The server's W3C trace context; empty for none.
    """

    req_id: str
    keyframes: tuple[Keyframe, ...] = ()
    end: bool = False
    connection_id: str = ""
    avatar_id: str = ""
    traceparent: str = ""


def pack(animation: Animation) -> bytes:
    """An animation as the message that carries it.

    Raises:
        ValueError: A keyframe has a wrong number of values, or one that is not a finite 32-bit
            float.
    """
    message = wire.Message(type=wire.MESSAGE_TYPE_SERVER_RESPONSE_ANIMATION)
    response = message.response_animation
    response.req_id, response.end = animation.req_id, animation.end
    response.connection_id, response.avatar_id = animation.connection_id, animation.avatar_id
    if animation.traceparent:
        response.trace_context.traceparent = animation.traceparent
    for keyframe in animation.keyframes:
        added = response.animation.keyframes.add()
        for name in SIZES:
            getattr(added, name).extend(_checked(name, getattr(keyframe, name)))
    return message.SerializeToString()


def unpack(payload: bytes) -> Animation:
    """The animation in a message.

    Raises:
        ValueError: The bytes are no message of this wire, no animation, or a keyframe is malformed;
            says how.
    """
    try:
        message = wire.Message.FromString(payload)
    except DecodeError:
        raise ValueError(f"{len(payload)} bytes are no protobuf message of this wire") from None
    if message.WhichOneof("data") != "response_animation":
        raise ValueError(f"the message carries {message.WhichOneof('data') or 'nothing'}")
    response = message.response_animation
    keyframes = (
        Keyframe(**{name: _checked(name, getattr(keyframe, name)) for name in SIZES})
        for keyframe in response.animation.keyframes
    )
    return Animation(
        req_id=response.req_id,
        keyframes=tuple(keyframes),
        end=response.end,
        connection_id=response.connection_id,
        avatar_id=response.avatar_id,
        traceparent=response.trace_context.traceparent,
    )


def is_last(payload: bytes) -> bool:
    """Whether the turn's motion ends with this message; False for what is no animation.

    For those who hand payloads on and need no more of them: it looks at no keyframe.
    """
    try:
        return wire.Message.FromString(payload).response_animation.end
    except DecodeError:
        return False


def _checked(name: str, values: Sequence[float]) -> Vector:
    if len(values) != SIZES[name]:
        raise ValueError(f"{name} has {len(values)} values, not {SIZES[name]}")
    if not all(abs(value) <= _FLOAT_MAX for value in values):  # neither infinite nor NaN
        raise ValueError(f"{name} has a value that is not a finite 32-bit float")
    return tuple(values)


_FLOAT_MAX = math.ldexp(2 - 2**-23, 127)
