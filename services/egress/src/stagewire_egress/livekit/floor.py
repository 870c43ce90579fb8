"""Whose microphone is heard when several people are in the room. No I/O."""

from __future__ import annotations

from enum import Enum

import numpy as np

_LOUD_DBFS = -40.0
"""Above it somebody speaks: speech into a microphone lies around -25 dBFS, a room below -50."""
_SPEAKS_SECONDS = 0.06
_YIELDS_SECONDS = 1.5


class Policy(Enum):
    """Who is heard: a setting's values."""

    FIRST = "first"
    """Who speaks or types first owns the conversation until they leave."""
    FLOOR = "floor"
    """Whoever begins to speak while the last speaker has been silent for 1.5 s."""


class Floor:
    """Decides, frame by frame, who is on the air.

    Until somebody has spoken, the one whose microphone came first is, so that a single user's
    silence is heard, too.

    Args:
        policy: How the floor changes hands.
    """

    def __init__(self, policy: Policy) -> None:
        """Nobody has spoken."""
        self._policy = policy
        self._holder = ""
        self._present: dict[str, float] = {}  # identity: seconds of loudness without a pause
        self._holder_loud_at = 0.0

    @property
    def holder(self) -> str:
        """Who is on the air; empty for nobody."""
        return self._holder or next(iter(self._present), "")

    def hear(self, identity: str, pcm: bytes, seconds: float, now: float) -> bool:
        """Whether this frame of 16-bit PCM is on the air."""
        loud = level(pcm) > _LOUD_DBFS
        run = self._present.get(identity, 0.0) + seconds if loud else 0.0
        self._present[identity] = run
        if identity == self._holder:
            self._holder_loud_at = now if loud else self._holder_loud_at
        elif run >= _SPEAKS_SECONDS and self._free(now):
            self._holder, self._holder_loud_at = identity, now
        return identity == self.holder

    def type(self, identity: str) -> bool:
        """Whether this person may type; the first one to do so takes the floor."""
        if self._policy is Policy.FLOOR:
            return True
        self._holder = self._holder or identity
        return self._holder == identity

    def leave(self, identity: str) -> None:
        """Somebody left the room."""
        self._present.pop(identity, None)
        if self._holder == identity:
            self._holder = ""

    def silent(self, identity: str) -> None:
        """Somebody's microphone is gone; they may still own the conversation."""
        self._present.pop(identity, None)

    def _free(self, now: float) -> bool:
        if not self._holder:
            return True
        return self._policy is Policy.FLOOR and now - self._holder_loud_at > _YIELDS_SECONDS


def level(pcm: bytes) -> float:
    """The level of 16-bit PCM in dB below full scale; -120 for silence and for nothing."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    power = float(np.mean(samples * samples)) / 32768.0**2 if len(samples) else 0.0
    return 10 * float(np.log10(power)) if power > 1e-12 else -120.0
