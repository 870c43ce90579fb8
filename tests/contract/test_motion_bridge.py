"""What motion_bridge shows: motion for every sample of voice, in the codec it announced."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from contract.stage import RATE, hum
from contract.stages.motion_bridge import MotionBridge
from contract.wire import Call
from stagewire.common.v1 import turn_pb2

pytestmark = pytest.mark.about("motion_bridge")

Begin = Callable[..., Call]
PIECE = RATE // 20
ARKIT52_FRAME = 52 + 3 * 2


def voice(stage: MotionBridge, turn: int, pieces: int) -> list[Any]:
    return [stage.audio(hum(PIECE, n * PIECE), n * PIECE, turn) for n in range(pieces)]


async def moved(stage: MotionBridge, call: Call, *commands: Any) -> tuple[Any, list[Any]]:
    """`ready`, and the answers to a turn up to its end."""
    await call.send(stage.open())
    ready = (await call.receive()).ready
    await call.send(stage.turn_start(1), *commands, stage.end(1))
    return ready, await call.until("turn_ended")


@pytest.mark.parametrize("alphabet", [None, 0, 1, 77], ids=["none", "unset", "arpabet", "unknown"])
async def test_motion_covers_the_voice(
    stage: MotionBridge, begin: Begin, alphabet: int | None
) -> None:
    samples = 21 * PIECE + 333
    help_ = [] if alphabet is None else [stage.phonemes(1, alphabet)]
    last = stage.audio(hum(333), 21 * PIECE)
    ready, messages = await moved(stage, begin(), *help_, *voice(stage, 1, 21), last)
    motions = [message.motion for message in messages if message.HasField("motion")]
    reached = 0
    for motion in motions:
        assert motion.turn == 1
        assert motion.start_sample == reached, "contiguous from the start of the turn"
        assert motion.end_sample > motion.start_sample
        reached = motion.end_sample
    frame = RATE / (ready.frame_rate or 25)
    assert abs(reached - samples) <= 2 * frame
    assert motions[0].HasField("timing")
    ended = messages[-1].turn_ended
    assert (ended.turn, ended.reason) == (1, turn_pb2.TURN_END_REASON_COMPLETED)


async def test_arkit52_payloads_are_what_they_say(stage: MotionBridge, begin: Begin) -> None:
    ready, messages = await moved(stage, begin(), *voice(stage, 1, 20))
    if ready.codec != "stagewire.arkit52":
        pytest.skip(f"the stage speaks {ready.codec}")
    weights = set()
    for motion in (message.motion for message in messages if message.HasField("motion")):
        version, frames, rate = struct.unpack_from("<BBH", motion.payload)
        assert (version, rate) == (1, ready.frame_rate)
        assert len(motion.payload) == 4 + frames * ARKIT52_FRAME
        length = motion.end_sample - motion.start_sample
        assert abs(length - frames * RATE / rate) <= RATE / rate
        weights |= {
            motion.payload[4 + n * ARKIT52_FRAME : 4 + n * ARKIT52_FRAME + 52]
            for n in range(frames)
        }
    assert len(weights) > 1, "the face stands still while the voice is loud"


async def test_motion_comes_while_the_voice_still_does(stage: MotionBridge, begin: Begin) -> None:
    call = begin()
    # Enough for an engine that collects windows of a few seconds.
    await call.send(stage.open(), stage.turn_start(1), *voice(stage, 1, 150))
    await call.until("motion")


async def test_the_best_codec_that_both_know_is_taken(stage: MotionBridge, begin: Begin) -> None:
    call = begin()
    await call.send(stage.open())
    own = (await call.receive()).ready.codec
    other = begin()
    await other.send(stage.open(codecs=["nobody.codec", own]))
    assert (await other.receive()).ready.codec == own


async def test_a_turn_without_voice_completes(stage: MotionBridge, begin: Begin) -> None:
    _, messages = await moved(stage, begin())
    assert messages[-1].turn_ended.reason == turn_pb2.TURN_END_REASON_COMPLETED
