"""Cutting the language model's text into clauses that can be spoken as they come.

The first clause decides when the avatar begins to speak, so it is short: to the first punctuation,
or a few words. Later ones are whole sentences where possible, because they sound better and there
is time.
"""

from __future__ import annotations

import re

CLAUSE_WORDS = (5, 10, 20, 30)
"""Without punctuation the first clause ends after 5 words, the shortest that still sounds like
speech, the second after 10, and so on: a clause must be ready before the one before it has been
spoken, or the voice falters."""
COMMA_WORDS = 5
"""A later clause ends at a comma only when it has at least this many words."""

_ABBREVIATIONS = {
    *("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "inc", "ltd", "co"),
    *("vs", "e.g", "i.e", "etc", "approx", "no", "fig", "vol", "u.s", "u.k", "a.m", "p.m"),
}
_QUOTES = "\"'()[]\u201c\u201d\u2018\u2019"
# A comma or a question mark right after a letter is a boundary at once; a full stop only when the
# text goes on with a space ("3.14", "example.com"), which costs the time of one more token.
_BOUNDARY = re.compile(
    rf"(?<=[^\W\d_])[,;:!?]|([.!?…]+[{re.escape(_QUOTES)}]*|[,;:\u2013\u2014])(?=\s)"
)


class ClauseSplitter:
    """Takes text as it is generated, gives clauses; joined, they are the text."""

    def __init__(self) -> None:
        """Begins a turn."""
        self._held = ""
        self._given = 0

    def push(self, text: str) -> list[str]:
        """Takes more text; returns the clauses that are complete, in order."""
        self._held += text
        clauses: list[str] = []
        while (end := self._end_of_clause()) is not None:
            clauses.append(self._held[:end])
            self._held = self._held[end:]
            self._given += 1
        return clauses

    def flush(self) -> str:
        """The rest, which may be empty."""
        rest, self._held = self._held, ""
        return rest

    def _end_of_clause(self) -> int | None:
        for match in _BOUNDARY.finditer(self._held):
            clause = self._held[: match.end()]
            words = len(clause.split())
            if match.group()[0] in ".!?…":
                if not _abbreviated(clause):
                    return match.end()
            elif not self._given or words >= COMMA_WORDS:
                return match.end()
        # The last word may still grow, so it never counts.
        limit = CLAUSE_WORDS[min(self._given, len(CLAUSE_WORDS) - 1)]
        words_seen = list(re.finditer(r"\S+(?=\s)", self._held))
        return words_seen[limit - 1].end() if len(words_seen) >= limit else None


def _abbreviated(clause: str) -> bool:
    last = clause.rsplit(None, 1)[-1].strip(_QUOTES)
    if not last.endswith(".") or last.endswith(".."):
        return False
    bare = last[:-1].lower()
    # "Dr." or an initial, as in "J. S. Bach"; the pronoun "I." does end a sentence.
    return bare in _ABBREVIATIONS or (len(bare) == 1 and bare.isalpha() and bare != "i")
