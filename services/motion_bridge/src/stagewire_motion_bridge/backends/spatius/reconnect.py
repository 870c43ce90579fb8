"""When and where to connect again: a state machine without I/O, time and chance as arguments."""

from __future__ import annotations

import random
from dataclasses import dataclass

from stagewire_motion_bridge.backends.spatius.errors import Action

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
_JITTER = 0.3


@dataclass(frozen=True)
class Retry:
    """Connect again.

    Attributes:
        pause: Seconds to wait before.
        region: Index into the list of regions.
    """

    pause: float
    region: int


class Reconnect:
    """Counts the failures since a connection last stood.

    Args:
        regions: How many there are.
        attempts: Connections to try in a row.
        full_seconds: Pause when the account's places are taken.
        source: Of the jitter, which keeps conversations that lost one server together from
            coming back together.
    """

    def __init__(
        self, regions: int, attempts: int, full_seconds: float, source: random.Random
    ) -> None:
        """No failure yet."""
        self._regions = regions
        self._attempts = attempts
        self._full_seconds = full_seconds
        self._random = source
        self._failures = 0
        self._fresh = 0

    def stands(self) -> None:
        """A connection has delivered motion: what was before does not count any more.

        Not as soon as it is made: a server that accepts and then drops would be hammered.
        """
        self._failures = self._fresh = 0

    def again(self) -> Retry:
        """A new turn begins: a new row of attempts, in the first region."""
        self._failures = self._fresh = 0
        return Retry(0.0, 0)

    def failed(self, action: Action) -> Retry | None:
        """What to do after a failure; None: nothing before the next turn, or ever (STOP)."""
        self._failures += 1
        if action is Action.WAIT:
            return Retry(self._full_seconds, 0)
        if action in (Action.STOP, Action.REST) or self._failures >= self._attempts:
            return None
        if action is Action.FRESH:
            self._fresh += 1
            return Retry(0.0, 0) if self._fresh == 1 else None
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1))
        pause *= 1 + _JITTER * (2 * self._random.random() - 1)
        region = self._failures % self._regions if action is Action.RETRY else 0
        return Retry(pause, region)
