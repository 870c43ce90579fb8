"""What llm answers: deltas, then one `done` with its account; warming changes only the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from contract.probes import describe
from contract.stages.llm import Llm, said
from contract.wire import Call, status_of
from stagewire.llm.v1 import llm_pb2, llm_pb2_grpc

pytestmark = pytest.mark.about("llm")

Begin = Callable[..., Call]
PERSONA = said("You are a friendly guide in a museum of clocks.", llm_pb2.ROLE_SYSTEM)
QUESTION = said("Which clock is the oldest one here?")


async def answered(stage: Llm, call: Call, **fields: Any) -> list[Any]:
    await call.send(stage.open(**fields))
    await call.half_close()
    return await call.rest()


async def warm(channel: grpc.aio.Channel, **fields: Any) -> llm_pb2.WarmResponse:
    stub = llm_pb2_grpc.LlmServiceStub(channel)
    response: llm_pb2.WarmResponse = await stub.Warm(llm_pb2.WarmRequest(**fields), timeout=20)
    return response


async def test_an_answer(stage: Llm, begin: Begin) -> None:
    messages = await answered(stage, begin(), max_output_tokens=12)
    arms = [message.WhichOneof("message") for message in messages]
    assert arms[0] == "ready"
    assert arms[-1] == "done"
    assert set(arms[1:-1]) == {"delta"}
    assert messages[0].ready.model
    assert messages[0].ready.context_tokens > 0
    deltas = [message.delta for message in messages[1:-1]]
    assert all(delta.text for delta in deltas)
    assert deltas[0].timing.since_trigger.ToTimedelta().total_seconds() > 0
    done = messages[-1].done
    assert done.finish_reason in (llm_pb2.FINISH_REASON_STOP, llm_pb2.FINISH_REASON_LENGTH)
    assert 1 <= done.usage.output_tokens <= 12
    assert done.usage.input_tokens > done.usage.cached_input_tokens >= 0


async def test_the_bound_is_kept(stage: Llm, begin: Begin) -> None:
    call = begin()
    await call.send(stage.open(messages=[said("Count from one to fifty.")], max_output_tokens=3))
    await call.half_close()
    done = (await call.rest())[-1].done
    assert done.finish_reason == llm_pb2.FINISH_REASON_LENGTH
    assert done.usage.output_tokens <= 3


async def test_generation_stops_before_a_stop_text(stage: Llm, begin: Begin) -> None:
    messages = await answered(stage, begin(), stop=["e"], max_output_tokens=40)
    assert "e" not in "".join(message.delta.text for message in messages)
    assert messages[-1].done.finish_reason == llm_pb2.FINISH_REASON_STOP


async def test_a_result_that_nobody_asked_for(stage: Llm, begin: Begin) -> None:
    call = begin()
    await call.send(stage.long_answer(), next(stage.much()))
    status = await call.status()
    assert (status.code, status.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert "heron" not in status.message


async def test_warm_prepares(channel: grpc.aio.Channel, stage: Llm, begin: Begin) -> None:
    session = stage.new_session()
    first = await warm(channel, session_id=session, messages=[PERSONA, QUESTION])
    if "warm" not in (await describe(channel)).features:
        assert not first.warmed
        return
    assert first.warmed
    assert first.evaluated_tokens + first.cached_tokens > 0
    again = await warm(channel, session_id=session, messages=[PERSONA, QUESTION])
    assert again.warmed
    assert again.evaluated_tokens <= first.evaluated_tokens
    messages = await answered(
        stage, begin(), session_id=session, messages=[PERSONA, QUESTION], max_output_tokens=2
    )
    assert messages[-1].done.usage.cached_input_tokens > 0


async def test_warm_with_an_unfinished_message(channel: grpc.aio.Channel, stage: Llm) -> None:
    opening = said("Which clock is")
    await warm(
        channel,
        session_id=stage.new_session(),
        messages=[PERSONA, opening],
        last_message_open=True,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"session_id": "", "messages": [PERSONA]},
        {"session_id": "s" * 129, "messages": [PERSONA]},
        {"session_id": "warm", "messages": [said("x", 77)]},
    ],
    ids=["session_id_empty", "session_id_129", "role_unknown"],
)
async def test_warm_refuses(channel: grpc.aio.Channel, stage: Llm, fields: dict[str, Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await warm(channel, **fields)
    status = status_of(refused.value)
    assert (status.code, status.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
