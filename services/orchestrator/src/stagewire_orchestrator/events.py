"""What happens to a conversation: the machine's input. Times are monotonic seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stagewire.common.v1.error_pb2 import Fault
from stagewire.common.v1.timing_pb2 import Phoneme, Word
from stagewire.common.v1.turn_pb2 import TurnEndReason

from stagewire_orchestrator.latency import Delivered, Reported


@dataclass(frozen=True, slots=True)
class Started:
    """Every stage is connected.

    Attributes:
        voice_hertz: The voice's sample rate.
        motion: Whether there is motion.
        motion_wait: Seconds that motion_bridge asks to be waited for; None leaves it to the policy.
        engine_plays: What motion_bridge gets sounds: its engine publishes into the room by itself.
    """

    voice_hertz: int
    motion: bool
    motion_wait: float | None = None
    engine_plays: bool = False


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak; ``spoken_at`` is when the first sound of it reached us."""

    utterance: int
    spoken_at: float | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """Words that may still change; they cover utterances ``first`` to ``utterance``."""

    utterance: int
    first: int
    text: str
    stable_characters: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user fell silent.

    Attributes:
        utterance: Which one ended.
        spoken_at: When the last sound of speech reached us.
        known_at: When the audio that showed it went to asr; None when asr does not tell.
    """

    utterance: int
    spoken_at: float
    known_at: float | None = None


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """How likely the user's turn is over."""

    utterance: int
    probability: float


@dataclass(frozen=True, slots=True)
class Final:
    """Words that will not change; they cover utterances ``first`` to ``utterance``."""

    utterance: int
    first: int
    text: str
    reported: Reported | None = None


@dataclass(frozen=True, slots=True)
class AsrLost:
    """The asr stream broke; a new one numbers its utterances from 1 again."""


@dataclass(frozen=True, slots=True)
class UserText:
    """The user typed, or a caller spoke in the user's place."""

    text: str


@dataclass(frozen=True, slots=True)
class UserInterrupt:
    """The user, or a caller, wants silence."""


@dataclass(frozen=True, slots=True)
class ClientJoined:
    """A client is there, for the first time or again."""


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """No client is there."""


@dataclass(frozen=True, slots=True)
class LlmDelta:
    """More of the answer; see :class:`TtsAudio` for the rest."""

    turn: int
    text: str
    reported: Reported | None = None
    retried: float | None = None


@dataclass(frozen=True, slots=True)
class LlmDone:
    """The answer is complete."""

    turn: int


@dataclass(frozen=True, slots=True)
class TtsAudio:
    """Voice, contiguous from the start of the turn.

    Attributes:
        turn: Whose.
        data: 16-bit PCM.
        start_sample: Where it begins.
        reported: With the first: what the stage says of its time.
        retried: When this try of the call began; None for the first try.
    """

    turn: int
    data: bytes
    start_sample: int
    reported: Reported | None = None
    retried: float | None = None


@dataclass(frozen=True, slots=True)
class TtsWords:
    """When words sound; before their audio."""

    turn: int
    words: Sequence[Word]


@dataclass(frozen=True, slots=True)
class TtsPhonemes:
    """When speech sounds sound; before their audio."""

    turn: int
    alphabet: int
    phonemes: Sequence[Phoneme]


@dataclass(frozen=True, slots=True)
class TtsDone:
    """Everything was spoken."""

    turn: int


@dataclass(frozen=True, slots=True)
class StageFailed:
    """A call of a turn failed for good: ``stage`` is llm or tts."""

    turn: int
    stage: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class MotionFrames:
    """Motion of a turn, in the session's codec."""

    turn: int
    payload: bytes
    start_sample: int
    end_sample: int
    reported: Reported | None = None


@dataclass(frozen=True, slots=True)
class MotionEnded:
    """Motion_bridge has nothing more for the turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class MotionFailed:
    """Motion_bridge cannot serve the rest of the turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class MotionLost:
    """The motion stream broke."""


@dataclass(frozen=True, slots=True)
class MotionBack:
    """A new motion stream is ready, for the next turn."""


@dataclass(frozen=True, slots=True)
class Played:
    """The client confirmed playback up to here."""

    turn: int
    samples: int
    delivered: Delivered | None = None


@dataclass(frozen=True, slots=True)
class EgressEnded:
    """Egress is done with the turn."""

    turn: int
    reason: TurnEndReason.ValueType
    played_samples: int
    delivered: Delivered | None = None


@dataclass(frozen=True, slots=True)
class EgressLost:
    """The egress stream broke."""


@dataclass(frozen=True, slots=True)
class EgressBack:
    """A new egress stream is ready; the client joins it again."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """A stage reported a fault that the session survives."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; nothing else happened."""


TurnEvent = (
    LlmDelta
    | LlmDone
    | StageFailed
    | TtsAudio
    | TtsWords
    | TtsPhonemes
    | TtsDone
    | MotionFrames
    | MotionEnded
    | MotionFailed
    | MotionLost
    | MotionBack
    | Played
    | EgressEnded
    | EgressLost
    | EgressBack
)
"""What a stage says about a turn, or about itself."""

Event = (
    TurnEvent
    | Started
    | SpeechStarted
    | Partial
    | SpeechStopped
    | EndOfTurn
    | Final
    | AsrLost
    | UserText
    | UserInterrupt
    | ClientJoined
    | ClientLeft
    | Noticed
    | Tick
)
