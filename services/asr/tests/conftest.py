"""A client of the asr contract, and people's voices."""

import asyncio
import json
import wave
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from stagekit.errors import from_rpc_error
from stagekit.testing import channel_to
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2

SPEECH = Path(__file__).parents[3] / "tests" / "data" / "speech"


class Client:
    """One ``Transcribe`` stream; ``responses`` grows while it runs."""

    def __init__(self, call, rate, first_sample):
        self.call = call
        self.rate = rate
        self.sent = first_sample
        self.responses = []

    async def open(self, **fields):
        audio_format = audio_pb2.AudioFormat(
            encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=self.rate
        )
        opening = asr_pb2.Open(**{"session_id": "s", "format": audio_format, **fields})
        await self.call.write(asr_pb2.TranscribeRequest(open=opening))
        return await self.next("ready")

    async def send(self, **arm):
        await self.call.write(asr_pb2.TranscribeRequest(**arm))

    async def say(self, pcm, pace=0.0):
        """Sends int16 samples in messages of 40 ms, ``pace`` times as slow as they sound."""
        step = self.rate // 25
        for i in range(0, len(pcm), step):
            data = pcm[i : i + step].astype("<i2").tobytes()
            await self.send(audio=audio_pb2.Audio(data=data, start_sample=self.sent))
            self.sent += len(data) // 2
            await asyncio.sleep(pace * len(data) / 2 / self.rate)

    async def next(self, arm, timeout=10.0):
        """The next message of that arm; what comes before it is only kept."""
        async with asyncio.timeout(timeout):
            while (response := await self.call.read()) is not grpc.aio.EOF:
                self.responses.append(response)
                if response.WhichOneof("message") == arm:
                    return getattr(response, arm)
        raise AssertionError(f"no {arm}; status {await self.call.code()}")

    async def rest(self, timeout=30.0):
        """Half-closes, reads to the end and returns everything that ever came."""
        await self.call.done_writing()
        async with asyncio.timeout(timeout):
            while (response := await self.call.read()) is not grpc.aio.EOF:
                self.responses.append(response)
        return self.responses

    def all(self, arm):
        return [getattr(r, arm) for r in self.responses if r.WhichOneof("message") == arm]

    async def failure(self):
        """How the stream failed: its code and its ErrorInfo.reason."""
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.rest()
        return raised.value.code(), from_rpc_error(raised.value).reason_name


@asynccontextmanager
async def clients_of(stage):
    """Yields a function that makes clients of ``stage``."""
    async with channel_to(stage) as channel:
        stub = asr_pb2_grpc.AsrServiceStub(channel)
        yield lambda rate=16_000, first_sample=0: Client(stub.Transcribe(), rate, first_sample)


@pytest.fixture
def connect():
    return clients_of


@pytest.fixture(scope="session")
def transcripts():
    return json.loads((SPEECH / "transcripts.json").read_text())


@pytest.fixture(scope="session")
def speech():
    """A clip as int16 samples at 16 kHz, by file name."""

    def load(name):
        with wave.open(str(SPEECH / name)) as clip:
            return np.frombuffer(clip.readframes(clip.getnframes()), "<i2")

    return load
