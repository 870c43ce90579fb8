"""The user's turn as asr reports it, utterance by utterance, until it is taken.

Asr may settle words before it knows that the user is done (``Final``), may replace earlier words
when the user goes on after a pause (``first``), and may or may not judge the end of the turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from stagewire_orchestrator.events import EndOfTurn, Final, Partial, SpeechStarted, SpeechStopped
from stagewire_orchestrator.latency import Marks, Reported


@dataclass(frozen=True, slots=True)
class _Segment:
    first: int
    last: int
    text: str
    final: bool
    stable: int


class Hearing:
    """Collects one user turn after another. No I/O, no clock."""

    def __init__(self) -> None:
        """Nothing heard yet."""
        self.speaking = False
        self.over = False
        self.spoken_at: float | None = None
        self.stopped_at: float | None = None
        self.known_at: float | None = None
        self.finished_at: float | None = None
        self.reported: Reported | None = None
        self._utterance = 0
        self._taken = 0
        self._taken_text = ""
        self._segments: list[_Segment] = []

    @property
    def utterance(self) -> int:
        """The newest utterance."""
        return self._utterance

    @property
    def text(self) -> str:
        """All words of the turn so far."""
        return " ".join(segment.text for segment in self._segments if segment.text)

    @property
    def stable_text(self) -> str:
        """The leading words that are unlikely to change."""
        words: list[str] = []
        for segment in self._segments:
            words.append(segment.text if segment.final else segment.text[: segment.stable].rstrip())
            if not segment.final:
                break
        return " ".join(word for word in words if word)

    @property
    def settled(self) -> bool:
        """Whether the user is silent and the newest utterance's words are final."""
        if self.speaking or not self._segments:
            return False
        return self._segments[-1].final and self._segments[-1].last == self._utterance

    def started(self, event: SpeechStarted) -> None:
        """The user speaks (again)."""
        self._utterance = max(self._utterance, event.utterance)
        self.speaking, self.over = True, False

    def partial(self, event: Partial) -> bool:
        """Newer words; False when they are stale."""
        return self._put(
            event.first, event.utterance, event.text, final=False, stable=event.stable_characters
        )

    def stopped(self, event: SpeechStopped, now: float) -> None:
        """The user is silent."""
        if event.utterance == self._utterance:
            self.speaking = False
            self.spoken_at, self.stopped_at = event.spoken_at, now
            self.known_at = now if event.known_at is None else event.known_at

    def final(self, event: Final, now: float) -> bool:
        """Settled words; False when they are stale."""
        fresh = self._put(event.first, event.utterance, event.text, final=True, stable=0)
        if fresh:
            self.finished_at, self.reported = now, event.reported
            if not self.speaking and self.stopped_at is None:
                self.stopped_at = now  # from a vendor that does not report speech, only words
        return fresh

    def end_of_turn(self, event: EndOfTurn, threshold: float) -> None:
        """Asr's judgement of the present silence."""
        if event.utterance == self._utterance > self._taken and not self.speaking:
            self.over = self.over or event.probability >= threshold

    def take(self) -> str:
        """Ends the turn: returns its words and begins the next."""
        text = self.text
        self._taken, self._taken_text = self._utterance, text
        self._segments = []
        self.over = False
        self.stopped_at = None
        return text

    def marks(self) -> Marks:
        """When the user spoke last, was known to be silent, and was transcribed."""
        return Marks(
            asked=self.spoken_at,
            silence=self.known_at,
            transcribed=self.finished_at,
            asr=self.reported,
        )

    def lost(self, now: float) -> None:
        """The asr stream broke: keep the words, as utterance 0; the next stream counts from 1."""
        text = self.text
        self._segments = [_Segment(0, 0, text, True, 0)] if text else []
        self._utterance = self._taken = 0
        self._taken_text = ""
        self.speaking, self.over = False, False
        self.stopped_at = now if text else None

    def _put(self, first: int, last: int, text: str, *, final: bool, stable: int) -> bool:
        if last <= self._taken and self._taken:
            return False
        if first <= self._taken and self._taken_text and text.startswith(self._taken_text):
            # Asr decoded before it heard of the commit: these words were taken already.
            text = text[len(self._taken_text) :].lstrip()
        if any(s.first <= last < s.last or (s.last == last and s.final) for s in self._segments):
            return False
        kept = [s for s in self._segments if s.last < first or s.last == 0]
        self._segments = [*kept, _Segment(max(first, 1), last, text, final, stable)]
        return True
