"""Answers and warm prompts on a local model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

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
from stagewire_llm.backends.llamacpp.chatml import answer_prompt, warm_prompt
from stagewire_llm.backends.llamacpp.engine import Completion, Engine
from stagewire_llm.backends.llamacpp.settings import LlamaCppSettings, find_weights
from stagewire_llm.backends.llamacpp.slots import Slots
from stagewire_llm.backends.llamacpp.tool_calls import ToolCallParser

# No text has this many code points per token; what is longer need not be tokenized to be refused.
_MAX_CHARACTERS_PER_TOKEN = 32

# llama.cpp takes this seed for "random".
_RANDOM_SEED = 0xFFFFFFFF


@dataclass
class _Warming:
    """A warm call in progress; answers cancel it."""

    slot: int = -1
    completion: Completion | None = None
    cancelled: bool = False


class LlamaCpp:
    """The backend ``llamacpp``. Answers go before warm prompts, always.

    Args:
        engine: The loaded model.
        settings: Slots, context, temperature.
        name: The model's name.
        calls_tools: Whether tools are announced, described to the model and parsed.
    """

    def __init__(
        self, engine: Engine, settings: LlamaCppSettings, name: str, calls_tools: bool
    ) -> None:
        """Nothing runs yet."""
        self.info = BackendInfo(
            model=name,
            context_tokens=settings.context_tokens,
            features=(*(("tools",) if calls_tools else ()), "warm", "seed"),
            max_answers=settings.slots,
        )
        self._engine = engine
        self._settings = settings
        self._calls_tools = calls_tools
        self._slots = Slots(settings.slots)
        self._answers = 0
        self._warmings: dict[str, _Warming] = {}

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Answers; see :class:`stagewire_llm.backend.Backend`."""
        tools = request.tools if self._calls_tools else ()
        prompt = answer_prompt(request.messages, tools)
        self._check_length(prompt)
        self._answers += 1
        try:
            for warming in self._warmings.values():
                self._cancel(warming)
            slot = await self._slots.take(request.session_id)
            completion = self._start(slot, self._body(prompt, request))
            try:
                yield Started()
                async with aclosing(self._read(completion, request, tools)) as events:
                    async for event in events:
                        yield event
            finally:
                self._stop(slot, completion)
        finally:
            self._answers -= 1

    async def warm(
        self,
        session_id: str,
        messages: Sequence[llm_pb2.Message],
        tools: Sequence[llm_pb2.Tool],
        last_message_open: bool,
    ) -> Warmed | None:
        """Fills the prompt cache; see :class:`stagewire_llm.backend.Backend`."""
        prompt = warm_prompt(messages, tools if self._calls_tools else (), last_message_open)
        self._check_length(prompt)
        if earlier := self._warmings.pop(session_id, None):
            self._cancel(earlier)
        if self._answers or len(self._warmings) >= self._settings.slots:
            return None
        warming = self._warmings[session_id] = _Warming()
        try:
            return await self._warm(session_id, prompt, warming)
        finally:
            if self._warmings.get(session_id) is warming:
                del self._warmings[session_id]

    async def _warm(self, session_id: str, prompt: str, warming: _Warming) -> Warmed | None:
        slot = await self._slots.take(session_id)
        if warming.cancelled:
            self._slots.release(slot)
            return None
        # One token comes out anyway, of the last prompt token's evaluation.
        completion = self._start(slot, {"prompt": prompt, "max_tokens": 1, "temperature": 0})
        warming.slot, warming.completion = slot, completion
        try:
            async for _ in completion.texts():
                pass
        finally:
            self._stop(slot, completion)
        if completion.result is None:
            return None
        timings = completion.result["timings"]
        return Warmed(evaluated=timings["prompt_n"], cached=timings["cache_n"])

    async def _read(
        self, completion: Completion, request: Request, tools: Sequence[llm_pb2.Tool]
    ) -> AsyncGenerator[Event, None]:
        parser = ToolCallParser({tool.name for tool in tools}) if tools else None
        calls = sum(len(message.tool_calls) for message in request.messages)
        async for text in completion.texts():
            for piece in parser.feed(text) if parser else (text,):
                event = _as_event(piece, calls)
                calls += isinstance(event, Call)
                yield event
        assert completion.result is not None  # texts() ends without it only after a cancel
        finished = _finished(completion.result)
        try:
            rest = list(parser.close()) if parser else []
        except StageError:
            if finished.reason != llm_pb2.FINISH_REASON_LENGTH:
                raise
            rest = []  # A call cut off by the limit is no call.
        for piece in rest:
            event = _as_event(piece, calls)
            calls += isinstance(event, Call)
            yield event
        yield finished

    def _body(self, prompt: str, request: Request) -> Mapping[str, Any]:
        temperature = request.temperature
        body: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": request.max_output_tokens,
            "temperature": self._settings.temperature if temperature is None else temperature,
            "stop": list(request.stop),
            # Rendered even by models that count them as special.
            "preserved_tokens": ["<tool_call>", "</tool_call>"],
        }
        if request.seed is not None:
            body["seed"] = request.seed % _RANDOM_SEED
        return body

    def _start(self, slot: int, body: Mapping[str, Any]) -> Completion:
        return self._engine.start(slot, body, lambda: self._slots.release(slot))

    def _stop(self, slot: int, completion: Completion) -> None:
        if not completion.left:
            completion.cancel()
            self._slots.stopping(slot)

    def _cancel(self, warming: _Warming) -> None:
        warming.cancelled = True
        if warming.completion is not None:
            self._stop(warming.slot, warming.completion)

    def _check_length(self, prompt: str) -> None:
        context = self._settings.context_tokens
        if len(prompt) > context * _MAX_CHARACTERS_PER_TOKEN:
            raise StageError(
                error_pb2.ERROR_REASON_CONTEXT_TOO_LONG,
                f"messages (with tools) are {len(prompt)} characters long; the context has "
                f"{context} tokens: send fewer or shorter messages",
            )

    async def settled(self) -> None:
        """Waits until the model works on nothing any more."""
        await self._slots.idle()

    async def close(self) -> None:
        """Waits until the model's threads have left, and frees the model."""
        for warming in self._warmings.values():
            self._cancel(warming)
        await asyncio.to_thread(self._engine.close)


def _as_event(piece: str | tuple[str, str], number: int) -> Text | Call:
    if isinstance(piece, str):
        return Text(piece)
    name, arguments = piece
    call = llm_pb2.ToolCall(id=f"call_{number + 1}", name=name, arguments_json=arguments)
    return Call(call)


def _finished(result: Mapping[str, Any]) -> Finished:
    timings = result["timings"]
    length = result["choices"][0]["finish_reason"] == "length"
    return Finished(
        llm_pb2.FINISH_REASON_LENGTH if length else llm_pb2.FINISH_REASON_STOP,
        llm_pb2.Usage(
            input_tokens=timings["cache_n"] + timings["prompt_n"],
            cached_input_tokens=timings["cache_n"],
            output_tokens=timings["predicted_n"],
        ),
    )


def create() -> LlamaCpp:
    """Loads the model that the environment names. Called by the entry point; takes seconds.

    Raises:
        SystemExit: When a setting is wrong or the model cannot be had.
    """
    settings = load(LlamaCppSettings)
    weights = find_weights(settings)
    return LlamaCpp(Engine(weights, settings), settings, weights.name, weights.calls_tools)
