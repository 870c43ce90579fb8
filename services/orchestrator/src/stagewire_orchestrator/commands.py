"""What the conversation wants done: the machine's output, carried out by the shell in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stagewire.common.v1.session_event_pb2 import SessionEvent
from stagewire.common.v1.timing_pb2 import Phoneme, Word

from stagewire_orchestrator.history import Message


@dataclass(frozen=True, slots=True)
class CommitUtterance:
    """Tell asr that the words up to this utterance were taken."""

    utterance: int


@dataclass(frozen=True, slots=True)
class HintSpeaking:
    """Tell asr whether the avatar speaks."""

    speaking: bool


@dataclass(frozen=True, slots=True)
class WarmLlm:
    """Prefill this prefix; ``open_ended`` when the user's last message will grow."""

    messages: tuple[Message, ...]
    open_ended: bool


@dataclass(frozen=True, slots=True)
class StartLlm:
    """Generate the answer to these messages; ``speculative`` while the user may go on."""

    turn: int
    messages: tuple[Message, ...]
    speculative: bool = False


@dataclass(frozen=True, slots=True)
class StartTts:
    """Open the turn's synthesis; text follows."""

    turn: int


@dataclass(frozen=True, slots=True)
class FeedTts:
    """Speak this clause."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class FinishTts:
    """The turn has no more text."""

    turn: int


@dataclass(frozen=True, slots=True)
class CancelCalls:
    """Cancel what runs of the turn's llm and tts calls."""

    turn: int


@dataclass(frozen=True, slots=True)
class StartMotion:
    """Begin the turn at motion_bridge."""

    turn: int


@dataclass(frozen=True, slots=True)
class MoveAudio:
    """Voice for motion_bridge."""

    turn: int
    data: bytes
    start_sample: int


@dataclass(frozen=True, slots=True)
class MovePhonemes:
    """Phonemes for motion_bridge."""

    turn: int
    alphabet: int
    phonemes: Sequence[Phoneme]


@dataclass(frozen=True, slots=True)
class FinishMotion:
    """No more audio for motion_bridge."""

    turn: int


@dataclass(frozen=True, slots=True)
class InterruptMotion:
    """Cut the turn short at motion_bridge."""

    turn: int


@dataclass(frozen=True, slots=True)
class StartPlaying:
    """Begin the turn at egress."""

    turn: int


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Voice for the client."""

    turn: int
    data: bytes
    start_sample: int


@dataclass(frozen=True, slots=True)
class PlayMotion:
    """Motion for the client."""

    turn: int
    payload: bytes
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class PlayWords:
    """Word times for the client."""

    turn: int
    words: Sequence[Word]


@dataclass(frozen=True, slots=True)
class FinishPlaying:
    """The turn has no more media."""

    turn: int


@dataclass(frozen=True, slots=True)
class InterruptPlaying:
    """Silence at the client, now."""

    turn: int


@dataclass(frozen=True, slots=True)
class Announce:
    """An event for the client and for watchers; the shell adds session, sequence and time."""

    event: SessionEvent


@dataclass(frozen=True, slots=True)
class EndSession:
    """The conversation is over."""

    reason: str


Command = (
    CommitUtterance
    | HintSpeaking
    | WarmLlm
    | StartLlm
    | StartTts
    | FeedTts
    | FinishTts
    | CancelCalls
    | StartMotion
    | MoveAudio
    | MovePhonemes
    | FinishMotion
    | InterruptMotion
    | StartPlaying
    | PlayAudio
    | PlayMotion
    | PlayWords
    | FinishPlaying
    | InterruptPlaying
    | Announce
    | EndSession
)
