"""What a face does beside speaking: it blinks, looks, sways, breathes, and stresses what it says.

Amplitudes are small on purpose: a face that does nothing looks dead, one that does much, nervous.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
from stagewire_motion_codec.arkit52 import CHANNELS

from stagewire_lipsync.frames import FRAME_RATE, Floats

# A spontaneous blink: about 60 ms to close, 40 ms closed, 120 ms to open, every 2 to 6 s.
_CLOSING, _CLOSED, _OPENING = 0.06, 0.04, 0.12
_BLINK_PAUSE = (2.0, 6.0)
_BLINK = _CLOSING + _CLOSED + _OPENING
# Eyes rest on something for a while, mostly on who they talk to, and jump within 50 ms.
_LOOK_PAUSE, _AWAY = (0.8, 3.5), 0.4
_LOOK_ASIDE, _LOOK_UP = 0.16, 0.08  # of an eyeLook shape
_JUMP = 0.45  # of the way, in one frame
# Radians that a whole eyeLook shape turns an eye, about: eyes stay on their aim as the head turns.
_EYE_RANGE = 0.6
# Slow waves: hertz, radians. In speech the head sways more. Breathing is 15 a minute.
_SWAYS = (
    ((0.11, 0.010), (0.23, 0.006), (0.41, 0.003)),  # pitch
    ((0.09, 0.018), (0.19, 0.010), (0.37, 0.004)),  # yaw
    ((0.07, 0.008), (0.17, 0.006), (0.31, 0.003)),  # roll
)
_LIVELY, _LIVENING = 1.2, 0.02  # how much more in speech; of the way there, in one frame
_BREATH, _BREATH_HERTZ = 0.006, 0.25
# Effort above this is stress: it lifts the brows and nods, quickly, and sinks slowly.
_STRESS = 0.72
_RISE, _SINK = 0.3, 0.07  # of the way, in one frame
_NOD, _INNER_BROW, _OUTER_BROW = 0.045, 0.35, 0.22


def _places(*names: str) -> list[int]:
    return [CHANNELS.index(name) for name in names]


_LIDS = _places("eyeBlinkLeft", "eyeBlinkRight")
_LEFT, _RIGHT = (
    _places("eyeLookOutLeft", "eyeLookInRight"),
    _places("eyeLookInLeft", "eyeLookOutRight"),
)
_UP, _DOWN = (
    _places("eyeLookUpLeft", "eyeLookUpRight"),
    _places("eyeLookDownLeft", "eyeLookDownRight"),
)
_INNER, _OUTER = _places("browInnerUp"), _places("browOuterUpLeft", "browOuterUpRight")


class Life:
    """A face's life over a whole session.

    Args:
        chance: The source of all that is left to chance.
        loop: Frames after which all that was begun must have come back to its beginning; None for
            a life without end.
    """

    def __init__(self, chance: random.Random, loop: int | None = None) -> None:
        """Eyes open and ahead."""
        self._chance, self._loop = chance, loop
        self._frame = 0
        self._waves = [[self._wave(*wave) for wave in waves] for waves in _SWAYS]
        self._breath = self._wave(_BREATH_HERTZ, _BREATH)
        self._blinks, self._looks = self._blinking(), self._looking()
        self._lively = self._stress = 0.0
        self._strength = 1.0

    def live(self, weights: Floats, efforts: Floats) -> Floats:
        """Adds life to frames that only speak.

        Args:
            weights: Shape [n, 52]; changed in place.
            efforts: How hard the voice works in each, 0 to 1; 0 for silence. Shape [n].

        Returns:
            The head's pose, shape [n, 3]: pitch, yaw, roll in radians.
        """
        head = np.zeros((len(weights), 3), np.float32)
        for row, pose, effort in zip(weights, head, efforts.tolist(), strict=True):
            self._be(row, pose, effort)
        return head

    def _be(self, row: Floats, pose: Floats, effort: float) -> None:
        time = self._frame / FRAME_RATE
        self._frame += 1
        self._stressing(effort)
        sway = [sum(_at(wave, time) for wave in waves) for waves in self._waves]
        pose[:] = np.array(sway) * (1 + _LIVELY * self._lively)
        pose[0] += _at(self._breath, time) + _NOD * self._stress
        row[_LIDS] = next(self._blinks)
        aside, up = next(self._looks)
        # Eyes stay on what they look at while the head turns.
        _turn(row, _LEFT, _RIGHT, aside - float(pose[1]) / _EYE_RANGE)
        _turn(row, _UP, _DOWN, up + float(pose[0]) / _EYE_RANGE)
        row[_INNER] = _INNER_BROW * self._stress
        row[_OUTER] = _OUTER_BROW * self._stress

    def _stressing(self, effort: float) -> None:
        self._lively += ((effort > 0) - self._lively) * _LIVENING
        stress = max(0.0, (effort - _STRESS) / (1 - _STRESS))
        if stress and self._stress < 0.02:  # not every stress is meant as much
            self._strength = self._chance.uniform(0.2, 1.0)
        aim = self._strength * stress
        self._stress += (aim - self._stress) * (_RISE if aim > self._stress else _SINK)

    def _wave(self, hertz: float, size: float) -> tuple[float, float, float]:
        """Turns per second in radians, phase, amplitude; in a loop, whole turns."""
        if self._loop:
            seconds = self._loop / FRAME_RATE
            hertz = max(1, round(hertz * seconds)) / seconds
        return 2 * np.pi * hertz, self._chance.uniform(0, 2 * np.pi), size

    def _left(self) -> float:
        """Seconds until a loop ends."""
        return (self._loop - self._frame) / FRAME_RATE if self._loop else np.inf

    def _blinking(self) -> Iterator[float]:
        """How far the lids are closed, frame by frame."""
        while True:
            for _ in range(round(self._chance.uniform(*_BLINK_PAUSE) * FRAME_RATE)):
                yield 0.0
            if self._left() < _BLINK + 0.1:
                continue
            for frame in range(round(_BLINK * FRAME_RATE)):
                seconds = frame / FRAME_RATE
                opening = (seconds - _CLOSING - _CLOSED) / _OPENING
                yield min(seconds / _CLOSING, 1.0, 1.0 - opening)

    def _looking(self) -> Iterator[tuple[float, float]]:
        """Where the eyes look, to the own left and up, frame by frame."""
        aside = up = 0.0
        for look in itertools.count():
            aims = (0.0, 0.0)
            if look and self._chance.random() < _AWAY:
                aims = (self._chance.gauss(0, _LOOK_ASIDE / 2), self._chance.gauss(0, _LOOK_UP / 2))
                aims = (_within(aims[0], _LOOK_ASIDE), _within(aims[1], _LOOK_UP))
            for _ in range(round(self._chance.uniform(*_LOOK_PAUSE) * FRAME_RATE)):
                if self._left() < 0.4:
                    aims = (0.0, 0.0)
                aside += (aims[0] - aside) * _JUMP
                up += (aims[1] - up) * _JUMP
                yield aside, up


def _at(wave: tuple[float, float, float], time: float) -> float:
    turns, phase, size = wave
    return float(size * np.sin(turns * time + phase))


def _turn(row: Floats, one: list[int], other: list[int], amount: float) -> None:
    row[one], row[other] = max(0.0, amount), max(0.0, -amount)


def _within(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))
