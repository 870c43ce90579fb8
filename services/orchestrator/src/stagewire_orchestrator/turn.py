"""One answer of the avatar: its phases, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from stagewire_orchestrator.clauses import ClauseSplitter
from stagewire_orchestrator.commands import (
    FinishMotion,
    MoveAudio,
    MovePhonemes,
    PlayAudio,
    PlayMotion,
    PlayWords,
    StartMotion,
)
from stagewire_orchestrator.history import Answer
from stagewire_orchestrator.latency import Marks

MotionCommand = StartMotion | MoveAudio | MovePhonemes | FinishMotion
Held = PlayAudio | PlayMotion | PlayWords | MotionCommand
"""What may have to wait; motion_bridge's commands only where its engine plays what it gets."""


class Phase(Enum):
    """Where a turn is. Docs draw the diagram from TRANSITIONS."""

    PREPARING = "preparing"
    """Speculative: the user may still go on. Nothing of it may sound."""
    WAITING = "waiting"
    """The user's turn is over; nothing sounds yet."""
    SPEAKING = "speaking"
    """It sounds."""
    STOPPING = "stopping"
    """Cut short; egress has yet to say how much was heard."""
    ENDED = "ended"
    """Over, its end announced."""


class Signal(Enum):
    """What moves a turn from phase to phase."""

    COMMIT = "commit"
    """The user's turn is over."""
    SOUND = "sound"
    """The first sound may go out."""
    STOP = "stop"
    """Sound must stop: the user speaks, types or wants silence."""
    END = "end"
    """Nothing more comes of it: played, superseded, failed, or never sounded."""


TRANSITIONS: dict[Phase, dict[Signal, Phase]] = {
    Phase.PREPARING: {Signal.COMMIT: Phase.WAITING, Signal.END: Phase.ENDED},
    Phase.WAITING: {Signal.SOUND: Phase.SPEAKING, Signal.END: Phase.ENDED},
    Phase.SPEAKING: {Signal.STOP: Phase.STOPPING, Signal.END: Phase.ENDED},
    Phase.STOPPING: {Signal.END: Phase.ENDED},
    Phase.ENDED: {},
}


@dataclass(slots=True)
class Turn:
    """A turn's facts; the rules are in the machine.

    Attributes:
        number: 1, 2, 3 … in the session.
        user_text: What it answers; empty for a greeting.
        phase: Where it is.
        marks: When things happened.
        splitter: Cuts the text into clauses.
        answer: Text, words and what was heard of it.
        fed: Code points of the text that went to tts.
        called: Llm and tts were asked.
        held: What may not go out yet, in order.
        received_samples: Voice that came from tts.
        motion_started: Motion_bridge knows the turn.
        motion_ended: Motion_bridge has nothing more for it, or is lost.
        text_done: The text is complete.
        voice_done_at: When the voice was complete.
        voice_cut: The voice ended before the text: tts failed on the way.
        progress_at: When a stage last gave something for it, or a client confirmed something.
        finished_at: When egress was told that no more media comes.
        stopped_at: When it was cut short.
        failed: It was cut short because it could not go on.
        latency_told: Its breakdown was announced.
    """

    number: int
    user_text: str
    phase: Phase
    marks: Marks
    splitter: ClauseSplitter = field(default_factory=ClauseSplitter)
    answer: Answer = field(default_factory=Answer)
    fed: int = 0
    called: bool = False
    held: list[Held] = field(default_factory=list)
    received_samples: int = 0
    motion_started: bool = False
    motion_ended: bool = False
    text_done: bool = False
    voice_done_at: float | None = None
    voice_cut: bool = False
    progress_at: float = 0.0
    finished_at: float | None = None
    stopped_at: float | None = None
    failed: bool = False
    latency_told: bool = False

    def move(self, signal: Signal) -> None:
        """Goes to the next phase; a KeyError is a bug in the machine."""
        self.phase = TRANSITIONS[self.phase][signal]

    @property
    def committed(self) -> bool:
        """Whether it answers something that the user has really said."""
        return self.phase in (Phase.WAITING, Phase.SPEAKING)
