"""Word times from Whisper's cross-attention, by dynamic time warping in CTranslate2.

The method is that of ``whisper/timing.py`` (https://github.com/openai/whisper, MIT): each text
token gets the stretch of audio that its attention heads look at; a word has that of its tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_STEP_SAMPLES = 320  # one step of the encoder: 20 ms at 16 kHz


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word of a text: its samples at 16 kHz (end exclusive) and its code points in the text."""

    text: str
    start_sample: int
    end_sample: int
    text_start: int
    text_end: int


def token_groups(tokens: Sequence[int], decode: Callable[[list[int]], str]) -> list[list[int]]:
    """Positions of ``tokens`` by word: a word begins with a space.

    A token that holds only a part of a character joins the tokens that complete it.
    """
    groups: list[list[int]] = []
    incomplete: list[int] = []
    for position in range(len(tokens)):
        incomplete.append(position)
        piece = decode([tokens[i] for i in incomplete])
        if "\ufffd" in piece and position + 1 < len(tokens):
            continue
        if groups and not piece.startswith(" "):
            groups[-1].extend(incomplete)
        else:
            groups.append(incomplete)
        incomplete = []
    return groups


def timed_words(
    tokens: Sequence[int],
    decode: Callable[[list[int]], str],
    alignments: Sequence[tuple[int, int]],
    text: str,
) -> tuple[TimedWord, ...]:
    """The words of ``text``, timed.

    Args:
        tokens: The text's tokens.
        decode: Tokens to text.
        alignments: Pairs of a position in ``tokens`` (or after them: the end of the text) and an
            encoder step, in order.
        text: What all tokens decode to, without the space at its ends.
    """
    first_step: dict[int, int] = {}
    for position, step in alignments:
        first_step.setdefault(position, step)
    last_step = max((step for _, step in alignments), default=0)
    words: list[TimedWord] = []
    cursor = 0
    for group in token_groups(tokens, decode):
        spoken = decode([tokens[i] for i in group]).strip()
        place = text.find(spoken, cursor)
        if not spoken or place < 0:
            continue
        cursor = place + len(spoken)
        start = first_step.get(group[0], last_step)
        end = max(start + 1, first_step.get(group[-1] + 1, last_step))
        times = (start * _STEP_SAMPLES, end * _STEP_SAMPLES)
        words.append(TimedWord(spoken, *times, place, cursor))
    return tuple(words)
