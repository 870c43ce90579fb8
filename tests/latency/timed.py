"""Scripted stages that take their time, say how long they took, and lie when told to.

They stand where vendors' stages would: on a gRPC port of their own, in the test's process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from scripted import Asr, Llm, Motion, ScriptedStages, Tts
from stagewire.asr.v1 import asr_pb2
from stagewire.common.v1.timing_pb2 import StageTiming

MICROPHONE_HERTZ = 16_000


@dataclass
class Pace:
    """What a stage takes and tells, in seconds.

    Attributes:
        queue: It waits so long before it works.
        work: It works so long.
        silent: It tells nothing.
        lie: It tells that everything took so much longer; negative: shorter than nothing.
    """

    queue: float = 0.0
    work: float = 0.0
    silent: bool = False
    lie: float = 0.0

    async def spend(self) -> StageTiming:
        """Takes the time; returns what is told of it."""
        arrived = time.monotonic()
        await asyncio.sleep(self.queue)
        started = time.monotonic()
        await asyncio.sleep(self.work)
        done = time.monotonic()
        told = StageTiming()
        if not self.silent:
            told.queue_wait.FromNanoseconds(int((started - arrived + self.lie) * 1e9))
            told.compute_to_first_output.FromNanoseconds(int((done - started + self.lie) * 1e9))
            told.since_trigger.FromNanoseconds(int((done - arrived + 2 * self.lie) * 1e9))
        return told


class _TimedLlm(Llm):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    async def Generate(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        told: StageTiming | None = None
        async for response in super().Generate(requests, context):
            if response.WhichOneof("message") == "delta" and told is None:
                told = await self._pace.spend()
                response.delta.timing.CopyFrom(told)
            yield response


class _TimedTts(Tts):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    async def Synthesize(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        told: StageTiming | None = None
        async for response in super().Synthesize(requests, context):
            if response.WhichOneof("message") == "words" and told is None:
                told = await self._pace.spend()
            if response.WhichOneof("message") == "audio" and told is not None:
                response.timing.CopyFrom(told)
                told = StageTiming()
            yield response


class _TimedMotion(Motion):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    async def Animate(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for response in super().Animate(requests, context):
            if response.HasField("ready"):  # also on a busy machine no turn begins without lips
                response.ready.first_motion_wait.FromSeconds(5)
            first = not response.motion.start_sample and response.HasField("motion")
            if first:
                response.motion.timing.CopyFrom(await self._pace.spend())
            yield response


class _TimedAsr(Asr):
    """Hears speech in the microphone's first second, and in none of the rest."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    async def Transcribe(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        await anext(requests)
        pb, heard, said = asr_pb2, 0, 0
        yield pb.TranscribeResponse(ready=pb.Ready(language="en-US"))
        async for request in requests:
            if request.WhichOneof("message") != "audio":
                continue
            heard += len(request.audio.data) // 2
            if not said and heard >= MICROPHONE_HERTZ // 2:
                said = 1
                yield pb.TranscribeResponse(speech_started=pb.SpeechStarted(utterance=1))
            if said == 1 and heard >= 1.1 * MICROPHONE_HERTZ:
                said = 2
                stopped = pb.SpeechStopped(utterance=1, sample=MICROPHONE_HERTZ, heard_sample=heard)
                yield pb.TranscribeResponse(speech_stopped=stopped)
                told = await self._pace.spend()
                final = pb.Final(utterance=1, from_utterance=1, text="one two three", timing=told)
                yield pb.TranscribeResponse(final=final)
                end = pb.EndOfTurn(utterance=1, probability=1.0)
                yield pb.TranscribeResponse(end_of_turn=end)


@dataclass
class TimedStages:
    """asr, llm, tts and motion_bridge, each with its pace, on one port."""

    asr: Pace = field(default_factory=Pace)
    llm: Pace = field(default_factory=Pace)
    tts: Pace = field(default_factory=Pace)
    motion: Pace = field(default_factory=Pace)

    def set(self, **paces: Pace) -> None:
        """Paces for the stages named; the others are quick and honest."""
        for stage in fields(self):
            held, wanted = getattr(self, stage.name), paces.get(stage.name, Pace())
            held.__dict__.update(wanted.__dict__)  # the stages hold this very object

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Yields the target that serves all four."""
        stages = ScriptedStages()
        stages.asr, stages.llm = _TimedAsr(self.asr), _TimedLlm(self.llm)
        stages.tts, stages.motion = _TimedTts(self.tts), _TimedMotion(self.motion)
        async with stages.serving() as target:
            yield target


@asynccontextmanager
async def far(target: str, seconds: float) -> AsyncIterator[str]:
    """A TCP proxy in front of ``target`` that holds every byte back, in both directions."""
    host, port = target.split(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def release() -> None:
            while True:
                due, data = await held.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                writer.write(data)

        async with asyncio.TaskGroup() as tasks:
            releasing = tasks.create_task(release())
            while data := await reader.read(65_536):
                held.put_nowait((loop.time() + seconds, data))
            releasing.cancel()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump(reader, ours))
                tasks.create_task(pump(theirs, writer))
        except* OSError:
            pass  # an end was closed while the other still wrote
        finally:
            ours.close()
            writer.close()

    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio's streams do not keep hold of their handlers; the set does.
        running.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
