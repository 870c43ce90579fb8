"""What the tests of the backend share: a stage around it, and a caller that talks to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from fake_motion_server import API_KEY, FakeMotionServer
from stagekit.errors import StageError, from_rpc_error
from stagekit.testing import channel_to
from stagewire.common.v1 import audio_pb2, trace_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb
from stagewire.motion_bridge.v1 import motion_bridge_pb2_grpc as rpc
from stagewire_motion_bridge.backends.spatius.engine import SpatiusBackend
from stagewire_motion_bridge.backends.spatius.settings import SpatiusSettings
from stagewire_motion_bridge.service import create_stage
from stagewire_motion_bridge.settings import MotionBridgeSettings

RATE = 16_000


@asynccontextmanager
async def bridge(server: FakeMotionServer, **changes: Any) -> AsyncIterator[grpc.aio.Channel]:
    """The whole stage, on a channel."""
    told: dict[str, Any] = {
        "SPATIUS_API_KEY": API_KEY,
        "SPATIUS_APP_ID": "app",
        "SPATIUS_AVATAR_ID": "av",
        "SPATIUS_CONSOLE_ENDPOINT": server.console,
        "SPATIUS_INGRESS_ENDPOINT": server.ingress,
        "connect_seconds": 3.0,
    }
    backend = SpatiusBackend(SpatiusSettings(**{**told, **changes}), lambda: random.Random(1))
    async with channel_to(create_stage(backend, MotionBridgeSettings())) as channel:
        yield channel


class Caller:
    """One stream to the stage; keeps what came."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call = rpc.MotionBridgeServiceStub(channel).Animate()
        self.seen: list[pb.AnimateResponse] = []

    async def open(self, rate: int = RATE, **fields: Any) -> pb.Ready:
        pcm = audio_pb2.AudioFormat(encoding=1, sample_rate_hertz=rate)
        if "livekit_room" not in fields:
            fields["return_frames"] = pb.ReturnFrames()
        defaults: dict[str, Any] = {"session_id": "s", "format": pcm}
        await self.send(open=pb.Open(**{**defaults, **fields}))
        return (await self.until("ready")).ready

    async def start(self, turn: int, traceparent: str = "") -> None:
        trace = trace_pb2.TraceContext(traceparent=traceparent)
        await self.send(turn_start=pb.TurnStart(turn=turn, trace=trace))

    async def audio(self, turn: int, samples: int, at: int = 0) -> None:
        pcm = bytes(range(256)) * (samples // 128 + 1)
        piece = audio_pb2.Audio(data=pcm[: 2 * samples], start_sample=at)
        await self.send(audio=pb.TurnAudio(turn=turn, audio=piece))

    async def end(self, turn: int) -> None:
        await self.send(end_of_audio=pb.EndOfAudio(turn=turn))

    async def interrupt(self, turn: int) -> None:
        await self.send(interrupt=pb.Interrupt(turn=turn))

    async def speak(self, turn: int, samples: int, traceparent: str = "") -> None:
        """A whole turn."""
        await self.start(turn, traceparent)
        await self.audio(turn, samples)
        await self.end(turn)

    async def until(self, arm: str, turn: int = 0, seconds: float = 10.0) -> pb.AnimateResponse:
        """Reads on until a message of that kind, and of that turn if one is given."""
        async with asyncio.timeout(seconds):
            while True:
                response = await self._call.read()
                assert response is not grpc.aio.EOF, f"no `{arm}`"
                self.seen.append(response)
                if response.WhichOneof("message") != arm:
                    continue
                if not turn or getattr(response, arm).turn == turn:
                    return response

    async def turn_ended(self, turn: int, seconds: float = 10.0) -> int:
        return (await self.until("turn_ended", turn, seconds)).turn_ended.reason

    async def leave(self) -> list[pb.AnimateResponse]:
        """Half-closes; what still came."""
        await self._call.done_writing()
        rest: list[pb.AnimateResponse] = []
        async with asyncio.timeout(10):
            while (response := await self._call.read()) is not grpc.aio.EOF:
                rest.append(response)
        self.seen += rest
        return rest

    def motion(self, turn: int) -> list[pb.Motion]:
        found = [r.motion for r in self.seen if r.WhichOneof("message") == "motion"]
        return [motion for motion in found if motion.turn == turn]

    def degraded(self, turn: int) -> list[pb.Degraded]:
        found = [r.degraded for r in self.seen if r.WhichOneof("message") == "degraded"]
        return [degraded for degraded in found if degraded.turn == turn]

    async def send(self, **arm: Any) -> None:
        await self._call.write(pb.AnimateRequest(**arm))


async def refused(channel: grpc.aio.Channel, **fields: Any) -> StageError:
    """Why `open` failed."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await Caller(channel).open(**fields)
    return from_rpc_error(error.value)
