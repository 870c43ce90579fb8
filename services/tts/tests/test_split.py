from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagewire_tts.split import FIRST_LIMIT, LIMIT, split


def pieces(text: str, first: bool = False) -> list[str]:
    return [piece.text for piece in split(text, first)]


@given(st.text(alphabet="ab .,!?…\n—'\"(\u0301😀", max_size=900), st.booleans())
def test_pieces_are_the_whole_text_and_bounded(text: str, first: bool) -> None:
    parts = list(split(text, first))
    assert "".join(part.text for part in parts) == text
    position = 0
    for number, part in enumerate(parts):
        assert part.start == position
        assert 0 < len(part.text) <= (FIRST_LIMIT if first and not number else LIMIT)
        position += len(part.text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("Dr. Smith met J. R. Jones in the U.S. and left.", 1),
        ("It is 3.5 km. Go.", 2),
        ('"Yes." She left.', 2),
        ("Fruit, e.g. Apples.", 1),
        ("So am I. You too.", 2),
        ("one\ntwo", 2),
        ("wait... what", 1),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(pieces(text)) == count


def test_long_sentences_are_cut_at_commas_then_spaces_then_anywhere() -> None:
    clause = "a few words that go on for a while, "
    assert all(part.rstrip().endswith(",") for part in pieces(clause * 20)[:-1])
    assert all(part.endswith(" ") for part in pieces("word " * 200)[:-1])
    assert len(pieces("a" * 1_000)) == -(-1_000 // LIMIT)


def test_the_first_clause_is_short() -> None:
    assert len(pieces("word " * 100, first=True)[0]) <= FIRST_LIMIT


@pytest.mark.parametrize("unit", ["a. ", ". ", "A. ", "a", "((((", "...", "!? "])
def test_hostile_texts_cost_little(unit: str) -> None:
    started = time.monotonic()
    pieces((unit * 4_000)[:4_000])
    assert time.monotonic() - started < 2.0
