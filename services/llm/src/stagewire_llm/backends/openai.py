"""Any endpoint that speaks OpenAI's chat completions, such as OpenAI's, vLLM's or Ollama's."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import grpc
import httpx2
import openai
from openai.types.chat import ChatCompletionChunk
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from stagekit import attributes as a
from stagekit import tracing
from stagekit.errors import StageError
from stagekit.settings import load
from stagewire.common.v1 import error_pb2
from stagewire.llm.v1 import llm_pb2

from stagewire_llm.backend import (
    BackendInfo,
    Call,
    Event,
    Finished,
    Request,
    Started,
    Text,
    Warmed,
)


class OpenAISettings(BaseSettings):
    """Settings of the backend ``openai``."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_LLM_OPENAI_", extra="ignore")

    base_url: str = Field("https://api.openai.com/v1", description="The endpoint, up to its /v1.")
    model: str = Field("gpt-4o-mini", min_length=1, description="The model to ask for.")
    api_key: SecretStr = Field(SecretStr(""), description="The key; empty where none is asked for.")
    context_tokens: int = Field(0, ge=0, description="What to announce; 0: unknown.")
    tools: bool = Field(True, description="The model calls tools.")
    max_tokens_field: str = Field(
        "max_completion_tokens",
        pattern="^(max_completion_tokens|max_tokens)$",
        description="What the endpoint calls the bound of an answer; older ones: max_tokens.",
    )
    connect_seconds: float = Field(3.0, gt=0, description="How long connecting may take.")
    silence_seconds: float = Field(
        20.0, gt=0, description="How long the endpoint may send nothing while it answers."
    )


