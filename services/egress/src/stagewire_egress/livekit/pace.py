"""How much of what was handed to a track's queue may still be in it: time as an argument."""

from __future__ import annotations

TICK_SECONDS = 0.010
"""The native queue hands samples to the encoder in steps of 10 ms."""


class Pace:
    """The fill of an audio source's queue, from above: what has left it is never overstated.

    The native queue is drained in real time by a clock of its own, and ``capture_frame`` returns
    when no more than the queue's size is left in it. From both follows a time by which all of it
    will have left.

    Args:
        queue_seconds: The queue's size.
    """

    def __init__(self, queue_seconds: float) -> None:
        """An empty queue."""
        self._queue_seconds = queue_seconds
        self._empty_at = 0.0

    def push(self, seconds: float, now: float) -> None:
        """Audio is handed to the queue."""
        self._empty_at = max(self._empty_at, now + TICK_SECONDS) + seconds

    def returned(self, now: float) -> None:
        """``capture_frame`` returned: at most the queue's size is left."""
        self._empty_at = min(self._empty_at, now + self._queue_seconds + TICK_SECONDS)

    def clear(self) -> None:
        """The queue was emptied."""
        self._empty_at = 0.0

    def queued(self, now: float) -> float:
        """Seconds of audio that are left in the queue, at most."""
        return max(0.0, self._empty_at - now)

    def idle(self, now: float) -> bool:
        """Whether the queue has run dry."""
        return self._empty_at <= now

    def expected(self, now: float) -> float:
        """Seconds of audio in the queue, half a tick below the bound; negative before its start."""
        return self._empty_at - now - TICK_SECONDS / 2
