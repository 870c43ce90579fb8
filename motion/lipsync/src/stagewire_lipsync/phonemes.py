"""Speech sounds and their times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhonemeTime:
    """A speech sound.

    Attributes:
        symbol: ARPAbet without stress, such as ``AA``, or ``sil``; another is treated as silence.
        start: The sample at which it begins, from the start of the utterance.
        end: The sample at which it has ended.
    """

    symbol: str
    start: int
    end: int
