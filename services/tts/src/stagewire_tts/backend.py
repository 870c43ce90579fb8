"""What a speech synthesizer must offer to be a backend of this stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stagekit.audio import Samples


@dataclass(frozen=True)
class WordTime:
    """A written word: where it stands in the clause (code points) and sounds in it (samples)."""

    text_start: int
    text_end: int
    start: int
    end: int


@dataclass(frozen=True)
class PhonemeTime:
    """A speech sound in ARPAbet, or ``sil``, and where it sounds in the clause (samples)."""

    symbol: str
    start: int
    end: int


@dataclass(frozen=True)
class Clause:
    """A spoken clause.

    Attributes:
        samples: float32, shape [n], -1..1, at the backend's sample rate; empty when the text has
            nothing to say.
        words: In order; empty when the backend does not know.
        phonemes: Contiguous from 0 to n; empty when the backend does not know.
    """

    samples: Samples
    words: tuple[WordTime, ...] = ()
    phonemes: tuple[PhonemeTime, ...] = ()


class Backend(Protocol):
    """A synthesizer. Its attributes do not change; ``synthesize`` is called on worker threads.

    Attributes:
        name: What Describe says.
        models: The models in use, for Describe.
        voices: Voice ids; the first is the default.
        languages: BCP 47 tags of what it speaks; the first is the default.
        sample_rate: Of its samples, in hertz.
        features: Of "words" and "phonemes", what its clauses carry.
    """

    name: str
    models: Sequence[str]
    voices: Sequence[str]
    languages: Sequence[str]
    sample_rate: int
    features: Sequence[str]

    def synthesize(self, text: str, voice: str, rate: float) -> Clause:
        """Speaks a clause of at most a few hundred code points.

        Args:
            text: Anything a person or a model may write; what cannot be spoken is left out.
            voice: One of ``voices``.
            rate: 1 is the voice's normal rate; 0.5 to 2.

        Raises:
            StageError: BACKEND_FAILED.
        """
        ...
