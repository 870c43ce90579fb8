"""The contract's side of the stage: one Generate per turn, and Warm."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf import duration_pb2
from stagekit import attributes as a
from stagekit import tracing
from stagekit.admission import Admission
from stagekit.metrics import StageMetrics
from stagekit.outbox import Outbox
from stagekit.server import Stage
from stagekit.streams import Commands, check_id, duplex, task_group
from stagewire.common.v1 import describe_pb2, timing_pb2
from stagewire.llm.v1 import llm_pb2, llm_pb2_grpc

import stagewire_llm
from stagewire_llm import chat_span
from stagewire_llm.backend import Backend, Call, Finished, Request, Started, Text
from stagewire_llm.request import check_messages, check_open, check_tools
from stagewire_llm.settings import LlmSettings
from stagewire_llm.tool_results import ToolResults

logger = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Monotonic seconds."""

# Deltas that wait for a slow peer; what comes later is joined to longer deltas by the backend.
_OUTBOX_LIMIT = 8


class LlmService(llm_pb2_grpc.LlmServiceServicer):
    """Answers turns with a backend.

    Args:
        backend: The model.
        settings: Defaults and limits.
        admission: Counts the answers in progress.
        clock: Monotonic seconds.
    """

    def __init__(
        self, backend: Backend, settings: LlmSettings, admission: Admission, clock: Clock
    ) -> None:
        """No answer is in progress."""
        self._backend = backend
        self._settings = settings
        self._admission = admission
        self._clock = clock
        self._metrics = StageMetrics()

    async def Generate(
        self,
        request_iterator: AsyncIterator[llm_pb2.GenerateRequest],
        context: Any,
    ) -> AsyncIterator[llm_pb2.GenerateResponse]:
        """Answers one turn; see the contract."""
        commands = Commands(request_iterator)
        opening: llm_pb2.Open = await commands.open()
        watch = Stopwatch(self._clock)
        about: tracing.Attributes = {a.TURN: opening.turn, a.BACKEND: self._settings.backend}
        metadata = context.invocation_metadata()
        session_id, trace = opening.session_id, opening.trace
        with tracing.continued("llm generate", session_id, trace, about, metadata) as span:
            check_open(opening)
            with self._admission.slot():
                outbox: Outbox[llm_pb2.GenerateResponse] = Outbox(_OUTBOX_LIMIT)
                work = self._converse(opening, commands, outbox, watch, span)
                async for response in duplex(work, outbox):
                    yield response
                    if response.HasField("done"):
                        span.end()  # it is sent: a caller that hangs up now has everything

    async def Warm(self, request: llm_pb2.WarmRequest, context: Any) -> llm_pb2.WarmResponse:
        """Fills the prompt cache; see the contract."""
        check_id("session_id", request.session_id)
        tracing.enter_log(request.session_id, request.trace, context.invocation_metadata())
        check_messages(request.messages, open_end=request.last_message_open)
        check_tools(request.tools)
        if self._admission.draining:
            return llm_pb2.WarmResponse(warmed=False)
        done = await self._backend.warm(
            request.session_id, request.messages, request.tools, request.last_message_open
        )
        if done is None:
            return llm_pb2.WarmResponse(warmed=False)
        return llm_pb2.WarmResponse(
            evaluated_tokens=done.evaluated, cached_tokens=done.cached, warmed=True
        )

    async def _converse(
        self,
        opening: llm_pb2.Open,
        commands: Commands[llm_pb2.GenerateRequest],
        outbox: Outbox[llm_pb2.GenerateResponse],
        watch: Stopwatch,
        span: tracing.Span,
    ) -> None:
        info = self._backend.info
        ready = llm_pb2.Ready(
            model=info.model, context_tokens=info.context_tokens, features=info.features
        )
        await outbox.put(llm_pb2.GenerateResponse(ready=ready))
        results = ToolResults(self._settings.tool_timeout_seconds)
        try:
            async with task_group() as group:
                reader = group.create_task(results.read(commands))
                done = await self._answer(opening, results, outbox, watch, span)
                reader.cancel()
        finally:
            self._metrics.worked(span, watch.timing())
        await outbox.put(llm_pb2.GenerateResponse(done=done))

    async def _answer(
        self,
        opening: llm_pb2.Open,
        results: ToolResults,
        outbox: Outbox[llm_pb2.GenerateResponse],
        watch: Stopwatch,
        span: tracing.Span,
    ) -> llm_pb2.Done:
        """Passes of the model, with the tools' results between them, until one calls no tool."""
        messages = list(opening.messages)
        left = opening.max_output_tokens or self._settings.max_output_tokens
        usage = llm_pb2.Usage()
        while True:
            request = Request(
                session_id=opening.session_id,
                messages=tuple(messages),
                tools=opening.tools,
                max_output_tokens=left,
                temperature=opening.temperature if opening.HasField("temperature") else None,
                stop=opening.stop,
                seed=opening.seed if opening.HasField("seed") else None,
            )
            with chat_span.begin(
                span, request, self._settings.backend, self._backend.info.model
            ) as chat:
                chat.enter()  # what the backend traces hangs under it
                said, finished = await self._one_pass(request, results, outbox, watch)
                chat_span.finish(chat, said, finished)
            usage.input_tokens += finished.usage.input_tokens
            usage.cached_input_tokens += finished.usage.cached_input_tokens
            usage.output_tokens += finished.usage.output_tokens
            left -= finished.usage.output_tokens
            reason = finished.reason
            if said.tool_calls and left <= 0:
                reason = llm_pb2.FINISH_REASON_LENGTH
            elif said.tool_calls:
                messages += [said, *await results.collect(said.tool_calls)]
                continue
            return llm_pb2.Done(finish_reason=reason, usage=usage, timing=watch.timing())

    async def _one_pass(
        self,
        request: Request,
        results: ToolResults,
        outbox: Outbox[llm_pb2.GenerateResponse],
        watch: Stopwatch,
    ) -> tuple[llm_pb2.Message, Finished]:
        said = llm_pb2.Message(role=llm_pb2.ROLE_ASSISTANT)
        finished: Finished | None = None
        async with aclosing(self._backend.generate(request)) as events:
            async for event in events:
                match event:
                    case Started():
                        watch.start()
                    case Text(text):
                        said.text += text
                        delta = llm_pb2.Delta(text=text)
                        if watch.first_output():
                            delta.timing.CopyFrom(watch.timing())
                        await outbox.put(llm_pb2.GenerateResponse(delta=delta))
                    case Call(call):
                        said.tool_calls.append(call)
                        results.expect(call.id)
                        watch.first_output()
                        await outbox.put(llm_pb2.GenerateResponse(tool_call=call))
                    case Finished():
                        finished = event
        if finished is None:
            raise RuntimeError("the backend's events ended without Finished")
        return said, finished


