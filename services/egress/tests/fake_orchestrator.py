"""A fake orchestrator for egress' gRPC side; tests/livekit uses it, too."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from stagewire.egress.v1 import egress_pb2

RATE = 24_000


class FakeOrchestrator:
    """Fake: says to egress what a test tells it to, and keeps every answer."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.answers: list[egress_pb2.DeliverResponse] = []
        self._arrived = asyncio.Condition()
        self.error: grpc.aio.AioRpcError | None = None
        self.done = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self.join_url = ""

    async def _read(self) -> None:
        try:
            async for answer in self._call:
                async with self._arrived:
                    self.answers.append(answer)
                    self._arrived.notify_all()
        except grpc.aio.AioRpcError as error:
            self.error = error
        except asyncio.CancelledError:
            pass
        self.done.set()

    async def say(self, **arm: Any) -> None:
        await self._call.write(egress_pb2.DeliverRequest(**arm))

    async def turn(self, number: int, chunks: int = 5, tag: int = 0, end: bool = True) -> int:
        """Sends a whole turn of 40 ms chunks with a motion message each; returns its samples."""
        await self.say(turn_start={"turn": number})
        samples = RATE // 25
        for index in range(chunks):
            start = index * samples
            await self.audio(number, start, samples, tag)
            motion = {"payload": bytes([tag]) * 58, "start_sample": start}
            await self.say(motion={"turn": number, "end_sample": start + samples, **motion})
        if end:
            await self.say(end_of_turn={"turn": number})
        return chunks * samples

    async def audio(self, turn: int, start: int, samples: int, tag: int = 0) -> None:
        data = bytes([tag]) * (2 * samples)
        await self.say(audio={"turn": turn, "audio": {"data": data, "start_sample": start}})

    def all(self, arm: str) -> list[Any]:
        return [getattr(a, arm) for a in self.answers if a.WhichOneof("message") == arm]

    async def wait(self, arm: str, count: int = 1, seconds: float = 5.0) -> Any:
        """The count-th answer of a kind."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.all(arm)) >= count)
        return self.all(arm)[count - 1]

    async def hang_up(self) -> None:
        await self._call.done_writing()
        async with asyncio.timeout(5):
            await self.done.wait()

    def cancel(self) -> None:
        self._call.cancel()
        self._reading.cancel()
