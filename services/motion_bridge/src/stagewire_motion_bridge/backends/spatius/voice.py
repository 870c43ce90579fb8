"""A turn's voice on its way up: at a rate that Motion Server takes, kept until it is answered.

What was sent and not yet answered with motion stays here, so that a session that takes over in
mid-turn can be given it again and the lips go on where they were.
"""

from __future__ import annotations

from stagekit.audio import Resampler, to_float, to_pcm

RATES = {
    "pcm": (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),
}
"""What Motion Server takes, in hertz. Each has a whole number of samples in a keyframe."""


def engine_rate(hertz: int, audio: str) -> int:
    """The rate to send a voice of ``hertz`` at: its own, or the next above."""
    return min((rate for rate in RATES[audio] if rate >= hertz), default=RATES[audio][-1])


class Voice:
    """One turn's voice.

    Args:
        hertz: As it comes.
        engine_hertz: As it is sent.

    Attributes:
        finished: There is no more to come.
    """

    def __init__(self, hertz: int, engine_hertz: int) -> None:
        """Nothing yet."""
        self.finished = False
        self._hertz = engine_hertz
        self._resampler = None if hertz == engine_hertz else Resampler(hertz, engine_hertz)
        self._kept = bytearray()
        self._answered = 0
        self._sent = 0
        self._ended = False

    def add(self, pcm: bytes) -> None:
        """Takes the next samples, PCM_S16LE at the voice's own rate."""
        if self._resampler is not None:
            pcm = to_pcm(self._resampler.push(to_float(pcm)))
        self._kept += pcm

    def finish(self) -> None:
        """There is no more."""
        if self._resampler is not None:
            self._kept += to_pcm(self._resampler.push(to_float(b""), last=True))
        self.finished = True

    def take(self, most: int) -> tuple[bytes, bool] | None:
        """What to send next: up to ``most`` bytes, and whether the request ends with them."""
        pcm = bytes(self._kept[self._sent : self._sent + most])
        end = self.finished and self._sent + len(pcm) == len(self._kept)
        if self._ended or not (pcm or end):
            return None
        self._sent += len(pcm)
        self._ended = end
        return pcm, end

    def answered(self, seconds: float) -> None:
        """Motion has come for so much of the turn: it need not be sent again."""
        position = min(round(seconds * self._hertz), self._answered + self._sent // 2)
        done = 2 * max(0, position - self._answered)
        del self._kept[:done]
        self._sent -= done
        self._answered += done // 2

    def forget(self) -> None:
        """Nothing of what was taken will ever be sent again."""
        self.answered(self._answered / self._hertz + self.waiting_seconds)

    def again(self) -> None:
        """Another session takes over: everything without an answer is to be sent once more."""
        self._sent = 0
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the end was taken."""
        return self._ended

    @property
    def waiting_seconds(self) -> float:
        """How much of what was taken has no answer yet."""
        return self._sent / 2 / self._hertz

    @property
    def kept_seconds(self) -> float:
        """How much is kept here."""
        return len(self._kept) / 2 / self._hertz