class Stopwatch:
    """A turn's durations on the stage's own clock; the trigger is the making of this object."""

    def __init__(self, clock: Clock) -> None:
        """The trigger has arrived."""
        self._clock = clock
        self._trigger = clock()
        self._started: float | None = None
        self._first: float | None = None

    def start(self) -> None:
        """Work begins; only the first call counts."""
        self._started = self._clock() if self._started is None else self._started

    def first_output(self) -> bool:
        """Notes an output; True when it is the first."""
        if self._first is not None:
            return False
        self._first = self._clock()
        return True

    def timing(self) -> timing_pb2.StageTiming:
        """What was measured up to now."""
        now = self._clock()
        started = now if self._started is None else self._started
        timing = timing_pb2.StageTiming(
            queue_wait=_duration(started - self._trigger),
            since_trigger=_duration(now - self._trigger),
        )
        if self._first is not None:
            timing.compute_to_first_output.CopyFrom(_duration(self._first - started))
        return timing


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def make_stage(backend: Backend, settings: LlmSettings, clock: Clock = time.monotonic) -> Stage:
    """The stage around a backend."""
    info = backend.info
    room = min(settings.max_sessions, info.max_answers or settings.max_sessions)
    admission = Admission(room)
    service = LlmService(backend, settings, admission, clock)
    return Stage(
        services=[llm_pb2.DESCRIPTOR.services_by_name["LlmService"].full_name],
        register=lambda server: llm_pb2_grpc.add_LlmServiceServicer_to_server(service, server),
        description=describe_pb2.StageDescription(
            stage="llm",
            version=stagewire_llm.__version__,
            contracts=["stagewire.llm.v1"],
            backend=settings.backend,
            models=[info.model],
            limits={"sessions": room, "context_tokens": info.context_tokens},
            features=info.features,
        ),
        admission=admission,
        close=backend.close,
    )
