"""The contract over a real channel, with the real engine and with a fake one that is slow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from stagekit.errors import StageError, from_rpc_error
from stagekit.testing import channel_to, stream_of
from stagewire.common.v1 import audio_pb2, turn_pb2
from stagewire.common.v1.trace_pb2 import TraceContext
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb
from stagewire.motion_bridge.v1 import motion_bridge_pb2_grpc as rpc
from stagewire_motion_bridge.backend import Completed, Emit, Motion
from stagewire_motion_bridge.backends.lipsync import LipsyncBackend, LipsyncFace
from stagewire_motion_bridge.service import create_stage
from stagewire_motion_bridge.settings import MotionBridgeSettings
from stagewire_motion_codec.arkit52 import unpack

Request = pb.AnimateRequest
RATE = 16_000
COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED
INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED
SUPERSEDED = turn_pb2.TURN_END_REASON_SUPERSEDED


def opening(**fields: Any) -> Request:
    pcm = audio_pb2.AudioFormat(encoding=1, sample_rate_hertz=RATE)
    defaults = {"session_id": "s", "format": pcm, "return_frames": pb.ReturnFrames()}
    return Request(open=pb.Open(**{**defaults, **fields}))


def start(turn: int) -> Request:
    return Request(turn_start=pb.TurnStart(turn=turn))


def audio(turn: int, samples: int, at: int = 0) -> Request:
    piece = audio_pb2.Audio(data=b"\1\2" * samples, start_sample=at)
    return Request(audio=pb.TurnAudio(turn=turn, audio=piece))


def end(turn: int) -> Request:
    return Request(end_of_audio=pb.EndOfAudio(turn=turn))


def interrupt(turn: int) -> Request:
    return Request(interrupt=pb.Interrupt(turn=turn))


@asynccontextmanager
async def served(backend: Any = None, **settings: Any) -> AsyncIterator[Any]:
    stage = create_stage(backend or LipsyncBackend(), MotionBridgeSettings(**settings))
    async with channel_to(stage) as channel:
        channel.stage = stage
        yield channel


async def call(channel: Any, messages: Iterable[Request]) -> list[pb.AnimateResponse]:
    async with asyncio.timeout(10):
        stub = rpc.MotionBridgeServiceStub(channel)
        return [response async for response in stub.Animate(stream_of(messages))]


async def refusal(channel: Any, *messages: Request) -> StageError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(channel, messages)
    return from_rpc_error(refused.value)


def ends(responses: list[pb.AnimateResponse]) -> list[tuple[int, int]]:
    found = [r.turn_ended for r in responses if r.WhichOneof("message") == "turn_ended"]
    return [(ended.turn, ended.reason) for ended in found]


async def until(stream: Any, arm: str) -> list[pb.AnimateResponse]:
    seen: list[pb.AnimateResponse] = []
    async with asyncio.timeout(10):
        while not seen or seen[-1].WhichOneof("message") != arm:
            response = await stream.read()
            assert response is not grpc.aio.EOF, f"no `{arm}`"
            seen.append(response)
    return seen


async def test_a_turn_is_covered_and_completed() -> None:
    async with served() as channel:
        pieces = [audio(1, 960, n * 960) for n in range(20)]
        responses = await call(channel, [opening(), start(1), *pieces, audio(1, 7, 19_200), end(1)])
    ready = responses[0].ready
    assert (ready.codec, ready.frame_rate) == ("stagewire.arkit52", 50)
    assert ready.max_audio_bytes > 0
    motions = [r.motion for r in responses if r.WhichOneof("message") == "motion"]
    assert motions[0].HasField("timing")
    assert not any(motion.HasField("timing") for motion in motions[1:])
    at = 0
    for motion in motions:
        rate, frames = unpack(motion.payload)
        assert rate == 50
        assert motion.start_sample == at
        at += len(frames) * RATE // 50
        assert motion.end_sample == at
    assert at == 61 * 320
    assert ends(responses) == [(1, COMPLETED)]
    assert responses[-1].turn_ended.timing.since_trigger.ToNanoseconds() > 0


async def test_motion_comes_before_the_end_of_the_audio() -> None:
    async with served() as channel:
        stream = rpc.MotionBridgeServiceStub(channel).Animate()
        await stream.write(opening())
        await stream.write(start(1))
        await stream.write(audio(1, 960))
        assert (await until(stream, "motion"))[-1].motion.end_sample == 640
        stream.cancel()


async def test_ready_brings_a_loop_for_the_time_between_turns() -> None:
    async with served() as channel:
        payloads = (await call(channel, [opening()]))[0].ready.idle_motion
    clips = [unpack(payload) for payload in payloads]
    assert all(rate == 50 for rate, _ in clips)
    frames = [frame for _, clip in clips for frame in clip]
    assert len(frames) >= 200
    assert sum(map(len, payloads)) < 256 << 10, "what egress takes"
    assert len({frame.pitch for frame in frames}) > 20
    assert abs(frames[0].pitch - frames[-1].pitch) < 0.005


async def test_a_turn_without_audio_completes() -> None:
    async with served() as channel:
        assert ends(await call(channel, [opening(), start(1), end(1)])) == [(1, COMPLETED)]


class Slow(LipsyncFace):
    """A fake of a remote engine: emits one frame every 2 ms, beside the calls, until stopped."""

    def __init__(self, emit: Emit) -> None:
        self._emit, self.idle_motion = emit, ()
        self._heard = asyncio.Event()

    async def run(self) -> None:
        await self._heard.wait()
        await self._stream()

    async def start(self, turn: int, trace: TraceContext) -> None:
        self._turn, self._frames = turn, 0

    async def audio(self, turn: int, pcm: bytes) -> None:
        self._heard.set()

    async def finish(self, turn: int) -> None:
        await self._emit(Completed(turn))

    async def cancel(self, turn: int) -> None:
        pass

    async def _stream(self) -> None:
        while True:
            n, self._frames = self._frames, self._frames + 1
            await self._emit(Motion(self._turn, b"frame", n * 320, n * 320 + 320))
            await asyncio.sleep(0.002)

    async def close(self) -> None:
        """Its stream was cancelled."""


class SlowBackend(LipsyncBackend):
    async def connect(self, opening: pb.Open, codec: str, emit: Emit) -> LipsyncFace:
        return Slow(emit)


@pytest.mark.parametrize("backend", [LipsyncBackend, SlowBackend])
@pytest.mark.parametrize("seed", range(6))
async def test_interrupt_at_any_point(backend: type[LipsyncBackend], seed: int) -> None:
    """Nothing of a turn comes after its one end, whenever the interrupt falls."""
    chance = random.Random(seed)
    async with served(backend()) as channel:
        stream = rpc.MotionBridgeServiceStub(channel).Animate()
        await stream.write(opening())
        ended: list[tuple[int, int]] = []
        for turn in range(1, 9):
            await stream.write(start(turn))
            for n in range(chance.randrange(6)):
                await stream.write(audio(turn, 3_200, n * 3_200))
            await asyncio.sleep(chance.choice([0, 0, 0.002, 0.01]))
            await stream.write(interrupt(turn))
            await stream.write(interrupt(turn))
            seen = await until(stream, "turn_ended")
            ended += ends(seen)
            assert all(r.motion.turn == turn for r in seen if r.WhichOneof("message") == "motion")
            await stream.write(audio(turn, 3_200, 99))  # late, and dropped
        assert ended == [(turn, INTERRUPTED) for turn in range(1, 9)]
        stream.cancel()


async def test_an_interrupt_while_the_good_end_still_waits_to_be_sent() -> None:
    """The peer reads nothing: motion and even turn_ended are queued when the interrupt comes."""
    async with served(SlowBackend()) as channel:
        stream = rpc.MotionBridgeServiceStub(channel).Animate()
        for message in (opening(), start(1), audio(1, 3_200)):
            await stream.write(message)
        await asyncio.sleep(0.2)
        for message in (end(1), interrupt(1), start(2), audio(2, 3_200), interrupt(2)):
            await stream.write(message)
        seen = await until(stream, "turn_ended")
        seen += await until(stream, "turn_ended")
        turns = [r.motion.turn for r in seen if r.WhichOneof("message") == "motion"]
        assert turns == sorted(turns)
        first = ends(seen)[0]
        assert first[0] == 1
        assert first[1] in (COMPLETED, INTERRUPTED)
        assert ends(seen)[1] == (2, INTERRUPTED)
        stream.cancel()


async def test_a_newer_turn_supersedes_and_the_older_ones_media_is_dropped() -> None:
    async with served() as channel:
        older = [opening(), start(1), audio(1, 3_200)]
        late = [audio(1, 3_200, 3_200), interrupt(1)]
        newer = [audio(5, 3_200), end(1), end(5)]
        responses = await call(channel, [*older, start(5), *late, *newer])
    assert ends(responses) == [(1, SUPERSEDED), (5, COMPLETED)]
    place = [r.WhichOneof("message") for r in responses].index("turn_ended")
    assert all(r.motion.turn == 5 for r in responses[place:] if r.WhichOneof("message") == "motion")


async def test_half_close_in_a_turn_ends_it() -> None:
    async with served() as channel:
        responses = await call(channel, [opening(), start(1), audio(1, 3_200)])
    assert ends(responses) == [(1, INTERRUPTED)]


_ROOM = pb.LiveKitRoom(url="ws://x", token="secret", room="r", identity="i")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([start(1)], "NOT_OPEN"),
        ([audio(1, 320)], "NOT_OPEN"),
        ([opening(), opening()], "ALREADY_OPEN"),
        ([opening(), Request()], "UNKNOWN_COMMAND"),
        ([opening(format=None)], "UNSUPPORTED_FORMAT"),
        ([opening(return_frames=None)], "INVALID_FIELD"),
        ([opening(return_frames=None, livekit_room=_ROOM)], "INVALID_FIELD"),
        ([opening(codecs=["spatius.message"])], "UNSUPPORTED_FORMAT"),
        ([opening(), audio(1, 320)], "INVALID_FIELD"),
        ([opening(), start(0)], "INVALID_FIELD"),
        ([opening(), start(2), start(2)], "INVALID_FIELD"),
        ([opening(), start(1), audio(2, 320)], "INVALID_FIELD"),
        ([opening(), start(1), audio(1, 0)], "MALFORMED_AUDIO"),
        (
            [opening(), start(1), Request(audio={"turn": 1, "audio": {"data": b"abc"}})],
            "MALFORMED_AUDIO",
        ),
        ([opening(), start(1), audio(1, 3 << 19)], "MESSAGE_TOO_LARGE"),
        ([opening(), start(1), audio(1, 320), audio(1, 320, 321)], "DISCONTINUITY"),
        ([opening(), start(1), audio(1, 320), audio(1, 320)], "DISCONTINUITY"),
    ],
)
async def test_refused(messages: list[Request], reason: str) -> None:
    async with served() as channel:
        error = await refusal(channel, *messages)
        assert error.reason_name == reason
        assert "secret" not in error.message
        again = await call(channel, [opening(), start(1), audio(1, 320), end(1)])
        assert ends(again) == [(1, COMPLETED)]


async def test_the_largest_audio_message() -> None:
    async with served() as channel:
        responses = await call(channel, [opening(), start(1), audio(1, 1 << 19), end(1)])
    motions = [r.motion for r in responses if r.WhichOneof("message") == "motion"]
    assert sum(len(unpack(motion.payload)[1]) for motion in motions) == -(-(1 << 19) // 320)


async def test_codecs_are_the_clients_choice() -> None:
    async with served() as channel:
        wanted = ["spatius.message", "stagewire.arkit52"]
        assert (await call(channel, [opening(codecs=wanted)]))[0].ready.codec == wanted[1]


async def test_full_and_freed() -> None:
    async with served(max_sessions=1) as channel:
        stream = rpc.MotionBridgeServiceStub(channel).Animate()
        await stream.write(opening())
        await until(stream, "ready")
        assert (await refusal(channel, opening())).reason_name == "STAGE_FULL"
        stream.cancel()
        async with asyncio.timeout(5):
            await channel.stage.admission.idle()
        await call(channel, [opening()])


async def test_a_drain_is_said_in_band() -> None:
    async with served(drain_seconds=7) as channel:
        stream = rpc.MotionBridgeServiceStub(channel).Animate()
        await stream.write(opening())
        await until(stream, "ready")
        channel.stage.drain.set()
        going = (await until(stream, "going_away"))[-1].going_away
        assert going.grace.ToNanoseconds() == 7_000_000_000
        for message in (start(1), audio(1, 3_200), end(1)):
            await stream.write(message)
        assert ends(await until(stream, "turn_ended")) == [(1, COMPLETED)]
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
