"""A model's pass over a conversation as a span, in the words of OpenTelemetry's `gen_ai`."""

from __future__ import annotations

from stagekit import attributes as a
from stagekit.tracing import Span
from stagewire.llm.v1 import llm_pb2

from stagewire_llm.backend import Finished, Request

_ROLES = {
    llm_pb2.ROLE_SYSTEM: "system",
    llm_pb2.ROLE_USER: "user",
    llm_pb2.ROLE_ASSISTANT: "assistant",
    llm_pb2.ROLE_TOOL: "tool",
}


def begin(turn: Span, request: Request, provider: str, model: str) -> Span:
    """Starts the span of one pass under its turn's."""
    chat = turn.child(
        "llm chat",
        {
            a.GEN_AI_OPERATION: "chat",
            a.GEN_AI_PROVIDER: provider,
            a.GEN_AI_REQUEST_MODEL: model,
            a.GEN_AI_MAX_TOKENS: request.max_output_tokens,
        },
    )
    chat.content(a.GEN_AI_INPUT_MESSAGES, (_message(message) for message in request.messages))
    return chat


def finish(chat: Span, said: llm_pb2.Message, finished: Finished) -> None:
    """Says what came of it."""
    reason = llm_pb2.FinishReason.Name(finished.reason).removeprefix("FINISH_REASON_").lower()
    chat.set(
        {
            a.GEN_AI_FINISH_REASONS: ["tool_calls" if said.tool_calls else reason],
            a.GEN_AI_INPUT_TOKENS: finished.usage.input_tokens,
            a.GEN_AI_CACHED_TOKENS: finished.usage.cached_input_tokens,
            a.GEN_AI_OUTPUT_TOKENS: finished.usage.output_tokens,
        }
    )
    chat.content(a.GEN_AI_OUTPUT_MESSAGES, (_message(message) for message in (said,)))


def _message(message: llm_pb2.Message) -> dict[str, object]:
    parts: list[dict[str, object]] = []
    if message.role == llm_pb2.ROLE_TOOL:
        response = {"type": "tool_call_response", "id": message.tool_call_id}
        parts.append({**response, "response": message.text})
    elif message.text:
        parts.append({"type": "text", "content": message.text})
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments_json}
        for call in message.tool_calls
    ]
    return {"role": _ROLES.get(message.role, "unknown"), "parts": parts}
