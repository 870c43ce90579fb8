"""How writing is read aloud, by example, and that every spoken word knows where it was written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire_tts.backends.hibari_text import normalize


def said(text: str) -> str:
    return " ".join(word.say + word.pause for word in normalize(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Numbers
        ("1,234,567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
        ("3.14", "three point one four"),
        ("0.05", "zero point zero five"),
        ("-5 degrees", "minus five degrees"),
        ("007", "zero zero seven"),
        ("105", "one hundred five"),
        ("12345678901234567890", "one two three four five six seven eight nine zero " * 2),
        ("1st 2nd 23rd 101st", "first second twenty-third one hundred first"),
        ("1/2, 2/3, 3 1/2", "one half, two thirds, three and one half"),
        ("pages 5-10", "pages five to ten"),
        ("a score of 2:1", "a score of two to one"),
        ("version 3.11.2", "version three point eleven point two"),
        # Years and decades
        ("in 1999 and 2005", "in nineteen ninety-nine and two thousand five"),
        ("in 1905, 2024", "in nineteen oh-five, twenty twenty-four"),
        ("the 1800s and the '90s", "the eighteen hundreds and the nineties"),
        # Money and percentages
        ("It costs $12.50.", "It costs twelve dollars and fifty cents."),
        ("$1 and $0.99", "one dollar and ninety-nine cents"),
        ("$1.5 million, $3B", "one point five million dollars, three billion dollars"),
        ("£5, €3.20, ¥500", "five pounds, three euros and twenty cents, five hundred yen"),
        ("-$5", "minus five dollars"),
        ("50% off", "fifty percent off"),
        # Times and dates
        ("at 7:30 pm", "at seven thirty P.M"),
        ("at 7:05", "at seven oh five"),
        ("by 7:00", "by seven o'clock"),
        ("at 7pm or 12 a.m.", "at seven P.M or twelve A.M."),
        ("15:00", "fifteen hundred"),
        ("On March 3rd, 2024", "On March third, twenty twenty-four"),
        ("Mar. 5 and Dec 25", "March fifth and December twenty-fifth"),
        ("3 March 2024", "the third of March twenty twenty-four"),
        ("the 4th of July", "the fourth of July"),
        ("2024-03-05", "March fifth twenty twenty-four"),
        ("12/25/99", "December twenty-fifth nineteen ninety-nine"),
        ("Call 555-123-4567.", "Call five five five, one two three, four five six seven."),
        # Units
        ("5km, 1 km", "five kilometers, one kilometer"),
        ("72°F and 60 mph", "seventy-two degrees Fahrenheit and sixty miles per hour"),
        ("16GB", "sixteen gigabytes"),
        # Abbreviations
        ("Dr. Smith and Mrs. Jones", "Doctor Smith and Missus Jones"),
        ("5 Elm St. in St. Louis.", "five Elm Street in Saint Louis."),
        ("fruit, e.g. pears, etc.", "fruit, for example pears, et cetera."),
        ("cats vs. dogs, i.e. war", "cats versus dogs, that is war"),
        ("No. 5 and #1", "number five and number one"),
        ("J. Smith lives in the U.S. now", "J Smith lives in the U.S now"),
        ("No.", "No."),
        # Acronyms and mixtures: the voice's lexicon knows the capitals
        ("NASA, USB and AI", "NASA, USB and AI"),
        ("JSON is OK", "jay-son is okay"),
        ("wtf, hmm", "W.T.F, hmm"),
        ("COVID-19, mp3, B2B, 4K", "COVID nineteen, M.P three, B two B, four K"),
        ("C++ and C#", "C plus plus and C sharp"),
        ("Henry VIII, World War II", "Henry the eighth, World War two"),
        # Addresses
        ("see https://www.example.com/foo?x=1.", "see example dot com slash foo."),
        ("bob.smith@mail.example.org", "bob dot smith at mail dot example dot org"),
        ("example.io", "example dot I.O"),
        # Signs
        ("x = 3 * 4 & 5 + 6", "x equals three times four and five plus six"),
        ("and/or 24/7", "and or twenty-four seven"),
        # Words, quotes, pauses
        ("don't, o'clock, dogs' bowls", "don't, o'clock, dogs' bowls"),
        ("naïve café", "naïve café"),
        ('"Quoted," she said (quietly)...', "Quoted, she said, quietly…"),
        ("Well—maybe - not", "Well— maybe— not"),
        ("end.Next one", "end. Next one"),
        # Markup and what cannot be said is dropped
        ("[hi](/bˈOO/) <b>bold</b> **x** `code`", "hi bold x code"),
        ("# Title\n- one\n- two", "Title, one, two"),
        ("你好 hello привет שלום", "hello"),
        ("\0\u202ea\u200bb 😀", "a b"),
        ("😀 !!! --- \n", ""),
        ("", ""),
    ],
)
def test_said(text: str, expected: str) -> None:
    assert said(text) == expected.strip()


def test_words_are_those_written() -> None:
    text = "Dr. Smith paid $1.5 million on March 3rd, 2024 (COVID-19)."
    words = [text[word.start : word.end] for word in normalize(text)]
    assert words == [
        "Dr.",
        "Smith",
        "paid",
        "$1.5 million",
        "on",
        "March",
        "3rd",
        "2024",
        "COVID-19",
    ]


_TRICKY = ["$5", "3.5", "1/2", "10:30", "pm", "Dr.", "Mar.", "3rd", "5km", "VIII", "a.m."]
_SIGNS = ["-", "–", " ", "\n", "'", "’", ".", ",", "#", "<b>", "](x)", "www.a.com"]
_SCRIPTS = ["é", "e\u0301", "ﬁ", "٣", "你", "\0"]
_PIECES = st.sampled_from([*_TRICKY, *_SIGNS, *_SCRIPTS])


@given(st.lists(_PIECES | st.text(max_size=6), max_size=20).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_becomes_plain_words_with_spans_in_order(text: str) -> None:
    words = normalize(text)
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert all(0 <= word.start < word.end <= len(text) for word in words)
    for word in words:
        assert all(c.isalpha() or c in "'.,- " for c in word.say), word.say
        assert any(c.isalpha() for c in word.say)
        assert word.pause in ("", *"?!.…—;:,")
