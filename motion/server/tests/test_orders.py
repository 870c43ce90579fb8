"""Whatever a client sends in whatever order, each req_id is answered as it should be."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as pb
from stagewire_motion_server.options import Options
from stagewire_motion_server.running import serving

from .conftest import QUICK, Client

Doing = tuple[str, str, int]

REQ_IDS = st.sampled_from(["a", "b", "c", "d"])
SPEECH = st.one_of(
    st.tuples(st.just("audio"), REQ_IDS, st.sampled_from([0, 3_200, 24_001, 48_000])),
    st.tuples(st.just("end"), REQ_IDS, st.just(3_200)),
)
INTERRUPTS = st.tuples(st.just("interrupt"), REQ_IDS, st.just(0))


async def conversation(doings: list[Doing]) -> list[pb.ResponseAnimation]:
    """Does all that in one session and gives the animations up to the end of a last, plain turn."""
    options = Options.model_validate({"port": 0, "admin_port": 0, "low_latency": True, **QUICK})
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(options, lambda: 1_000.0))
        wire = await Client(running, stack, lambda: 1_000.0).configured()
        for kind, req_id, size in doings:
            if kind == "interrupt":
                await wire.send(interrupt=pb.Interrupt(req_id=req_id))
            else:
                await wire.audio(req_id, bytes(size), end=kind == "end")
        await wire.audio("last", end=True)
        animations: list[pb.ResponseAnimation] = []
        while not animations or animations[-1].req_id != "last":
            message = await wire.receive()
            if message.WhichOneof("data") == "response_animation":
                animations.append(message.response_animation)
        return animations


def ends(doings: list[Doing]) -> list[str]:
    """The req_ids that end, in order; without interrupts nothing is left to chance."""
    ended, over, current = [], set(), None
    for kind, req_id, size in doings:
        if req_id in over:
            continue
        if current not in (None, req_id):
            over.add(current)  # cut off by this one
        current = req_id
        if size % 2 or kind == "end":  # no whole samples, or said to be the last
            over.add(req_id)
            current = None
            if kind == "end":
                ended.append(req_id)
    return [*ended, "last"]


def check(animations: list[pb.ResponseAnimation]) -> None:
    """No req_id ends twice, or goes on after its end."""
    over: set[str] = set()
    for animation in animations:
        assert animation.req_id not in over
        if animation.end:
            over.add(animation.req_id)


@settings(max_examples=25, deadline=None)
@given(st.lists(SPEECH, max_size=12))
def test_any_order_of_speech(doings: list[Doing]) -> None:
    animations = asyncio.run(conversation(doings))
    check(animations)
    assert [animation.req_id for animation in animations if animation.end] == ends(doings)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(SPEECH, INTERRUPTS), max_size=16))
def test_any_order_with_interrupts(doings: list[Doing]) -> None:
    check(asyncio.run(conversation(doings)))
