"""What is done with texts: words, agreement, circles."""

import pytest
from stagewire_asr.backends.whisper.decoder import repeats
from stagewire_asr.backends.whisper.transcriber import stable_characters
from stagewire_asr.backends.whisper.words import TimedWord, timed_words

PIECES = {1: " He", 2: " was", 3: " ill", 4: "-", 5: "posed", 6: ".", 7: " na", 8: "\ufffd"}


def decode(tokens):
    """A tokenizer in which token 8 is half a character and two of them are one."""
    return "".join(PIECES[token] for token in tokens).replace("\ufffd\ufffd", "ï")


def test_words_are_timed_from_their_first_token_to_the_next_words():
    tokens = [1, 2, 3, 4, 5, 6]
    steps = [(0, 0), (0, 5), (1, 10), (2, 20), (3, 25), (4, 30), (5, 38), (6, 40), (6, 60)]
    text = decode(tokens).strip()
    assert timed_words(tokens, decode, steps, text) == (
        TimedWord("He", 0, 3200, 0, 2),
        TimedWord("was", 3200, 6400, 3, 6),
        TimedWord("ill-posed.", 6400, 12800, 7, 17),
    )


def test_a_character_of_two_tokens_is_one():
    words = timed_words([7, 8, 8, 1], decode, [(0, 0), (1, 2), (2, 4), (3, 6), (4, 9)], "naï He")
    assert [(word.text, word.text_start, word.text_end) for word in words] == [
        ("naï", 0, 3),
        ("He", 4, 6),
    ]


@pytest.mark.parametrize(
    ("before", "now", "stable"),
    [
        ("", "He was not", ""),
        ("He was", "He was not", "He was"),
        ("He was not", "He was not", "He was"),
        ("He was not", "He is not", "He"),
        ("He was", "She was not", ""),
        ("naïve  man", "naïve man is", "naïve man"),
        ("a", "", ""),
    ],
)
def test_stable_is_what_two_texts_agree_on_without_the_last_word(before, now, stable):
    assert now[: stable_characters(before, now)] == stable


@pytest.mark.parametrize(
    ("text", "circles"),
    [
        ("10 of clubs 10 of clubs 10 of clubs", True),
        ("Once upon a time, once upon a time", False),
        ("no no no no", False),
        ("thank you " * 30, True),
        ("a" * 100, True),
        ("Eight of spades, four of clubs, seven of hearts.", False),
        ("", False),
    ],
)
def test_a_text_that_goes_in_circles_is_found_out(text, circles):
    assert repeats(text) is circles
