"""Cutting text into clauses that are spoken one by one, so that long texts sound early."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stagewire_tts.english import NOT_AN_END

FIRST_LIMIT = 100
"""Code points of a turn's first clause at most: its synthesis is what the listener waits for."""
LIMIT = 220
"""Code points of any other clause: about 14 s of speech."""

_SENTENCE = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s)|\n""")
_PAUSE = re.compile(r"""[,;:—–]["'”’)\]]*(?=\s)|—""")
_LONGEST_WORD = 24
_LAST_WORD = re.compile(r"(\S+?)[.!?…]*$")


@dataclass(frozen=True)
class Piece:
    """A stretch of a text: ``text`` begins ``start`` code points into it."""

    text: str
    start: int


def split(text: str, first: bool) -> Iterator[Piece]:
    """Yields the clauses of ``text`` in order; together they are the whole of it.

    Sentences are kept whole up to a limit; longer ones are cut at a comma, else at a space, else
    anywhere.

    Args:
        text: What to speak.
        first: Whether this begins the turn, which makes the first clause shorter.
    """
    start = 0
    for end in [*_sentence_ends(text), len(text)]:
        while start < end:
            limit = FIRST_LIMIT if first else LIMIT
            cut = end if end - start <= limit else _cut(text, start, start + limit)
            yield Piece(text[start:cut], start)
            start, first = cut, False


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _SENTENCE.finditer(text):
        rest = text[match.end() :].lstrip()
        if match.group() == "\n" or (rest and not _goes_on(text[: match.end()], rest)):
            yield match.end()


def _goes_on(before: str, rest: str) -> bool:
    """Whether the period is an abbreviation's, or the next word says that the sentence goes on."""
    word = _LAST_WORD.search(before[-_LONGEST_WORD:])
    last = word.group(1).lstrip("(\"'“‘").lower() if word else ""
    stopped = before.rstrip("\"'”’)]").endswith(".")
    return rest[0].islower() or (
        stopped and (last in NOT_AN_END or (len(last) == 1 and last != "i"))
    )


def _cut(text: str, start: int, latest: int) -> int:
    """The best place to cut at, in the last three quarters of what is allowed."""
    earliest = start + (latest - start) // 4
    pauses = [m.end() for m in _PAUSE.finditer(text, earliest, latest)]
    if pauses:
        return pauses[-1]
    space = text.rfind(" ", earliest, latest)
    return space + 1 if space >= 0 else latest
