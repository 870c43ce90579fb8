"""motion_bridge with the spatius backend, and the local Motion Server, in the test's own loop.

Between them is what runs in production: the unmodified SDK, its tokens and its WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from stagekit.errors import StageError, from_rpc_error
from stagekit.testing import channel_to
from stagewire.common.v1 import audio_pb2, trace_pb2, turn_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb
from stagewire.motion_bridge.v1 import motion_bridge_pb2_grpc as rpc
from stagewire_motion_bridge.backends.spatius.engine import SpatiusBackend
from stagewire_motion_bridge.backends.spatius.settings import SpatiusSettings
from stagewire_motion_bridge.service import create_stage
from stagewire_motion_bridge.settings import MotionBridgeSettings
from stagewire_motion_codec import spatius
from stagewire_motion_server.faults import Faults
from stagewire_motion_server.options import Options
from stagewire_motion_server.running import Running, serving

WAIT = 20.0
API_KEY = "key-that-nobody-may-see"
COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED
INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED


def voice(seconds: float, hertz: int = 24_000) -> bytes:
    """A buzz with syllables, PCM_S16LE."""
    t = np.arange(int(seconds * hertz)) / hertz
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
    return (4000 * buzz * np.clip(np.sin(2 * np.pi * 2.5 * t), 0, 1)).astype("<i2").tobytes()


class Conversation:
    """The orchestrator's side of one Animate stream."""

    def __init__(self, channel: grpc.aio.Channel, hertz: int) -> None:
        self._stream = rpc.MotionBridgeServiceStub(channel).Animate()
        self._hertz = hertz
        self._news = asyncio.Event()
        self.seen: list[pb.AnimateResponse] = []
        self._at = 0

    async def open(self, **fields: Any) -> pb.Ready:
        """Raises the StageError with which the stream ends, if it does."""
        pcm = audio_pb2.AudioFormat(encoding=1, sample_rate_hertz=self._hertz)
        defaults = {"session_id": "s", "format": pcm, "return_frames": pb.ReturnFrames()}
        await self._stream.write(pb.AnimateRequest(open=pb.Open(**{**defaults, **fields})))
        try:
            async with asyncio.timeout(WAIT):
                first = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        if first is grpc.aio.EOF:
            raise AssertionError("the stream ended without `ready`")
        assert first.WhichOneof("message") == "ready"
        return first.ready

    async def listen(self) -> None:
        """Keeps what comes, until cancelled."""
        with suppress(grpc.aio.AioRpcError):  # ``code`` says how it ended
            while (response := await self._stream.read()) is not grpc.aio.EOF:
                self.seen.append(response)
                self._news.set()

    async def start(self, turn: int, traceparent: str = "") -> None:
        self._at = 0
        trace = trace_pb2.TraceContext(traceparent=traceparent)
        await self._stream.write(pb.AnimateRequest(turn_start=pb.TurnStart(turn=turn, trace=trace)))

    async def say(self, turn: int, pcm: bytes, piece: float = 0.06) -> None:
        """Sends audio as tts makes it: at once, in pieces."""
        size = 2 * int(piece * self._hertz)
        for begin in range(0, len(pcm), size):
            data = pcm[begin : begin + size]
            audio = audio_pb2.Audio(data=data, start_sample=self._at)
            self._at += len(data) // 2
            request = pb.AnimateRequest(audio=pb.TurnAudio(turn=turn, audio=audio))
            await self._stream.write(request)

    async def end(self, turn: int) -> None:
        await self._stream.write(pb.AnimateRequest(end_of_audio=pb.EndOfAudio(turn=turn)))

    async def interrupt(self, turn: int) -> None:
        await self._stream.write(pb.AnimateRequest(interrupt=pb.Interrupt(turn=turn)))

    async def code(self) -> grpc.StatusCode:
        """With which the stream ends."""
        async with asyncio.timeout(WAIT):
            return await self._stream.code()

    async def leave(self) -> None:
        await self._stream.done_writing()

    def of(self, arm: str) -> list[Any]:
        """All messages of an arm."""
        return [getattr(r, arm) for r in self.seen if r.WhichOneof("message") == arm]

    def motion(self, turn: int) -> list[Any]:
        return [motion for motion in self.of("motion") if motion.turn == turn]

    def keyframes(self, turn: int) -> int:
        return sum(len(spatius.unpack(m.payload).keyframes) for m in self.motion(turn))

    async def until(self, condition: Callable[[], Any], seconds: float = WAIT) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def ended(self, turn: int) -> Any:
        """The turn's end, when it has come."""
        await self.until(lambda: any(ended.turn == turn for ended in self.of("turn_ended")))
        (ended,) = [ended for ended in self.of("turn_ended") if ended.turn == turn]
        return ended

    async def turn(self, turn: int, seconds: float = 1.0) -> Any:
        """A whole turn; its end."""
        await self.start(turn)
        await self.say(turn, voice(seconds, self._hertz))
        await self.end(turn)
        return await self.ended(turn)


@dataclass
class Rig:
    """A bridge and its Motion Server."""

    server: Running
    backend: SpatiusBackend
    channel: grpc.aio.Channel
    _stack: AsyncExitStack

    def faults(self, **faults: Any) -> None:
        """Failures of the Motion Server from now on."""
        self.server.server.faults.replace(Faults(**faults))

    def end_sessions(self, **how: Any) -> None:
        """Ends the Motion Server's sessions now."""
        for session in list(self.server.server.sessions):
            session.end(Faults(**how).ending())

    @property
    def sessions(self) -> list[Any]:
        return list(self.server.server.sessions)

    async def conversation(self, hertz: int = 24_000, **fields: Any) -> Conversation:
        """One that is open; its messages are kept as they come."""
        conversation = Conversation(self.channel, hertz)
        conversation.ready = await conversation.open(**fields)  # for tests about it
        listening = asyncio.create_task(conversation.listen())

        async def stop() -> None:
            listening.cancel()
            await asyncio.wait([listening])

        self._stack.push_async_callback(stop)
        return conversation


Start = Callable[..., Any]


@asynccontextmanager
async def rigged() -> AsyncIterator[Start]:
    """Starts both: the Motion Server's options, then the backend's settings."""
    async with AsyncExitStack() as stack:

        async def start(server: dict[str, Any] | None = None, **settings: Any) -> Rig:
            options = {"api_key": (API_KEY,), "loudness_only": True, "seed": 7, **(server or {})}
            running = await stack.enter_async_context(
                serving(Options.model_validate({"port": 0, "admin_port": 0, **options}))
            )
            told = {
                "SPATIUS_API_KEY": API_KEY,
                "SPATIUS_APP_ID": "app",
                "SPATIUS_AVATAR_ID": "av",
                "SPATIUS_CONSOLE_ENDPOINT": running.console,
                "SPATIUS_INGRESS_ENDPOINT": running.ingress,
                "late_seconds": 1.0,
                "connect_seconds": 2.0,
                **settings,
            }
            backend = SpatiusBackend(SpatiusSettings(**told))
            stage = create_stage(backend, MotionBridgeSettings())
            channel = await stack.enter_async_context(channel_to(stage))
            return Rig(running, backend, channel, stack)

        yield start


@pytest.fixture
async def rig() -> AsyncIterator[Start]:
    """See ``rigged``."""
    async with rigged() as start:
        yield start


@pytest.fixture
def refusal() -> Any:
    """The StageError with which opening a conversation ends."""

    async def refused(rig: Rig, **fields: Any) -> StageError:
        with pytest.raises(StageError) as error:
            await rig.conversation(**fields)
        return error.value

    return refused
