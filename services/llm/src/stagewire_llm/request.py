"""Checks of what a request says, each with an error that names the field."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NoReturn

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.llm.v1 import llm_pb2

MAX_TOOLS = 64
MAX_STOPS = 8
MAX_TEMPERATURE = 2.0
_MAX_STOP_CHARACTERS = 256
_TOOL_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


def check_open(opening: llm_pb2.Open) -> None:
    """Checks everything in ``open`` but the session id.

    Raises:
        StageError: INVALID_FIELD.
    """
    if opening.turn == 0:
        _refuse("turn is 0 or not set; turns count from 1")
    check_messages(opening.messages, open_end=False)
    if opening.messages[-1].role == llm_pb2.ROLE_ASSISTANT:
        _refuse(f"messages[{len(opening.messages) - 1}] is the assistant's; nothing is to answer")
    check_tools(opening.tools)
    if opening.max_output_tokens < 0:
        _refuse(f"max_output_tokens is {opening.max_output_tokens}; 0 means the default")
    # Written so that a NaN is refused too.
    if opening.HasField("temperature") and not 0 <= opening.temperature <= MAX_TEMPERATURE:
        _refuse(f"temperature is {opening.temperature:g}; 0 to {MAX_TEMPERATURE:g} are allowed")
    if len(opening.stop) > MAX_STOPS:
        _refuse(f"stop has {len(opening.stop)} texts; at most {MAX_STOPS} are allowed")
    for number, stop in enumerate(opening.stop):
        if not 1 <= len(stop) <= _MAX_STOP_CHARACTERS:
            _refuse(
                f"stop[{number}] has {len(stop)} characters; 1 to {_MAX_STOP_CHARACTERS} are taken"
            )


def check_messages(messages: Sequence[llm_pb2.Message], *, open_end: bool) -> None:
    """Checks a conversation; with ``open_end`` the last message's text may still be empty.

    Raises:
        StageError: INVALID_FIELD.
    """
    if not messages:
        _refuse("messages is empty; at least one message is needed")
    for number, message in enumerate(messages):
        unfinished = open_end and number == len(messages) - 1
        _check_message(f"messages[{number}]", message, unfinished)


def _check_message(name: str, message: llm_pb2.Message, unfinished: bool) -> None:
    if message.role == llm_pb2.ROLE_UNSPECIFIED:
        _refuse(f"{name}.role is not set")
    if message.role not in llm_pb2.Role.values():
        _refuse(f"{name}.role is {int(message.role)}, which this version does not know")
    needs_text = message.role in (llm_pb2.ROLE_SYSTEM, llm_pb2.ROLE_USER)
    if needs_text and not unfinished and not message.text.strip():
        _refuse(f"{name}.text is empty")
    if message.tool_calls and message.role != llm_pb2.ROLE_ASSISTANT:
        _refuse(f"{name}.tool_calls is set, but the message is not the assistant's")
    for number, call in enumerate(message.tool_calls):
        _check_object(f"{name}.tool_calls[{number}].arguments_json", call.arguments_json)
    if message.role == llm_pb2.ROLE_TOOL and not message.tool_call_id:
        _refuse(f"{name}.tool_call_id is empty; a tool's message names the call that it answers")


def check_tools(tools: Sequence[llm_pb2.Tool]) -> None:
    """Checks tool definitions.

    Raises:
        StageError: INVALID_FIELD.
    """
    if len(tools) > MAX_TOOLS:
        _refuse(f"tools has {len(tools)} tools; at most {MAX_TOOLS} are allowed")
    names: set[str] = set()
    for number, tool in enumerate(tools):
        if not _TOOL_NAME.fullmatch(tool.name):
            _refuse(f"tools[{number}].name must be 1 to 64 letters, digits and underscores")
        if tool.name in names:
            _refuse(f"tools[{number}].name {tool.name} is there twice")
        names.add(tool.name)
        _check_object(f"tools[{number}].parameters_json", tool.parameters_json)


def _check_object(field: str, text: str) -> None:
    """An empty text is taken as an empty object: a tool without arguments."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        _refuse(f"{field} is not JSON")
    if not isinstance(value, dict):
        _refuse(f"{field} is not a JSON object")


def _refuse(message: str) -> NoReturn:
    raise StageError(error_pb2.ERROR_REASON_INVALID_FIELD, message)