_ROLES = {
    llm_pb2.ROLE_SYSTEM: "system",
    llm_pb2.ROLE_USER: "user",
    llm_pb2.ROLE_ASSISTANT: "assistant",
    llm_pb2.ROLE_TOOL: "tool",
}
_FINISH_REASONS = {
    "length": llm_pb2.FINISH_REASON_LENGTH,
    "content_filter": llm_pb2.FINISH_REASON_FILTERED,
}
_SAFE_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class OpenAIChat:
    """The backend ``openai``.

    Args:
        settings: The endpoint, the model and the key.
    """

    def __init__(self, settings: OpenAISettings) -> None:
        """Connects to nothing yet."""
        self.info = BackendInfo(
            model=settings.model,
            context_tokens=settings.context_tokens,
            features=("tools", "seed") if settings.tools else ("seed",),
        )
        self._settings = settings
        # Retries are the orchestrator's, which knows whether the turn is still wanted.
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.get_secret_value() or "none",
            max_retries=0,
            timeout=httpx2.Timeout(settings.silence_seconds, connect=settings.connect_seconds),
        )

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Answers; see :class:`stagewire_llm.backend.Backend`."""
        yield Started()
        answer = _Answer(sum(len(message.tool_calls) for message in request.messages))
        try:
            with self._request_span() as span:
                stream = await self._client.chat.completions.create(
                    **self._body(request), extra_headers=dict(span.w3c)
                )
                async with stream:
                    async for chunk in stream:
                        if text := answer.add(chunk):
                            yield Text(text)
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:
            raise _as_stage_error(error, self._settings) from error
        for call in answer.calls():
            yield Call(call)
        yield answer.finished()

    async def warm(
        self,
        session_id: str,
        messages: Sequence[llm_pb2.Message],
        tools: Sequence[llm_pb2.Tool],
        last_message_open: bool,
    ) -> Warmed | None:
        """Nothing: the protocol has no call that only fills a cache."""
        return None

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def _request_span(self) -> tracing.Span:
        url = self._client.base_url
        about: tracing.Attributes = {
            a.HTTP_METHOD: "POST",
            a.SERVER_ADDRESS: url.host,
            a.SERVER_PORT: url.port or (443 if url.scheme == "https" else 80),
            a.GEN_AI_REQUEST_MODEL: self._settings.model,
        }
        return tracing.current().child("POST chat/completions", about, tracing.CLIENT)

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [_message(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._settings.max_tokens_field: request.max_output_tokens,
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools and self._settings.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        return body


class _Answer:
    """What a stream of chunks adds up to."""

    def __init__(self, calls_before: int) -> None:
        self._calls_before = calls_before
        self._calls: dict[int, llm_pb2.ToolCall] = {}
        self._reason: str | None = None
        self._usage = llm_pb2.Usage()

    def add(self, chunk: ChatCompletionChunk) -> str:
        """Takes a chunk; returns its text."""
        if usage := chunk.usage:
            details = usage.prompt_tokens_details
            self._usage = llm_pb2.Usage(
                input_tokens=usage.prompt_tokens,
                cached_input_tokens=(details.cached_tokens or 0) if details else 0,
                output_tokens=usage.completion_tokens,
            )
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._reason = choice.finish_reason or self._reason
        for part in choice.delta.tool_calls or ():
            call = self._calls.setdefault(part.index, llm_pb2.ToolCall())
            call.id = part.id or call.id
            if part.function:
                call.name += part.function.name or ""
                call.arguments_json += part.function.arguments or ""
        return choice.delta.content or ""

    def calls(self) -> list[llm_pb2.ToolCall]:
        """The calls that were made, complete.

        Raises:
            StageError: BACKEND_FAILED when one's arguments are not a JSON object.
        """
        if self._reason == "length":
            return []  # The last one may be cut off.
        calls = [self._calls[index] for index in sorted(self._calls)]
        for number, call in enumerate(calls, self._calls_before + 1):
            call.id = call.id or f"call_{number}"
            call.arguments_json = call.arguments_json or "{}"
            try:
                complete = isinstance(json.loads(call.arguments_json), dict)
            except ValueError:
                complete = False
            if not complete:
                raise _failed("made a tool call whose arguments are not a JSON object")
        return calls

    def finished(self) -> Finished:
        """The end of the answer.

        Raises:
            StageError: BACKEND_FAILED when the stream ended before the answer did.
        """
        if self._reason is None:
            raise _failed("ended the stream in the middle of an answer", unavailable=True)
        reason = _FINISH_REASONS.get(self._reason, llm_pb2.FINISH_REASON_STOP)
        return Finished(reason, self._usage)


def _message(message: llm_pb2.Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": _ROLES[message.role], "content": message.text}
    if message.role == llm_pb2.ROLE_TOOL:
        body["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        body["content"] = message.text or None
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json or "{}"},
            }
            for call in message.tool_calls
        ]
    return body


def _tool(tool: llm_pb2.Tool) -> dict[str, Any]:
    parameters = json.loads(tool.parameters_json or '{"type": "object", "properties": {}}')
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": parameters,
        },
    }


def _as_stage_error(error: Exception, settings: OpenAISettings) -> StageError:
    """The vendor's error in our words: theirs may quote the key or what was said."""
    if not isinstance(error, openai.APIStatusError):
        kind = type(error).__name__
        if isinstance(error, openai.APITimeoutError):
            return _failed("did not answer in time", unavailable=True)
        if isinstance(error, openai.APIConnectionError | httpx2.HTTPError):
            return _failed(f"cannot be reached, or hung up ({kind})", unavailable=True)
        return _failed(f"sent what is no chat completion ({kind}{_code(error)})")
    status = error.status_code
    if status in (401, 403):
        return StageError(
            error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED,
            f"the endpoint answered {status}: check STAGEWIRE_LLM_OPENAI_API_KEY and what the key "
            f"may do",
        )
    if status == 429:
        return StageError(
            error_pb2.ERROR_REASON_STAGE_FULL,
            f"the endpoint answered 429{_code(error)}",
            retry_after=_retry_after(error.response.headers),
        )
    if error.code == "context_length_exceeded":
        return StageError(
            error_pb2.ERROR_REASON_CONTEXT_TOO_LONG,
            f"messages (with tools) do not fit {settings.model}'s context: send fewer or shorter "
            f"messages",
        )
    if status == 404:
        return _failed(
            f"answered 404{_code(error)}: check STAGEWIRE_LLM_OPENAI_BASE_URL and "
            f"STAGEWIRE_LLM_OPENAI_MODEL"
        )
    return _failed(f"answered {status}{_code(error)}", unavailable=status >= 500)


def _code(error: Exception) -> str:
    code = getattr(error, "code", None)
    return f" {code}" if isinstance(code, str) and _SAFE_CODE.fullmatch(code) else ""


def _retry_after(headers: httpx2.Headers) -> float:
    """Seconds to wait: the header's, when it is a sane number, else 1."""
    try:
        return min(60.0, max(0.1, float(headers.get("retry-after", "1"))))
    except ValueError:
        return 1.0


def _failed(what: str, *, unavailable: bool = False) -> StageError:
    return StageError(
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        f"the endpoint {what}",
        code=grpc.StatusCode.UNAVAILABLE if unavailable else None,
    )


def create() -> OpenAIChat:
    """The backend as the environment describes it. Called by the entry point."""
    # At their lower levels these log requests, which hold what was said.
    for name in ("openai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return OpenAIChat(load(OpenAISettings))
