"""The tools' results of one turn: calls go out, their results come in at any time after."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stagekit.errors import StageError
from stagekit.streams import Commands
from stagewire.common.v1 import error_pb2
from stagewire.llm.v1 import llm_pb2


class ToolResults:
    """Matches ``tool_result`` messages with open calls.

    Args:
        timeout: Seconds that calls may stay unanswered.
    """

    def __init__(self, timeout: float) -> None:
        """No call is open."""
        self._timeout = timeout
        self._results: dict[str, llm_pb2.ToolResult | None] = {}
        self._closed = False
        self._changed = asyncio.Event()

    def expect(self, call_id: str) -> None:
        """Opens a call, before it is sent."""
        self._results[call_id] = None

    async def read(self, commands: Commands[llm_pb2.GenerateRequest]) -> None:
        """Takes results until the peer half-closes.

        Raises:
            StageError: For a result that no open call waits for, or a bad message.
        """
        async for _, result in commands:
            known = result.tool_call_id in self._results
            if not known or self._results[result.tool_call_id] is not None:
                raise StageError(
                    error_pb2.ERROR_REASON_INVALID_FIELD,
                    "tool_result.tool_call_id names no open call",
                )
            self._results[result.tool_call_id] = result
            self._changed.set()
        self._closed = True
        self._changed.set()

    async def collect(self, calls: Sequence[llm_pb2.ToolCall]) -> list[llm_pb2.Message]:
        """Waits for the results of ``calls``; returns them as messages, in the calls' order.

        Raises:
            StageError: TIMEOUT, or INVALID_FIELD when the peer half-closed before answering.
        """
        ids = [call.id for call in calls]
        try:
            async with asyncio.timeout(self._timeout):
                while any(self._results[call_id] is None for call_id in ids):
                    if self._closed:
                        raise StageError(
                            error_pb2.ERROR_REASON_INVALID_FIELD,
                            "the stream was half-closed before every tool call had its tool_result",
                        )
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise StageError(
                error_pb2.ERROR_REASON_TIMEOUT, f"a tool call had no result for {self._timeout:g} s"
            ) from None
        return [
            llm_pb2.Message(
                role=llm_pb2.ROLE_TOOL, tool_call_id=result.tool_call_id, text=result.content
            )
            for call_id in ids
            if (result := self._results[call_id]) is not None
        ]
