import itertools
import json

from hypothesis import given
from hypothesis import strategies as st
from stagewire.llm.v1 import llm_pb2
from stagewire_llm.backends.llamacpp.chatml import answer_prompt, neutral, warm_prompt

SYSTEM, USER = llm_pb2.ROLE_SYSTEM, llm_pb2.ROLE_USER
ASSISTANT, TOOL = llm_pb2.ROLE_ASSISTANT, llm_pb2.ROLE_TOOL
WEATHER = llm_pb2.Tool(
    name="get_weather",
    description="The weather of a city.",
    parameters_json='{"type": "object", "properties": {"city": {"type": "string"}}}',
)


def message(role: llm_pb2.Role.ValueType, text: str, **fields: object) -> llm_pb2.Message:
    return llm_pb2.Message(role=role, text=text, **fields)


def test_renders_the_template_of_qwen() -> None:
    prompt = answer_prompt(
        [
            message(SYSTEM, "You are Ava."),
            message(USER, "Hello"),
            message(ASSISTANT, "Hi!"),
            message(USER, "How are you?"),
        ]
    )
    assert prompt == (
        "<|im_start|>system\nYou are Ava.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nHow are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_renders_tools_calls_and_results() -> None:
    calls = [
        llm_pb2.ToolCall(id=f"call_{n}", name="get_weather", arguments_json=f'{{"city":"{city}"}}')
        for n, city in enumerate(("Paris", "Rome"))
    ]
    prompt = answer_prompt(
        [
            message(SYSTEM, "You are Ava."),
            message(USER, "Weather?"),
            message(ASSISTANT, "", tool_calls=calls),
            message(TOOL, "rain", tool_call_id="call_0"),
            message(TOOL, "sun", tool_call_id="call_1"),
        ],
        [WEATHER],
    )
    system, rest = prompt.split("<|im_end|>\n", 1)
    assert system.startswith("<|im_start|>system\nYou are Ava.\n\n# Tools\n\n")
    signature = system.split("<tools>\n")[1].split("\n</tools>")[0]
    assert json.loads(signature)["function"]["name"] == "get_weather"
    assert rest == (
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
        "<|im_end|>\n<|im_start|>user\n<tool_response>\nrain\n</tool_response>\n"
        "<tool_response>\nsun\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_need_no_system_message() -> None:
    assert answer_prompt([message(USER, "Hi")], [WEATHER]).startswith(
        "<|im_start|>system\n# Tools\n"
    )


TEXTS = st.text(alphabet=st.sampled_from("ab <|>/{}\n_🙂") | st.characters(codec="utf-8"))
SPECIALS = st.sampled_from(["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_response>", "<|"])
HOSTILE = st.lists(TEXTS | SPECIALS).map("".join)
MESSAGES = st.builds(
    llm_pb2.Message,
    role=st.sampled_from([SYSTEM, USER, ASSISTANT, TOOL]),
    text=HOSTILE,
    tool_calls=st.just([])
    | st.just([llm_pb2.ToolCall(id="call_1", name="f", arguments_json='{"a": "<|im_end|>"}')]),
)
CONVERSATIONS = st.lists(MESSAGES, min_size=1, max_size=6)
TOOLS = st.sampled_from([[], [WEATHER]])


@given(CONVERSATIONS, TOOLS, st.data())
def test_a_warm_prompt_of_the_first_messages_is_a_prefix(
    messages: list[llm_pb2.Message], tools: list[llm_pb2.Tool], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(messages)))
    warm = warm_prompt(messages[:count], tools, last_message_open=False)
    assert answer_prompt(messages, tools).startswith(warm)


@given(CONVERSATIONS, TOOLS, st.data())
def test_a_warm_prompt_of_an_unfinished_text_is_a_prefix(
    messages: list[llm_pb2.Message], tools: list[llm_pb2.Tool], data: st.DataObject
) -> None:
    last = messages[-1]
    last.role = USER
    del last.tool_calls[:]
    whole = last.text
    opened = llm_pb2.Message(role=USER, text=whole[: data.draw(st.integers(0, len(whole)))])
    warm = warm_prompt([*messages[:-1], opened], tools, last_message_open=True)
    assert answer_prompt(messages, tools).startswith(warm)


@given(CONVERSATIONS, TOOLS)
def test_texts_bring_no_special_token(
    messages: list[llm_pb2.Message], tools: list[llm_pb2.Tool]
) -> None:
    prompt = answer_prompt(messages, tools)
    merged = sum(
        first.role == second.role == TOOL for first, second in itertools.pairwise(messages)
    )
    own_system = bool(tools) and messages[0].role != SYSTEM
    turns = len(messages) - merged + own_system
    assert prompt.count("<|im_start|>") == turns + 1  # one more for the answer
    assert prompt.count("<|im_end|>") == turns


def test_neutral_text_keeps_its_words_and_plain_comparisons() -> None:
    assert neutral("a <|im_end|> b") == "a < |im_end|> b"
    assert neutral("1 < 2 and 3<4, <3") == "1 < 2 and 3<4, <3"
