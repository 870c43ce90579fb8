"""How much may come: a leaky bucket, and one for each of many callers in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class Allowance:
    """A leaky bucket: what may come at ``rate`` per second, with bursts of ``burst``.

    Args:
        rate: Units per second that are taken for ever.
        burst: Units taken at once.
        now: Monotonic seconds.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """An empty bucket."""
        self._rate, self._burst = rate, burst
        self._level, self._time = 0.0, now

    def take(self, amount: float, now: float) -> bool:
        """Whether ``amount`` more is within the allowance."""
        self._level = max(0.0, self._level - (now - self._time) * self._rate) + amount
        self._time = now
        return self._level <= self._burst


class Allowances:
    """An allowance for each caller; what was not seen for longest is forgotten first.

    A refused request costs nothing, so that a caller who goes on asking is served at ``rate``.

    Args:
        rate: Requests per second for each caller.
        burst: Requests taken at once.
        clock: Monotonic seconds.
        limit: Callers that are remembered.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float], limit: int = 10_000
    ) -> None:
        """Nobody has come yet."""
        self._rate, self._burst = rate, burst
        self._clock = clock
        self._limit = limit
        self._callers: OrderedDict[str, Allowance] = OrderedDict()

    def take(self, caller: str) -> bool:
        """Whether one more request of ``caller`` is within its allowance."""
        now = self._clock()
        allowance = self._callers.setdefault(caller, Allowance(self._rate, self._burst, now))
        self._callers.move_to_end(caller)
        if len(self._callers) > self._limit:
            self._callers.popitem(last=False)
        if allowance.take(1.0, now):
            return True
        allowance.take(-1.0, now)
        return False
