"""The egress instance that a session's client is at."""

from __future__ import annotations

PATIENCE_SECONDS = 3.0
"""How long that instance is waited for once another one answers in its place. Less than the 5 s for
which egress lets a client wait for its session, should it have gone to the other one already."""


class Home:
    """Which instance of egress will do, by the URL at which its client joins.

    A stream that is opened again may reach another instance than the client, whose URL can name
    one: a proxy that has just started does not know every instance yet. So the first wrong answers
    are not taken. An instance that stays away has to be done without.
    """

    def __init__(self) -> None:
        """Any instance will do."""
        self._url: str | None = None
        self._astray_since: float | None = None

    def accept(self, url: str, now: float) -> bool:
        """Whether the session may stay where it was opened.

        Args:
            url: Where that instance's clients join; empty for a room, which is home anywhere.
            now: Monotonic seconds.
        """
        if self._url not in (None, url):
            if self._astray_since is None:
                self._astray_since = now
            if now - self._astray_since < PATIENCE_SECONDS:
                return False
        self._url, self._astray_since = url, None
        return True

    def leave(self) -> None:
        """The instance goes away for good, and sends its client on: again any will do."""
        self._url = self._astray_since = None
