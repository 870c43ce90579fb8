"""Scripted stages: small fakes of asr, llm, tts, motion_bridge and egress on one real gRPC server.

They keep the contract and do the least: llm repeats the user's last message, tts speaks 100 ms of
silence for each word, motion_bridge sends a frame for each audio, egress "plays" at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from stagekit.admission import Admission
from stagekit.errors import StageError
from stagekit.server import Stage, serving
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2, describe_pb2, turn_pb2
from stagewire.common.v1.timing_pb2 import Word
from stagewire.egress.v1 import egress_pb2, egress_pb2_grpc
from stagewire.llm.v1 import llm_pb2, llm_pb2_grpc
from stagewire.motion_bridge.v1 import motion_bridge_pb2, motion_bridge_pb2_grpc
from stagewire.tts.v1 import tts_pb2, tts_pb2_grpc

HERTZ = 24_000
WORD_SAMPLES = HERTZ // 10
COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED
BREAK = object()
"""Put into ``Egress.answers``: ends its stream."""


class Asr(asr_pb2_grpc.AsrServiceServicer):
    """Understands nothing; keeps what it heard."""

    def __init__(self) -> None:
        self.streams = 0
        self.heard: list[audio_pb2.Audio] = []

    async def Transcribe(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        self.streams += 1
        await anext(requests)
        yield asr_pb2.TranscribeResponse(ready=asr_pb2.Ready(language="en-US"))
        async for request in requests:
            if request.WhichOneof("message") == "audio":
                self.heard.append(request.audio)


class Llm(llm_pb2_grpc.LlmServiceServicer):
    """Repeats the user's last words; fails ``failures`` times first."""

    def __init__(self) -> None:
        self.failures: list[StageError] = []
        self.prompts: list[list[str]] = []

    async def Generate(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        opening = (await anext(requests)).open
        self.prompts.append([message.text for message in opening.messages])
        if self.failures:
            raise self.failures.pop(0)
        yield llm_pb2.GenerateResponse(ready=llm_pb2.Ready(model="scripted"))
        for word in opening.messages[-1].text.split():
            yield llm_pb2.GenerateResponse(delta=llm_pb2.Delta(text=f"{word} "))
        yield llm_pb2.GenerateResponse(done=llm_pb2.Done())

    async def Warm(self, request: Any, context: Any) -> Any:
        return llm_pb2.WarmResponse(warmed=True)


class Tts(tts_pb2_grpc.TtsServiceServicer):
    """100 ms of silence for each word."""

    async def Synthesize(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        await anext(requests)
        voice = audio_pb2.AudioFormat(
            encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=HERTZ
        )
        yield tts_pb2.SynthesizeResponse(ready=tts_pb2.Ready(format=voice))
        spoken, position, text = 0, 0, ""
        async for request in requests:
            text += request.text.text
            for word in text[position:].split():
                begin = text.index(word, position)
                position = begin + len(word)
                timed = Word(text=word, text_start=begin, text_end=position, start_sample=spoken)
                timed.end_sample = spoken + WORD_SAMPLES
                yield tts_pb2.SynthesizeResponse(words=tts_pb2.Words(words=[timed]))
                audio = audio_pb2.Audio(data=bytes(2 * WORD_SAMPLES), start_sample=spoken)
                yield tts_pb2.SynthesizeResponse(audio=audio)
                spoken += WORD_SAMPLES
        yield tts_pb2.SynthesizeResponse(done=tts_pb2.Done(samples=spoken))


class Motion(motion_bridge_pb2_grpc.MotionBridgeServiceServicer):
    """A frame for each audio; in a room none. Keeps what it was sent."""

    def __init__(self) -> None:
        self.features: list[str] = []
        self.opened: list[motion_bridge_pb2.Open] = []
        self.received: list[motion_bridge_pb2.AnimateRequest] = []

    async def Animate(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        pb = motion_bridge_pb2
        self.opened.append((await anext(requests)).open)
        in_room = self.opened[-1].WhichOneof("delivery") == "livekit_room"
        ready = pb.Ready(codec="scripted", frame_rate=10, features=self.features)
        yield pb.AnimateResponse(ready=ready)
        async for request in requests:
            self.received.append(request)
            if in_room:
                continue
            match request.WhichOneof("message"):
                case "audio":
                    start = request.audio.audio.start_sample
                    end = start + len(request.audio.audio.data) // 2
                    motion = pb.Motion(turn=request.audio.turn, payload=b"frame")
                    motion.start_sample, motion.end_sample = start, end
                    yield pb.AnimateResponse(motion=motion)
                case "end_of_audio":
                    ended = turn_pb2.TurnEnded(turn=request.end_of_audio.turn, reason=COMPLETED)
                    yield pb.AnimateResponse(turn_ended=ended)


class Egress(egress_pb2_grpc.EgressServiceServicer):
    """A client that is there at once, and plays at once; keeps what it was sent."""

    def __init__(self) -> None:
        self.opened: list[egress_pb2.Open] = []
        self.participants: asyncio.Queue[str] = asyncio.Queue()
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.received: list[egress_pb2.DeliverRequest] = []

    async def Deliver(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        pb = egress_pb2
        self.opened.append((await anext(requests)).open)
        yield pb.DeliverResponse(ready=pb.Ready(join_url="ws://scripted/v1/join"))
        self.participants.put_nowait("JOINED")
        answers = self.answers = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            moving = tasks.create_task(self._move(answers))
            tasks.create_task(self._play(requests, answers, moving))
            while (answer := await answers.get()) is not None:
                if answer is BREAK:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "a test ended this stream")
                yield answer

    async def _move(self, answers: asyncio.Queue[Any]) -> None:
        """Tells who came and went, as a test says it."""
        pb = egress_pb2
        while True:
            change = pb.Participant.Change.Value(f"CHANGE_{await self.participants.get()}")
            participant = pb.Participant(identity="user", change=change)
            answers.put_nowait(pb.DeliverResponse(participant=participant))

    async def _play(self, requests: Any, answers: asyncio.Queue[Any], moving: Any) -> None:
        pb = egress_pb2
        samples = 0
        async for request in requests:
            self.received.append(request)
            match request.WhichOneof("message"):
                case "turn_start":
                    samples = 0
                case "audio":
                    samples += len(request.audio.audio.data) // 2
                case "end_of_turn":
                    ended = pb.TurnEnded(turn=request.end_of_turn.turn, reason=COMPLETED)
                    ended.played_samples = samples
                    answers.put_nowait(pb.DeliverResponse(turn_ended=ended))
        moving.cancel()
        answers.put_nowait(None)


class ScriptedStages:
    """All five, on one port."""

    def __init__(self) -> None:
        self.asr, self.llm, self.tts = Asr(), Llm(), Tts()
        self.motion, self.egress = Motion(), Egress()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Yields the target that serves every stage."""

        def register(server: Any) -> None:
            asr_pb2_grpc.add_AsrServiceServicer_to_server(self.asr, server)
            llm_pb2_grpc.add_LlmServiceServicer_to_server(self.llm, server)
            tts_pb2_grpc.add_TtsServiceServicer_to_server(self.tts, server)
            motion_bridge_pb2_grpc.add_MotionBridgeServiceServicer_to_server(self.motion, server)
            egress_pb2_grpc.add_EgressServiceServicer_to_server(self.egress, server)

        description = describe_pb2.StageDescription(stage="scripted")
        stage = Stage([], register, description, Admission(100))
        async with serving(stage) as port:
            yield f"127.0.0.1:{port}"


async def until(condition: Any) -> None:
    """Waits for ``condition``, at most 10 s."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
