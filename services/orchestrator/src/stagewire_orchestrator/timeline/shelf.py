"""The newest sessions' recordings, as many as there is room for."""

from __future__ import annotations

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_orchestrator.timeline.recording import Recording


class Shelf:
    """Keeps recordings, also after their sessions' end; the oldest make room for new ones.

    Args:
        sessions: How many at most; 0 keeps none.
        size: How many bytes all of them may take, about.
    """

    def __init__(self, sessions: int, size: int) -> None:
        """Nothing is kept yet."""
        self._sessions = sessions
        self._size = size
        self._recordings: dict[str, Recording] = {}

    def put(self, recording: Recording) -> None:
        """Keeps one more."""
        self._recordings[recording.session_id] = recording
        self.tidy()

    def tidy(self) -> None:
        """Forgets the oldest while there are too many, or they are too big."""
        while len(self._recordings) > self._sessions:
            del self._recordings[next(iter(self._recordings))]
        total = sum(recording.size for recording in self._recordings.values())
        while total > self._size and self._recordings:
            total -= self._recordings.pop(next(iter(self._recordings))).size

    def get(self, session_id: str) -> Recording:
        """One session's.

        Raises:
            StageError: UNKNOWN_SESSION.
        """
        if session_id not in self._recordings:
            raise StageError(
                error_pb2.ERROR_REASON_UNKNOWN_SESSION,
                "no timeline is kept of such a session: it is too old, or never was"
                if self._sessions
                else "no timelines are kept here: STAGEWIRE_ORCHESTRATOR_TIMELINE_SESSIONS is 0",
            )
        return self._recordings[session_id]

    def all(self) -> list[Recording]:
        """All of them, newest first."""
        return list(reversed(self._recordings.values()))
