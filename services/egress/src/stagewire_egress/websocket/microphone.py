"""The client's microphone: its rate to the session's."""

from __future__ import annotations

from stagekit.audio import Resampler, to_float, to_pcm


class Microphone:
    """Changes 16-bit PCM from the client's rate to the session's.

    Args:
        client_hertz: The rate that the client declared.
        session_hertz: The rate that the orchestrator asked for.
    """

    def __init__(self, client_hertz: int, session_hertz: int) -> None:
        """Begins a stream; a client that comes back begins a new one."""
        self._client_hertz = client_hertz
        self._resampler = (
            None if client_hertz == session_hertz else Resampler(client_hertz, session_hertz)
        )

    def seconds(self, pcm: bytes) -> float:
        """How long the client's audio lasts."""
        return len(pcm) / 2 / self._client_hertz

    def convert(self, pcm: bytes) -> bytes:
        """The audio that is ready at the session's rate; may be empty."""
        if self._resampler is None:
            return pcm
        return to_pcm(self._resampler.push(to_float(pcm)))
