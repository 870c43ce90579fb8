"""A session-long stream over a real connection, to a scripted asr that is made to break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from stagekit.admission import Admission
from stagekit.channel import connect
from stagekit.errors import StageError
from stagekit.server import Stage, serving
from stagekit.tracing import root
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2, describe_pb2, error_pb2
from stagewire_orchestrator.stages.link import Link


class ScriptedAsr(asr_pb2_grpc.AsrServiceServicer):
    """A fake: answers `ready`, counts audio, and breaks or goes away when it is told to."""

    def __init__(self) -> None:
        self.opened = 0
        self.audio: list[int] = []
        self.drain = asyncio.Event()
        self.refuse: StageError | None = None

    async def Transcribe(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        if self.refuse is not None:
            raise self.refuse
        first = await anext(requests)
        assert first.WhichOneof("message") == "open"
        self.opened += 1
        yield asr_pb2.TranscribeResponse(ready=asr_pb2.Ready(language="en"))
        if self.drain.is_set():
            yield asr_pb2.TranscribeResponse(going_away={"grace": {"seconds": 30}})
        async for request in requests:
            self.audio.append(request.audio.start_sample)


@asynccontextmanager
async def serve(asr: ScriptedAsr, port: int = 0) -> AsyncIterator[int]:
    stage = Stage(
        services=["stagewire.asr.v1.AsrService"],
        register=lambda server: asr_pb2_grpc.add_AsrServiceServicer_to_server(asr, server),
        description=describe_pb2.StageDescription(stage="asr"),
        admission=Admission(10),
    )
    async with serving(stage, port=port) as bound:
        yield bound


class Heard:
    def __init__(self) -> None:
        self.lost: list[StageError] = []
        self.back = asyncio.Event()

    async def on_lost(self, error: StageError) -> None:
        self.lost.append(error)

    async def on_back(self, ready: Any) -> None:
        self.back.set()

    async def on_message(self, arm: str, message: Any) -> None:
        pass


def link_to(
    channel: Any,
    heard: Heard,
    keep: int = 8,
    vital: bool = True,
    accept: Callable[[Any], bool] = lambda ready: True,
) -> Link[asr_pb2.TranscribeRequest]:
    return Link(
        "asr",
        asr_pb2_grpc.AsrServiceStub(channel).Transcribe,
        lambda trace: asr_pb2.TranscribeRequest(open=asr_pb2.Open(session_id="s", trace=trace)),
        lambda: root("session", "s").child("asr open"),
        on_message=heard.on_message,
        on_lost=heard.on_lost,
        on_back=heard.on_back,
        accept=accept,
        keep=keep,
        vital=vital,
    )


def audio(start: int) -> asr_pb2.TranscribeRequest:
    return asr_pb2.TranscribeRequest(audio=audio_pb2.Audio(data=b"\0\0", start_sample=start))


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_was_said_while_the_stage_restarted_arrives_afterwards() -> None:
    asr, heard = ScriptedAsr(), Heard()
    async with serve(asr) as port:
        channel = connect(f"127.0.0.1:{port}")
        link = link_to(channel, heard, keep=3)
        running = asyncio.create_task(link.run())
        await link.first_ready()
        await link.send(audio(0))
        await until(lambda: asr.audio == [0])
    await until(lambda: heard.lost)
    for start in (1, 2, 3, 4):
        await link.send(audio(start))
    async with serve(asr, port):
        async with asyncio.timeout(10):
            await heard.back.wait()
        await link.send(audio(5))
        await until(lambda: asr.audio == [0, 2, 3, 4, 5])
        running.cancel()
    await channel.close()


async def test_a_stage_that_refuses_the_first_stream_says_why() -> None:
    asr, heard = ScriptedAsr(), Heard()
    asr.refuse = StageError(
        error_pb2.ERROR_REASON_STAGE_FULL, "all places are taken", retry_after=1
    )
    async with serve(asr) as port, connect(f"127.0.0.1:{port}") as channel:
        link = link_to(channel, heard)
        running = asyncio.create_task(link.run())
        with pytest.raises(StageError, match="asr: all places are taken") as caught:
            await link.first_ready()
        assert caught.value.reason == error_pb2.ERROR_REASON_STAGE_FULL
        assert caught.value.retry_after == 1
        await running
        assert not heard.lost


async def test_an_unreachable_stage_is_named() -> None:
    heard = Heard()
    async with serve(ScriptedAsr()) as port:
        pass
    async with connect(f"127.0.0.1:{port}") as channel:
        link = link_to(channel, heard)
        running = asyncio.create_task(link.run())
        with pytest.raises(StageError, match="asr: ") as caught:
            await link.first_ready()
        assert caught.value.reason == error_pb2.ERROR_REASON_STAGE_UNREACHABLE
        await running


async def test_a_stage_that_goes_away_is_left_when_it_suits() -> None:
    asr, heard = ScriptedAsr(), Heard()
    async with serve(asr) as port, connect(f"127.0.0.1:{port}") as channel:
        asr.drain.set()
        link = link_to(channel, heard)
        running = asyncio.create_task(link.run())
        await link.first_ready()
        await link.send(audio(0))
        await until(lambda: asr.audio == [0])
        assert asr.opened == 1
        asr.drain.clear()
        link.leave_if_told()
        async with asyncio.timeout(10):
            await heard.back.wait()
        assert asr.opened == 2
        assert [error.reason for error in heard.lost] == [error_pb2.ERROR_REASON_DRAINING]
        running.cancel()


async def test_an_answer_that_will_not_do_is_no_connection() -> None:
    asr, heard, wanted = ScriptedAsr(), Heard(), iter([True, False, False, True])
    async with serve(asr) as port, connect(f"127.0.0.1:{port}") as channel:
        asr.drain.set()
        link = link_to(channel, heard, accept=lambda ready: next(wanted))
        running = asyncio.create_task(link.run())
        await link.first_ready()
        await link.send(audio(0))
        await until(lambda: asr.audio == [0])
        asr.drain.clear()
        link.leave_if_told()
        async with asyncio.timeout(10):
            await heard.back.wait()
        assert asr.opened == 4
        assert len(heard.lost) == 1
        running.cancel()


@pytest.mark.parametrize("vital", [True, False])
async def test_a_stage_that_refuses_for_good_is_not_asked_for_ever(vital: bool) -> None:
    asr, heard = ScriptedAsr(), Heard()
    async with serve(asr) as port, connect(f"127.0.0.1:{port}") as channel:
        asr.drain.set()
        link = link_to(channel, heard, vital=vital)
        running = asyncio.create_task(link.run())
        await link.first_ready()
        await link.send(audio(0))
        await until(lambda: asr.audio == [0])
        asr.refuse = StageError(error_pb2.ERROR_REASON_UNSUPPORTED_FORMAT, "not any more")
        link.leave_if_told()
        async with asyncio.timeout(10):
            if vital:
                with pytest.raises(StageError, match="asr: not any more"):
                    await running
            else:
                await running
        assert len(heard.lost) == 1


async def test_finish_ends_the_stream() -> None:
    asr, heard = ScriptedAsr(), Heard()
    async with serve(asr) as port, connect(f"127.0.0.1:{port}") as channel:
        link = link_to(channel, heard)
        running = asyncio.create_task(link.run())
        await link.first_ready()
        await link.send(audio(0))
        await link.finish()
        async with asyncio.timeout(10):
            await running
        assert asr.audio == [0]
