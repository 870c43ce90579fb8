"""What breaks the contract is refused with its code and reason, and harms nobody else."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from contract.cases import UNKNOWN_FIELD
from contract.stage import Refusal, Stage
from contract.wire import CODES, Call, Status, status_of

Begin = Callable[..., Call]


def check(status: Status, reason: str) -> None:
    """The code and the reason are the documented ones, and the message may be shown."""
    assert (status.code, status.reason) == (CODES[reason], reason), status
    assert status.message.strip()
    assert len(status.message) < 1_000
    assert "heron" not in status.message, "a message must not hold what a user said"


async def test_refused(stage: Stage, refusal: Refusal, begin: Begin) -> None:
    bad = begin()
    await bad.send(*refusal.messages)
    status = await (first_answer(bad) if refusal.may_accept else bad.status())
    if status is not None:
        check(status, refusal.reason)
    await stage.short_session(begin())


async def first_answer(call: Call) -> Status | None:
    """The status of a refusal; None for a `ready` with a format that is legal."""
    try:
        first = await call.receive()
    except grpc.aio.AioRpcError as error:
        return status_of(error)
    assert 8_000 <= first.ready.format.sample_rate_hertz <= 48_000
    return None


async def test_nothing_sent(stage: Stage, begin: Begin) -> None:
    call = begin()
    await call.half_close()
    check(await call.status(), "NOT_OPEN")
    await stage.short_session(begin())


@pytest.mark.slow
async def test_no_open_in_time(stage: Stage, begin: Begin) -> None:
    call = begin()
    check(await call.status(timeout=30), "TIMEOUT")
    await stage.short_session(begin())


async def test_a_message_beyond_grpcs_own_limit(stage: Stage, begin: Begin) -> None:
    call = begin()
    eight_megabytes = UNKNOWN_FIELD + b"\x80\x80\x80\x04" + bytes(8 << 20)
    await call.send(stage.open(), eight_megabytes)
    assert (await call.status()).code == "RESOURCE_EXHAUSTED"
    await stage.short_session(begin())


@pytest.mark.parametrize(
    "traceparent",
    ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff-" * 5_000, "\u2603\x00"],
    ids=["nonsense", "zeros", "long", "not_ascii"],
)
async def test_a_bad_trace_context_is_ignored(stage: Stage, begin: Begin, traceparent: str) -> None:
    call = begin()
    await call.send(stage.open(trace={"traceparent": traceparent, "tracestate": traceparent}))
    assert (await call.receive()).WhichOneof("message") == "ready"
