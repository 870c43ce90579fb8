"""When a session's time is up, and why."""

from __future__ import annotations

from stagewire_motion_server import refusals
from stagewire_motion_server.options import Options
from stagewire_motion_server.refusals import Ending


class Lifetime:
    """The limits of one session; times are monotonic seconds.

    Args:
        options: How long a session may last, and be silent.
        token_expiry: Of its session token, in seconds from ``began``.
        began: When it was let in.
    """

    def __init__(self, options: Options, token_expiry: float, began: float) -> None:
        """Reads the limits."""
        self._idle = options.idle_seconds
        self._fixed: list[tuple[float, Ending]] = []
        if options.enforce_expiry:
            self._fixed.append((began + token_expiry, refusals.TOKEN_EXPIRED))
        if options.session_seconds:
            self._fixed.append((began + options.session_seconds, refusals.TIME_IS_UP))

    def end(self, last_audio: float) -> tuple[float, Ending] | None:
        """The next end, as far as is known now: it moves when audio comes. None: without end."""
        ends = self._fixed.copy()
        if self._idle:
            ends.append((last_audio + self._idle, refusals.idle(self._idle)))
        return min(ends, key=lambda end: end[0], default=None)
