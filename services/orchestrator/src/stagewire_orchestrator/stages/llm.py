"""The llm stage: a call for each turn, and prompts kept warm between turns."""

from __future__ import annotations

import asyncio
import logging

import grpc
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.llm.v1 import llm_pb2, llm_pb2_grpc

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.history import Message
from stagewire_orchestrator.latency import Reported
from stagewire_orchestrator.stages.context import Context
from stagewire_orchestrator.stages.ending import ended
from stagewire_orchestrator.stages.retry import TURN_SECONDS, with_retries

logger = logging.getLogger(__name__)

_LlmCall = grpc.aio.StreamStreamCall[llm_pb2.GenerateRequest, llm_pb2.GenerateResponse]

_WARM_SECONDS = 10.0
_ROLES = {
    "system": llm_pb2.ROLE_SYSTEM,
    "user": llm_pb2.ROLE_USER,
    "assistant": llm_pb2.ROLE_ASSISTANT,
}


async def generate(context: Context, command: c.StartLlm) -> None:
    """Answers one turn: posts LlmDelta, then LlmDone or StageFailed."""
    avatar = context.avatar
    stub = llm_pb2_grpc.LlmServiceStub(context.channels.to(avatar, "llm"))
    opening = llm_pb2.Open(
        session_id=context.session_id,
        turn=command.turn,
        messages=_messages(command.messages),
        max_output_tokens=avatar.max_output_tokens,
        temperature=avatar.temperature,
    )
    turn = opening.turn
    spoke = False

    async def once(attempt: int, retried: float | None) -> None:
        with context.spans.call("llm", "generate", turn, attempt) as span:
            opening.trace.CopyFrom(span.context)
            call = stub.Generate(metadata=span.metadata, timeout=TURN_SECONDS, wait_for_ready=True)
            await answer(call, retried)

    async def answer(call: _LlmCall, retried: float | None) -> None:
        nonlocal spoke
        try:
            await call.write(llm_pb2.GenerateRequest(open=opening))
            await call.done_writing()
            async for response in call:
                if response.WhichOneof("message") == "delta":
                    spoke = True
                    delta = response.delta
                    reported = Reported.read(delta.timing)
                    await context.post(e.LlmDelta(turn, delta.text, reported, retried))
                elif response.WhichOneof("message") == "done":
                    await context.post(e.LlmDone(turn))
                    await ended(call)
                    return
            raise StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "the answer has no end")
        finally:
            call.cancel()

    await with_retries("llm", turn, once, lambda: spoke, context.post)


class Warmer:
    """Prefills the newest wanted prompt, one at a time; older wishes are forgotten."""

    def __init__(self, context: Context) -> None:
        """Nothing is wanted yet."""
        self._context = context
        self._wanted: c.WarmLlm | None = None
        self._news = asyncio.Event()

    def want(self, command: c.WarmLlm) -> None:
        """Asks for a prefill."""
        self._wanted = command
        self._news.set()

    def forget(self) -> None:
        """An answer begins: what was wanted is no longer of use."""
        self._wanted = None

    async def run(self) -> None:
        """Prefills until cancelled."""
        channel = self._context.channels.to(self._context.avatar, "llm")
        stub = llm_pb2_grpc.LlmServiceStub(channel)
        while True:
            await self._news.wait()
            self._news.clear()
            wanted, self._wanted = self._wanted, None
            if wanted is None:
                continue
            session = self._context.spans.session
            request = llm_pb2.WarmRequest(
                session_id=self._context.session_id,
                messages=_messages(wanted.messages),
                last_message_open=wanted.open_ended,
                trace=session.context,
            )
            try:
                await stub.Warm(request, metadata=session.metadata, timeout=_WARM_SECONDS)
            except grpc.aio.AioRpcError as error:
                logger.debug("llm did not warm: %s", error.code())


def _messages(messages: tuple[Message, ...]) -> list[llm_pb2.Message]:
    return [llm_pb2.Message(role=_ROLES[m.role], text=m.text) for m in messages]
