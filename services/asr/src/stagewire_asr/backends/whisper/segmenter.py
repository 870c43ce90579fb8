"""Where speech begins, ends and falls silent: a state machine over speech probabilities.

Theory of operation. Time is a count of frames, one probability each; there is no clock and no I/O.
Three states:

    QUIET     nothing to say about. Enough frames of speech in a row open an utterance → SPEAKING
    SPEAKING  an utterance is open. Enough frames of silence in a row close it → PAUSED
    PAUSED    the turn may be over: turn checks fall due, at last the limit → QUIET. Speech opens
              the next utterance → SPEAKING

A threshold to begin and a lower one to go on (hysteresis) keep a fading voice in one utterance. A
long utterance is closed at its first silent frame, and at the latest at a hard limit, so that it
fits the recognizer's window. `finalize` closes the open utterance, or opens and closes an empty
one; `settle` ends PAUSED, because the caller has taken the turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from stagewire_asr.backends.whisper.vad import FRAME_SAMPLES


@dataclass(frozen=True, slots=True)
class Tuning:
    """Thresholds are probabilities, everything else counts frames of 32 ms.

    Attributes:
        speech: A frame is speech from here on.
        strict_speech: The same while the avatar speaks.
        release: An open utterance goes on from here on.
        start: Speech frames that open an utterance.
        stop: Silent frames that close one.
        partial: Frames between two partial texts.
        turn_check: Silent frames before the first turn check.
        turn_recheck: Silent frames between two.
        turn_limit: Silent frames after which the turn is over.
        soft_length: From this length on one silent frame closes an utterance.
        hard_length: At this length it is closed while speech goes on.
    """

    speech: float = 0.5
    strict_speech: float = 0.7
    release: float = 0.35
    start: int = 2
    stop: int = 3
    partial: int = 14
    turn_check: int = 10
    turn_recheck: int = 6
    turn_limit: int = 38
    soft_length: int = 20_000 // 32
    hard_length: int = 26_000 // 32


@dataclass(frozen=True, slots=True)
class Opened:
    """An utterance began at ``sample``."""

    utterance: int
    sample: int


@dataclass(frozen=True, slots=True)
class Closed:
    """It ended at ``sample``."""

    utterance: int
    sample: int


@dataclass(frozen=True, slots=True)
class PartialDue:
    """The open utterance is worth another partial text."""

    utterance: int


@dataclass(frozen=True, slots=True)
class TurnCheckDue:
    """Time to judge whether the turn is over."""

    utterance: int
    silence_samples: int


@dataclass(frozen=True, slots=True)
class TurnLimit:
    """So much silence that it is."""

    utterance: int
    silence_samples: int


Action = Opened | Closed | PartialDue | TurnCheckDue | TurnLimit


class State(Enum):
    """See the module's theory of operation."""

    QUIET = auto()
    SPEAKING = auto()
    PAUSED = auto()


class Segmenter:
    """One microphone's utterances.

    Attributes:
        state: Where it is.
        utterance: The newest utterance; 0 before the first.
        avatar_speaking: Be strict about beginnings.
    """

    def __init__(self, tuning: Tuning) -> None:
        """Quiet, at frame 0."""
        self.state = State.QUIET
        self.utterance = 0
        self.avatar_speaking = False
        self._tuning = tuning
        self._frames = 0  # heard so far
        self._run = 0  # speech frames in a row, while no utterance is open
        self._opened = 0  # frame at which the open utterance began
        self._speech_end = 0  # frame after the utterance's last speech

    @property
    def sample(self) -> int:
        """How many samples have been heard."""
        return self._frames * FRAME_SAMPLES

    def hear(self, probability: float) -> list[Action]:
        """Takes the next frame's probability of speech; returns what follows from it, in order."""
        self._frames += 1
        if self.state is State.SPEAKING:
            return self._go_on(probability)
        if self._begins(probability):
            return [self._open(self._frames - self._run)]
        if self.state is State.PAUSED and not self._run:
            return self._stay_silent()
        return []

    def finalize(self) -> list[Action]:
        """Closes the open utterance, or an empty one that it opens."""
        actions: list[Action] = []
        if self.state is not State.SPEAKING:
            actions.append(self._open(self._frames))
        actions.append(self._close())
        self.state = State.QUIET
        return actions

    def settle(self, utterance: int) -> None:
        """The turn up to ``utterance`` was taken: its silence needs no more judging."""
        if self.state is State.PAUSED and utterance >= self.utterance:
            self.state = State.QUIET

    def awaits_turn_end(self, utterance: int) -> bool:
        """Whether the silence after ``utterance`` still lasts and is still undecided."""
        return self.state is State.PAUSED and utterance == self.utterance

    def _begins(self, probability: float) -> bool:
        tuning, strict = self._tuning, self.avatar_speaking
        is_speech = probability >= (tuning.strict_speech if strict else tuning.speech)
        self._run = self._run + 1 if is_speech else 0
        return self._run >= tuning.start

    def _open(self, frame: int) -> Opened:
        self.utterance += 1
        self.state = State.SPEAKING
        self._run = 0
        self._opened = frame
        self._speech_end = self._frames
        return Opened(self.utterance, frame * FRAME_SAMPLES)

    def _go_on(self, probability: float) -> list[Action]:
        tuning = self._tuning
        length = self._frames - self._opened
        if probability >= tuning.release:
            self._speech_end = self._frames
            if length >= tuning.hard_length:
                return [self._close()]
            return [] if length % tuning.partial else [PartialDue(self.utterance)]
        silence = self._frames - self._speech_end
        enough = 1 if length >= tuning.soft_length else tuning.stop
        return [self._close()] if silence >= enough else []

    def _close(self) -> Closed:
        self.state = State.PAUSED
        self._run = 0
        return Closed(self.utterance, self._speech_end * FRAME_SAMPLES)

    def _stay_silent(self) -> list[Action]:
        tuning = self._tuning
        silence = self._frames - self._speech_end
        if silence >= tuning.turn_limit:
            self.state = State.QUIET
            return [TurnLimit(self.utterance, silence * FRAME_SAMPLES)]
        since_first = silence - tuning.turn_check
        if since_first >= 0 and since_first % tuning.turn_recheck == 0:
            return [TurnCheckDue(self.utterance, silence * FRAME_SAMPLES)]
        return []
