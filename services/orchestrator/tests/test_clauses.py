"""Cutting text into clauses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagewire_orchestrator.clauses import CLAUSE_WORDS, ClauseSplitter


def split(text: str, size: int = 3) -> list[str]:
    splitter = ClauseSplitter()
    clauses: list[str] = []
    for k in range(0, len(text), size):
        clauses += splitter.push(text[k : k + size])
    return [*clauses, *filter(None, [splitter.flush()])]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Well, I think so.", ["Well,", " I think so."]),
        ("Rome is the capital of Italy.", ["Rome is the capital of", " Italy."]),
        ("Dr. Smith is in. Sit down.", ["Dr. Smith is in.", " Sit down."]),
        ("It is 3.14 or so. Yes.", ["It is 3.14 or so.", " Yes."]),
        ("Yes! I can, of course. Why not?", ["Yes!", " I can, of course.", " Why not?"]),
        ("I know J. S. Bach. You?", ["I know J. S. Bach.", " You?"]),
        ("So do I. Good.", ["So do I.", " Good."]),
        ("Sure,", ["Sure,"]),
        ("1,000 of them, or 3:15.", ["1,000 of them,", " or 3:15."]),
        ("Hi", ["Hi"]),
        ("", []),
    ],
)
def test_by_example(text: str, clauses: list[str]) -> None:
    assert split(text) == clauses


@given(st.text(alphabet=st.sampled_from("ab .,!?…—'\"\n"), max_size=300), st.integers(1, 20))
def test_the_clauses_joined_are_the_text_however_it_comes(text: str, size: int) -> None:
    assert "".join(split(text, size)) == text
    assert split(text, size) == split(text, 1)


def test_text_without_punctuation_is_cut_at_a_bounded_length() -> None:
    clauses = split("word " * 500)
    assert [len(clause.split()) for clause in clauses[:5]] == [*CLAUSE_WORDS, CLAUSE_WORDS[-1]]
