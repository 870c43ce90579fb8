"""From ARKit-52 frames at 50 per second to FLAME keyframes at 25 per second.

Only what has an honest source moves. Axes are FLAME's (Li et al., "Learning a model of facial shape
and expression from 4D scans", 2017; https://flame.is.tue.mpg.de): x to the face's own left, y up, z
out of the face; rotations are axis-angle in rad, so a small pitch, yaw and roll are its x, y and z.

| field | from | scale |
|---|---|---|
| jaw_pose[0] | jawOpen | 0.01 closed to 0.06 open: the range of speech in a captured answer |
| eye_lid | eyeBlinkLeft, eyeBlinkRight | 1 is closed in both |
| neck_pose | the head's pitch, yaw, roll | rad in both; pitch is around the captured mean 0.12 |
| eye_pose | eyeLook* | a weight of 1 is 30 degrees, what a usual ARKit rig turns an eye |
| translation, rotation | nothing | as captured: constant |
| expression | nothing | 0: a learned space, and no map from ARKit with a source and a licence |

The constants at rest are those of a captured answer of the real server (means, rounded).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from stagewire_lipsync import FRAME_RATE, Frames
from stagewire_motion_codec import spatius
from stagewire_motion_codec.arkit52 import CHANNELS

FRAMES_PER_KEYFRAME = FRAME_RATE // spatius.FRAME_RATE

_TRANSLATION = (-0.0007, 0.0037, -0.0008)
_JAW_CLOSED, _JAW_OPEN = 0.01, 0.06
_JAW_SIDE = (-0.0051, 0.0105)
_NECK_PITCH = 0.12
_EYE_REST = 0.0003
_EYE_TURN = math.radians(30)

_Floats = npt.NDArray[np.float64]


def keyframes(frames: Frames) -> list[spatius.Keyframe]:
    """Keyframes, each the mean of the frames that are shown during it.

    Args:
        frames: A whole number of keyframes' frames, 2 each.
    """
    weights, head = _mean(frames.weights), _mean(frames.head)
    jaw = _JAW_CLOSED + (_JAW_OPEN - _JAW_CLOSED) * _channel(weights, "jawOpen")
    lids = np.stack([_channel(weights, f"eyeBlink{side}") for side in ("Left", "Right")], axis=1)
    eyes = np.concatenate([_eye(weights, "Left"), _eye(weights, "Right")], axis=1)
    neck = head + np.array([_NECK_PITCH, 0.0, 0.0])
    return [
        spatius.Keyframe(
            translation=_TRANSLATION,
            neck_pose=tuple(neck_row),
            jaw_pose=(jaw_row, *_JAW_SIDE),
            eye_pose=tuple(eye_row),
            eye_lid=tuple(lid_row),
        )
        for neck_row, jaw_row, eye_row, lid_row in zip(
            neck.tolist(), jaw.tolist(), eyes.tolist(), lids.tolist(), strict=True
        )
    ]


def _mean(rows: npt.NDArray[np.float32]) -> _Floats:
    pairs = rows.reshape(-1, FRAMES_PER_KEYFRAME, rows.shape[1])
    mean: _Floats = pairs.mean(axis=1, dtype=np.float64)
    return mean


def _channel(weights: _Floats, name: str) -> _Floats:
    return weights[:, CHANNELS.index(name)]


def _eye(weights: _Floats, side: str) -> _Floats:
    """Shape [n, 3]: down and to the face's own left are positive, as in the head."""
    down = _channel(weights, f"eyeLookDown{side}") - _channel(weights, f"eyeLookUp{side}")
    out = _channel(weights, f"eyeLookOut{side}") - _channel(weights, f"eyeLookIn{side}")
    left = out if side == "Left" else -out
    turn = np.stack([down, left, np.zeros_like(down)], axis=1)
    return _EYE_REST + _EYE_TURN * turn
