"""Written text to what is said, keeping where in the text each spoken word comes from.

Nothing of a text is a command: only plain words and pauses come out of here, so the voice's own
markup (``[word](/phonemes/)``) and its own normalization are never reached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stagewire_tts.backends.hibari_rules import RULES

# What may stand between two claimed stretches of one written word: 5km, COVID-19, and/or.
_JOINERS = frozenset(["", "-", "/", "'", "’", "_"])
# Strongest first. A parenthesis or a line's end is a short pause.
_PAUSES = "?!.…—;:,"
_ELLIPSIS = re.compile(r"\.{2,}")
_DASH = re.compile(r"\s[-–—]+\s|[–—]|--+")
_BREAK = re.compile(r"[()\n]")
_CLOSERS = re.compile(r"""[\s"'”’)\]*_]*""")


@dataclass(frozen=True)
class Spoken:
    """A written word and how it is read.

    Attributes:
        say: One or more spoken words: letters, apostrophes, hyphens, periods inside, spaces (and
            commas where a long number needs a breath).
        start: Where the written word begins in the text, in code points.
        end: Where it ends.
        pause: The punctuation that follows: one of ``? ! . … — ; : ,`` or nothing.
    """

    say: str
    start: int
    end: int
    pause: str = ""


def normalize(text: str) -> list[Spoken]:
    """The written words of ``text`` that can be said, in order; their spans do not overlap."""
    claimed = bytearray(len(text))
    pieces: list[tuple[int, int, str]] = []
    for pattern, handler in RULES:
        group = "x" if "x" in pattern.groupindex else 0
        for match in pattern.finditer(text):
            start, end = match.span(group)
            if start == end or any(claimed[start:end]):
                continue
            words = handler(match)
            if words is not None:
                claimed[start:end] = b"\1" * (end - start)
                pieces.append((start, end, words))
    return _joined(text, sorted(pieces))


def _joined(text: str, pieces: list[tuple[int, int, str]]) -> list[Spoken]:
    """The pieces as written words, with the pauses between them; silent pieces are left out."""
    spoken: list[Spoken] = []
    gap = ""
    position = 0
    for start, end, words in pieces:
        gap += text[position:start]
        position = end
        if not words:
            gap += " "
            continue
        if spoken and gap in _JOINERS:
            before = spoken.pop()
            spoken.append(Spoken(f"{before.say} {words}", before.start, end))
        else:
            if spoken:
                spoken[-1] = _paused(spoken[-1], _pause(gap))
            spoken.append(Spoken(words, start, end))
        gap = ""
    if spoken:
        gap += text[position:]
        # An abbreviation's period that ends the text ends the sentence too.
        ended = text[spoken[-1].end - 1] == "." and _CLOSERS.fullmatch(gap)
        spoken[-1] = _paused(spoken[-1], "." if ended else _pause(gap))
    return spoken


def _paused(word: Spoken, pause: str) -> Spoken:
    return Spoken(word.say, word.start, word.end, pause)


def _pause(gap: str) -> str:
    gap = _BREAK.sub(",", _DASH.sub("—", _ELLIPSIS.sub("…", gap)))
    return next((mark for mark in _PAUSES if mark in gap), "")
