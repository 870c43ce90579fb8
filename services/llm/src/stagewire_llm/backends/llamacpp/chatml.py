r"""Conversations as ChatML, rendered here so that a warm prompt is a prefix of the later one.

The model's own template (Qwen2.5's, which SmolLM2 shares but for tools) joins turns as
``<|im_start|>role\ntext<|im_end|>\n``. A prompt for an answer ends in ``<|im_start|>assistant\n``;
a warm prompt just stops where its last message does. Cached tokens count as long as they are the
same from the first on, so nothing that comes later may change what was rendered before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from stagewire.llm.v1 import llm_pb2

_ROLE_NAMES = {
    llm_pb2.ROLE_SYSTEM: "system",
    llm_pb2.ROLE_USER: "user",
    llm_pb2.ROLE_ASSISTANT: "assistant",
    # Qwen2.5 reads the results of tools as the user's words.
    llm_pb2.ROLE_TOOL: "user",
}
_END = "<|im_end|>\n"

# Every special token of ChatML models is "<" at once followed by one of these.
_TOKEN_START = re.compile(r"<(?=[|/A-Za-z_])")

# Word for word what Qwen2.5 was trained with.
_TOOLS_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    'within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, '
    '"arguments": <args-json-object>}\n</tool_call>'
)


def answer_prompt(messages: Sequence[llm_pb2.Message], tools: Sequence[llm_pb2.Tool] = ()) -> str:
    """The prompt whose continuation answers the last of ``messages``."""
    return _join(messages, tools) + _END + "<|im_start|>assistant\n"


def warm_prompt(
    messages: Sequence[llm_pb2.Message],
    tools: Sequence[llm_pb2.Tool] = (),
    last_message_open: bool = False,
) -> str:
    """A prefix of every ``answer_prompt`` of a conversation that begins with ``messages``.

    With ``last_message_open`` more text may follow the last message's.
    """
    joined = _join(messages, tools)
    # Results of tools that follow one another share one turn, so that stays open too.
    if last_message_open or messages[-1].role == llm_pb2.ROLE_TOOL:
        return joined
    return joined + _END


def neutral(text: str) -> str:
    """``text`` without anything that a tokenizer could take for a special token.

    Spaces around it go too. The beginning of a text does not change when more follows.
    """
    return _TOKEN_START.sub("< ", text.strip())


def _join(messages: Sequence[llm_pb2.Message], tools: Sequence[llm_pb2.Tool]) -> str:
    parts: list[str] = []
    if tools and messages[0].role != llm_pb2.ROLE_SYSTEM:
        parts.append(f"<|im_start|>system\n{_tools(tools)}")
    for number, message in enumerate(messages):
        previous = messages[number - 1].role if number else None
        if not (message.role == previous == llm_pb2.ROLE_TOOL):
            parts += [_END] if parts else []
            parts.append(f"<|im_start|>{_ROLE_NAMES[message.role]}")
        parts.append(_body(message))
        if tools and number == 0 and message.role == llm_pb2.ROLE_SYSTEM:
            parts.append(f"\n\n{_tools(tools)}")
    return "".join(parts)


def _body(message: llm_pb2.Message) -> str:
    text = neutral(message.text)
    if message.role == llm_pb2.ROLE_TOOL:
        return f"\n<tool_response>\n{text}\n</tool_response>"
    if not message.tool_calls:
        return f"\n{text}"
    calls = "".join(
        f'\n<tool_call>\n{{"name": {json.dumps(neutral(call.name))}, '
        f'"arguments": {_json(call.arguments_json)}}}\n</tool_call>'
        for call in message.tool_calls
    )
    return f"\n{text}{calls}" if text else calls


def _tools(tools: Sequence[llm_pb2.Tool]) -> str:
    signatures = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": json.loads(tool.parameters_json or "{}"),
            },
        }
        for tool in tools
    ]
    lines = "".join(f"\n{neutral(json.dumps(each, ensure_ascii=False))}" for each in signatures)
    return _TOOLS_BEFORE + lines + _TOOLS_AFTER


def _json(text: str) -> str:
    return neutral(json.dumps(json.loads(text or "{}"), ensure_ascii=False))
