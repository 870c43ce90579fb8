"""What a client that reports nothing has probably played. No I/O; time as an argument.

Spatius' demo clients play what comes as soon as it comes, and say nothing about it. So the
loudspeaker is taken to move in real time from shortly after the first voice was given to the
connection, never beyond what was given, and to stand still when it was told to stop.
"""

from __future__ import annotations

from dataclasses import dataclass

START_SECONDS = 0.2
"""From the sending of a turn's first voice to its sound. Rather too long than too short: the avatar
then believes to have said a little less than was heard."""


@dataclass
class _Turn:
    number: int
    since: float
    sent: int = 0
    played: float = 0.0
    reported: int = 0


class EstimatedPlayback:
    """The loudspeaker of one client.

    Args:
        hertz: The rate in which samples count.
    """

    def __init__(self, hertz: int) -> None:
        """Nothing plays."""
        self._hertz = hertz
        self._turn: _Turn | None = None

    def sent(self, turn: int, end_sample: int, now: float) -> None:
        """Voice of a turn up to ``end_sample`` was sent."""
        if self._turn is None or turn != self._turn.number:
            self._turn = _Turn(turn, now + START_SECONDS)
        self._advance(self._turn, now)
        self._turn.sent = max(self._turn.sent, end_sample)

    def progress(self, now: float) -> tuple[int, int] | None:
        """(turn, samples played) if that is news."""
        turn = self._turn
        if turn is None:
            return None
        self._advance(turn, now)
        if round(turn.played) == turn.reported:
            return None
        turn.reported = round(turn.played)
        return turn.number, turn.reported

    def stop(self, turn: int, now: float) -> tuple[int, int] | None:
        """(turn, samples played) if it plays: it is silent from now on."""
        stopped = self._turn
        if stopped is None or stopped.number > turn:
            return None
        self._advance(stopped, now)
        self._turn = None
        return stopped.number, round(stopped.played)

    def _advance(self, turn: _Turn, now: float) -> None:
        if now > turn.since:
            played = turn.played + (now - turn.since) * self._hertz
            turn.played, turn.since = min(float(turn.sent), played), now
