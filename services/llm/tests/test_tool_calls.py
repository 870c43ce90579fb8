import json
import string
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagekit.errors import StageError
from stagewire_llm.backends.llamacpp.tool_calls import Piece, ToolCallParser

CALL = '{"name": "get_weather", "arguments": {"city": "New } York"}}'
PARSED = ("get_weather", '{"city": "New } York"}')
OTHER = '{"name": "get_time", "arguments": {}}'


def parse(chunks: Iterable[str]) -> list[Piece]:
    parser = ToolCallParser({"get_weather", "get_time"})
    pieces = [piece for chunk in chunks for piece in parser.feed(chunk)]
    pieces += parser.close()
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


CASES = {
    "tagged": (f"<tool_call>\n{CALL}\n</tool_call>", [PARSED]),
    "bare": (CALL, [PARSED]),
    "other tags": (f"<tools>\n{CALL}\n</tools>", [PARSED]),
    "fenced": (f"```json\n{CALL}\n```", [PARSED]),
    "after text": (f"Let me look.\n<tool_call>\n{CALL}\n</tool_call>", ["Let me look.", PARSED]),
    "before text": (f"<tool_call>{CALL}</tool_call>\nThere.", [PARSED, "There."]),
    "two": (
        f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{OTHER}\n</tool_call>",
        [PARSED, ("get_time", "{}")],
    ),
    "two bare": (f"{CALL}\n{OTHER}", [PARSED, ("get_time", "{}")]),
    "tag never closed": (f"<tool_call>\n{CALL}", [PARSED]),
    "unknown tool in a tag": (
        '<tool_call>{"name": "fly", "arguments": {}}</tool_call>',
        [("fly", "{}")],
    ),
    "other JSON": ('A set: {"a": 1}. Good.', ['A set: {"a": 1}. Good.']),
    "unknown tool": ('{"name": "Bob", "age": 3} is he.', ['{"name": "Bob", "age": 3} is he.']),
    "braces": ("I said {hello} and < or ` or { 1 }.", ["I said {hello} and < or ` or { 1 }."]),
    "code": ("```python\nprint(1)\n```", ["```python\nprint(1)\n```"]),
    "plain": ("Hello there, how are you?", ["Hello there, how are you?"]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_way_of_cutting_the_text_gives_the_same(name: str) -> None:
    text, expected = CASES[name]
    assert parse([text]) == expected
    assert parse(text) == expected
    for position in range(len(text)):
        assert parse([text[:position], text[position:]]) == expected, text[:position]


def test_plain_text_is_not_held_back() -> None:
    parser = ToolCallParser({"get_weather"})
    assert list(parser.feed("Hello")) == ["Hello"]
    assert list(parser.feed(" there <")) == [" there"]
    assert list(parser.feed("3")) == [" <3"]
    assert list(parser.feed(" {not")) == [" {", "not"]


@pytest.mark.parametrize("text", ['<tool_call>{"name": "get_weather", "arg', '{"name": "get_w'])
def test_half_a_call_is_an_error_and_not_speech(text: str) -> None:
    with pytest.raises(StageError, match="not complete JSON"):
        parse([text])


@given(st.lists(st.sampled_from([*string.printable[:70], CALL, "<tool_call>", "```", "{", " <t"])))
def test_no_text_is_lost_and_nothing_crashes(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        pieces = parse(parts)
    except StageError:
        return
    assert pieces == parse([text])
    if CALL not in text and not text.rstrip().endswith(("</tool_call>", "```")):
        assert "".join(piece for piece in pieces if isinstance(piece, str)) == text.rstrip()
    for piece in pieces:
        if not isinstance(piece, str):
            json.loads(piece[1])
