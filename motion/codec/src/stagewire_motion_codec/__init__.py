"""Motion payloads as named frames, and back: the one place that knows their bytes.

A motion message carries its codec's name. ``decode`` takes any payload of a codec that is known
here; ``arkit52`` and ``spatius`` are the codecs themselves, for those who make payloads or want
more than names and numbers. docs/motion-codecs.md explains both with their bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stagewire_motion_codec import arkit52, spatius

NamedFrame = dict[str, float | list[float]]
"""A face at one moment: ARKit names with weights, or FLAME parameters with their vectors."""


@dataclass(frozen=True)
class Clip:
    """What one payload shows.

    Attributes:
        frames_per_second: How fast its frames follow each other.
        frames: In order; empty for a control message of a vendor.
        last: Whether the payload says by itself that the turn's motion ends with it.
    """

    frames_per_second: int
    frames: list[NamedFrame]
    last: bool = False


def decode(codec: str, payload: bytes) -> Clip:
    """The frames of a payload, by name.

    Args:
        codec: ``stagewire.arkit52`` or ``spatius.message``.
        payload: As it came.

    Raises:
        ValueError: The payload is malformed, or the codec is not known here; says which and how.
    """
    if codec not in _CODECS:
        raise ValueError(f"codec {codec!r} is not one of {', '.join(_CODECS)}")
    return _CODECS[codec](payload)


def _arkit52(payload: bytes) -> Clip:
    rate, frames = arkit52.unpack(payload)
    return Clip(rate, [_named(frame) for frame in frames])


def _named(frame: arkit52.Frame) -> NamedFrame:
    named: NamedFrame = dict(zip(arkit52.CHANNELS, frame.weights, strict=True))
    return named | {"pitch": frame.pitch, "yaw": frame.yaw, "roll": frame.roll}


def _spatius(payload: bytes) -> Clip:
    animation = spatius.unpack(payload)
    frames: list[NamedFrame] = [
        {name: list(getattr(keyframe, name)) for name in spatius.SIZES}
        for keyframe in animation.keyframes
    ]
    return Clip(spatius.FRAME_RATE, frames, animation.end)


_CODECS: Mapping[str, Callable[[bytes], Clip]] = {arkit52.NAME: _arkit52, spatius.NAME: _spatius}
