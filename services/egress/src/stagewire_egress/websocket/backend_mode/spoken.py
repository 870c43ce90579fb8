"""One turn in the demo's words: voice before motion, and one last message of each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from stagekit.audio import Resampler, to_float, to_pcm
from stagewire_motion_codec import spatius

from stagewire_egress.websocket.backend_mode import messages

MOTION_PATIENCE_SECONDS = 2.5
"""Voice without motion for this long makes its turn audio-only, or a strict client would wait."""


class SpokenTurn:
    """What has been sent of one turn.

    Args:
        turn_id: The turn, unique on its connection.
        voice_hertz: The voice's rate as it comes.
        moves: Whether motion comes that this client can show.
    """

    def __init__(self, turn_id: str, voice_hertz: int, moves: bool) -> None:
        """Nothing was sent yet."""
        self.turn_id = turn_id
        self._resampler = Resampler(voice_hertz, messages.HERTZ)
        self._moves = moves
        self._sounds_since: float | None = None
        self._early: list[bytes] = []  # motion before the first voice
        self._final = b""  # the last motion, for after the last voice
        self._shown = False
        self._closed = False  # the last motion was sent

    def voice(self, pcm: bytes, now: float) -> Iterable[str]:
        """Voice; the first also begins the motion."""
        ready = to_pcm(self._resampler.push(to_float(pcm)))
        if not ready:
            return
        first = self._sounds_since is None
        if first:
            self._sounds_since = now
            yield messages.voice_event(self.turn_id, "tts_start")
        yield messages.audio(self.turn_id, ready, last=False)
        if first and not self._moves:
            yield from self._without_motion()
        early, self._early = self._early, []
        for payload in early:
            yield from self.motion(payload)

    def motion(self, payload: bytes) -> Iterable[str]:
        """Motion; a client ties it to voice, so the first and the last wait for theirs."""
        if not self._moves or self._closed:
            return
        if self._sounds_since is None:
            self._early.append(payload)
            return
        self._shown = True
        if spatius.is_last(payload):
            self._final = payload
        else:
            yield messages.motion(self.turn_id, [payload], last=False)

    def overdue(self, now: float) -> Iterable[str]:
        """Makes the turn audio-only when its motion does not come."""
        since = self._sounds_since
        if self._shown or since is None or now - since < MOTION_PATIENCE_SECONDS:
            return
        yield from self._without_motion()

    def end(self, now: float) -> Iterable[str]:
        """The turn has no more media."""
        rest = to_pcm(self._resampler.push(np.zeros(0, np.float32), last=True))
        if rest and self._sounds_since is None:
            self._sounds_since = now
            yield messages.voice_event(self.turn_id, "tts_start")
        yield messages.audio(self.turn_id, rest, last=True)
        early, self._early = self._early, []
        for payload in early:
            yield from self.motion(payload)
        if self._final:
            self._closed = True
            yield messages.motion(self.turn_id, [self._final], last=True)
        elif not self._shown:
            yield from self._without_motion()
        yield messages.voice_event(self.turn_id, "tts_end")

    def _without_motion(self) -> Iterable[str]:
        if not self._closed:
            self._closed = True
            yield messages.motion(self.turn_id, [], last=True)
