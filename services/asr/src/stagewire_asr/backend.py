"""What a recognizer must offer to be the asr stage's backend.

A vendor's package implements :class:`Backend` and names a factory for it as an entry point of group
``stagewire.asr.backends``. The service around it resamples, checks and speaks gRPC; a backend
hears samples at its own rate and calls ``emit`` with the events below. Sample offsets count at
:attr:`Info.sample_rate` from the first sample fed; the service turns them into the caller's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from stagekit.audio import Samples
from stagekit.errors import StageError


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak at ``sample``; utterances are numbered from 1 up."""

    utterance: int
    sample: int


@dataclass(frozen=True, slots=True)
class Partial:
    """Words so far of ``from_utterance`` to ``utterance``, the one in progress.

    ``stable_characters`` leading code points of ``text`` are unlikely to change.
    """

    utterance: int
    from_utterance: int
    text: str
    stable_characters: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """Speech ended at ``sample``. The utterance's :class:`Final` follows.

    ``heard_sample``: the end of the audio that it took to know; 0 when the backend cannot tell.
    """

    utterance: int
    sample: int
    heard_sample: int = 0


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """How likely (0 to 1) the turn is over, after so many samples of silence."""

    utterance: int
    probability: float
    silence_samples: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word, its samples (end exclusive), and its place in the text in code points."""

    text: str
    start_sample: int
    end_sample: int
    text_start: int
    text_end: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Moments on the clock :func:`time.monotonic`, in seconds.

    Attributes:
        trigger: The audio that ended the utterance had arrived.
        started: Work on the text began.
        finished: The text was there.
    """

    trigger: float
    started: float
    finished: float


@dataclass(frozen=True, slots=True)
class Final:
    """Settled words of ``from_utterance`` to ``utterance``; exactly one for each utterance.

    ``text`` is empty when nothing intelligible was said; ``confidence`` is 0 when unknown.
    """

    utterance: int
    from_utterance: int
    text: str
    language: str
    confidence: float
    words: tuple[Word, ...]
    timing: Timing


@dataclass(frozen=True, slots=True)
class Failed:
    """Something failed, and the session goes on."""

    error: StageError


Event = SpeechStarted | Partial | SpeechStopped | EndOfTurn | Final | Failed
Emit = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Info:
    """What a backend is.

    Attributes:
        name: A local model's or a vendor's name.
        models: As the manifest names them; empty for a vendor.
        languages: BCP 47 tags that it recognizes.
        features: Of "partials", "words", "end_of_turn", "phrases", those it has.
        sample_rate: In hertz, at which it wants to be fed.
    """

    name: str
    models: tuple[str, ...]
    languages: tuple[str, ...]
    features: tuple[str, ...]
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Options:
    """How one session wants to be heard; ``language`` is one that the backend has resolved."""

    language: str
    phrases: tuple[str, ...] = ()
    wants_partials: bool = False
    wants_words: bool = False


class Session(Protocol):
    """One microphone. The calls come one after the other, never at the same time."""

    async def feed(self, samples: Samples) -> None:
        """Hears more: float32, -1 to 1. Waits when the backend cannot keep up."""

    async def hint(self, *, avatar_speaking: bool) -> None:
        """While the avatar speaks, report speech only when sure of it, but then soon."""

    async def finalize(self) -> None:
        """Ends the utterance in progress, or an empty one: its :class:`Final` comes at once."""

    async def commit(self, utterance: int) -> None:
        """No later text may cover ``utterance`` or those before it."""


class Backend(Protocol):
    """A recognizer, shared by all sessions."""

    @property
    def info(self) -> Info:
        """What it is; never changes."""

    def resolve(self, tag: str) -> str:
        """The language that will be recognized for the BCP 47 tag ``tag``.

        Raises:
            StageError: UNSUPPORTED_LANGUAGE.
        """

    def listen(self, options: Options, emit: Emit) -> AbstractAsyncContextManager[Session]:
        """Begins a session.

        Leaving the block without an error means that no more audio comes: what was heard is
        answered first. An error that ends the session is raised from the block, a StageError.
        """

    async def close(self) -> None:
        """Releases what all sessions shared."""
