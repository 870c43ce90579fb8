"""The codec ``stagewire.arkit52``: 52 ARKit weights and a head pose per frame, in 58 bytes.

arkit52.proto defines the layout; docs/motion-codecs.md explains it with an example. Needs nothing
but the contract.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from stagewire.motion_bridge.v1 import arkit52_pb2

NAME = "stagewire.arkit52"
VERSION = 1
MAX_FRAMES = 255
"""Frames in one payload at most: their number is one byte."""


def _arkit_name(enum_name: str) -> str:
    first, *rest = enum_name.removeprefix("ARKIT52_CHANNEL_").lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


CHANNELS: tuple[str, ...] = tuple(
    _arkit_name(name)
    for name, number in sorted(arkit52_pb2.Arkit52Channel.items(), key=lambda item: item[1])
    if number
)
"""ARKit's blend shape names, such as ``jawOpen``, in the order of a frame's weights."""

_HEADER = struct.Struct("<BBH")
_FRAME = struct.Struct(f"<{len(CHANNELS)}B3h")
_ANGLE_UNIT = 1e-4
_MAX_ANGLE = 32_767


@dataclass(frozen=True)
class Frame:
    """A face at one moment.

    Attributes:
        weights: One per channel, 0 to 1.
        pitch: Radians, positive looks down; at most 3.2767 either way, as all angles.
        yaw: Radians, positive turns to the face's own left.
        roll: Radians, positive tilts to the face's own right.
    """

    weights: tuple[float, ...]
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


def pack(frames: Sequence[Frame], frames_per_second: int) -> bytes:
    """Frames as a payload; what is out of range is clipped.

    Raises:
        ValueError: For no frame or more than 255, a wrong number of weights, a value that is not
            finite, or a rate that is not 1 to 65,535.
    """
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise ValueError(f"a payload holds 1 to {MAX_FRAMES} frames, not {len(frames)}")
    if not 1 <= frames_per_second <= 0xFFFF:
        raise ValueError(f"{frames_per_second} frames per second is not between 1 and 65535")
    payload = bytearray(_HEADER.pack(VERSION, len(frames), frames_per_second))
    for frame in frames:
        if len(frame.weights) != len(CHANNELS):
            raise ValueError(f"a frame has {len(CHANNELS)} weights, not {len(frame.weights)}")
        if not all(map(math.isfinite, (*frame.weights, frame.pitch, frame.yaw, frame.roll))):
            raise ValueError("a weight or an angle is not a finite number")
        weights = (round(255 * min(1.0, max(0.0, weight))) for weight in frame.weights)
        angles = (_angle(angle) for angle in (frame.pitch, frame.yaw, frame.roll))
        payload += _FRAME.pack(*weights, *angles)
    return bytes(payload)


def _angle(radians: float) -> int:
    return max(-_MAX_ANGLE, min(_MAX_ANGLE, round(radians / _ANGLE_UNIT)))


def unpack(payload: bytes) -> tuple[int, list[Frame]]:
    """Frames per second, and the frames, of a payload.

    Raises:
        ValueError: When the payload is malformed; the message says how.
    """
    if len(payload) < _HEADER.size:
        raise ValueError(f"a payload of {len(payload)} bytes is shorter than its header")
    version, count, frames_per_second = _HEADER.unpack_from(payload)
    if version != VERSION:
        raise ValueError(f"version {version} is not {VERSION}")
    if not count or not frames_per_second:
        raise ValueError(f"{count} frames at {frames_per_second} frames per second")
    expected = _HEADER.size + count * _FRAME.size
    if len(payload) != expected:
        raise ValueError(f"{count} frames make {expected} bytes, not {len(payload)}")
    frames = []
    for *weights, pitch, yaw, roll in _FRAME.iter_unpack(payload[_HEADER.size :]):
        scaled = tuple(weight / 255 for weight in weights)
        frames.append(Frame(scaled, pitch * _ANGLE_UNIT, yaw * _ANGLE_UNIT, roll * _ANGLE_UNIT))
    return frames_per_second, frames
