"""The contract's side, over a real channel, with a scripted backend in the model's place."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from stagekit.errors import StageError, from_rpc_error
from stagekit.testing import channel_to, stream_of
from stagewire.common.v1 import describe_pb2, describe_pb2_grpc, error_pb2
from stagewire.llm.v1 import llm_pb2, llm_pb2_grpc
from stagewire_llm.backend import (
    BackendInfo,
    Call,
    Event,
    Finished,
    Request,
    Started,
    Text,
    Warmed,
)
from stagewire_llm.service import make_stage
from stagewire_llm.settings import LlmSettings

USER = llm_pb2.Message(role=llm_pb2.ROLE_USER, text="Hello")
USAGE = llm_pb2.Usage(input_tokens=10, cached_input_tokens=4, output_tokens=3)
STOP = Finished(llm_pb2.FINISH_REASON_STOP, USAGE)


class ScriptedBackend:
    """A fake: plays the events of ``script`` and notes what it was asked."""

    def __init__(self, script: Callable[[Request], AsyncIterator[Event]]) -> None:
        self.info = BackendInfo("scripted", 1000, ("tools", "warm"), max_answers=2)
        self.requests: list[Request] = []
        self.stopped = asyncio.Event()
        self._script = script

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        try:
            async for event in self._script(request):
                yield event
        finally:
            self.stopped.set()

    async def warm(
        self,
        session_id: str,
        messages: Sequence[llm_pb2.Message],
        tools: Sequence[llm_pb2.Tool],
        last_message_open: bool,
    ) -> Warmed | None:
        return Warmed(evaluated=7, cached=3) if last_message_open else None

    async def close(self) -> None:
        pass


async def hello(request: Request) -> AsyncIterator[Event]:
    for event in (Started(), Text("Hel"), Text("lo."), STOP):
        yield event


async def endless(request: Request) -> AsyncIterator[Event]:
    yield Started()
    while True:
        yield Text("la ")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(backend: ScriptedBackend, **settings: Any) -> AsyncIterator[Any]:
    stage = make_stage(backend, LlmSettings(**settings))
    async with channel_to(stage) as channel:
        yield llm_pb2_grpc.LlmServiceStub(channel)


def opening(**fields: Any) -> llm_pb2.GenerateRequest:
    fields = {"session_id": "s", "turn": 1, "messages": [USER], **fields}
    return llm_pb2.GenerateRequest(open=llm_pb2.Open(**fields))


async def error_of(responses: Any) -> StageError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in responses:
            pass
    return from_rpc_error(caught.value)


async def test_ready_then_deltas_then_done() -> None:
    backend = ScriptedBackend(hello)
    async with serving(backend, max_output_tokens=99) as stub:
        got = [r async for r in stub.Generate(stream_of([opening(seed=5, stop=["x"])]))]
    assert [r.WhichOneof("message") for r in got] == ["ready", "delta", "delta", "done"]
    assert (got[0].ready.model, got[0].ready.context_tokens) == ("scripted", 1000)
    assert list(got[0].ready.features) == ["tools", "warm"]
    assert got[1].delta.text + got[2].delta.text == "Hello."
    assert got[1].delta.HasField("timing")
    assert not got[2].delta.HasField("timing")
    assert got[3].done.usage == USAGE
    assert got[3].done.finish_reason == llm_pb2.FINISH_REASON_STOP
    assert got[3].done.timing.HasField("compute_to_first_output")
    request = backend.requests[0]
    assert (request.max_output_tokens, request.temperature, request.seed) == (99, None, 5)
    assert list(request.stop) == ["x"]


async def test_timing_adds_up_on_the_stages_own_clock() -> None:
    now = 100.0

    async def slow(request: Request) -> AsyncIterator[Event]:
        nonlocal now
        now += 2  # waits for a slot
        yield Started()
        now += 3  # computes
        yield Text("Hi")
        now += 5
        yield STOP

    stage = make_stage(ScriptedBackend(slow), LlmSettings(), clock=lambda: now)
    async with channel_to(stage) as channel:
        stub: Any = llm_pb2_grpc.LlmServiceStub(channel)
        got = [r async for r in stub.Generate(stream_of([opening()]))]
    first, last = got[1].delta.timing, got[-1].done.timing
    assert (first.queue_wait.seconds, first.compute_to_first_output.seconds) == (2, 3)
    assert (first.since_trigger.seconds, last.since_trigger.seconds) == (5, 10)
    assert last.compute_to_first_output.seconds == 3


M = llm_pb2.Message
T = llm_pb2.Tool
BAD_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages is empty"),
    "no role": ({"messages": [M(text="Hi")]}, r"messages\[0\].role is not set"),
    "odd role": (
        {"messages": [USER, M(role=77, text="Hi")]},
        r"messages\[1\].role is 77",
    ),
    "no text": ({"messages": [M(role=llm_pb2.ROLE_USER, text=" ")]}, r"messages\[0\].text"),
    "assistant last": (
        {"messages": [USER, M(role=llm_pb2.ROLE_ASSISTANT, text="Hi")]},
        r"messages\[1\] is the assistant's",
    ),
    "result of no call": ({"messages": [M(role=llm_pb2.ROLE_TOOL, text="1")]}, "tool_call_id"),
    "user calls": (
        {"messages": [M(role=llm_pb2.ROLE_USER, text="x", tool_calls=[llm_pb2.ToolCall()])]},
        r"messages\[0\].tool_calls",
    ),
    "65 tools": ({"tools": [T(name=f"t{n}") for n in range(65)]}, "65 tools; at most 64"),
    "tool name": ({"tools": [T(name="a b")]}, r"tools\[0\].name"),
    "same tool": ({"tools": [T(name="a"), T(name="a")]}, r"tools\[1\].name a is there twice"),
    "tool schema": ({"tools": [T(name="a", parameters_json="{")]}, r"parameters_json is not JSON"),
    "tool array": ({"tools": [T(name="a", parameters_json="[]")]}, "is not a JSON object"),
    "deep schema": ({"tools": [T(name="a", parameters_json="[" * 9999)]}, "is not JSON"),
    "9 stops": ({"stop": ["x"] * 9}, "stop has 9 texts; at most 8"),
    "empty stop": ({"stop": ["x", ""]}, r"stop\[1\] has 0 characters"),
    "negative output": ({"max_output_tokens": -1}, "max_output_tokens is -1"),
    "cold": ({"temperature": -0.1}, "temperature is -0.1"),
    "hot": ({"temperature": 2.5}, "temperature is 2.5"),
    "nan": ({"temperature": float("nan")}, "temperature is nan"),
    "no session": ({"session_id": ""}, "session_id has 0 characters"),
    "long session": ({"session_id": "s" * 129}, "session_id has 129 characters"),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
async def test_a_bad_field_is_refused_by_name(name: str) -> None:
    fields, words = BAD_FIELDS[name]
    backend = ScriptedBackend(hello)
    async with serving(backend) as stub:
        error = await error_of(stub.Generate(stream_of([opening(**fields)])))
    assert error.reason == error_pb2.ERROR_REASON_INVALID_FIELD
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(StageError, match=words):
        raise error
    assert not backend.requests


async def test_the_bounds_themselves_are_taken() -> None:
    fields = {
        "tools": [T(name=f"t{n}", parameters_json='{"type": "object"}') for n in range(64)],
        "stop": ["x"] * 8,
        "temperature": 2.0,
        "session_id": "s" * 128,
        "messages": [M(role=llm_pb2.ROLE_SYSTEM, text="Greet the user.")],
    }
    async with serving(ScriptedBackend(hello)) as stub:
        got = [r async for r in stub.Generate(stream_of([opening(**fields)]))]
    assert got[-1].HasField("done")


RESULT = llm_pb2.GenerateRequest(tool_result=llm_pb2.ToolResult(tool_call_id="a", content="1"))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], error_pb2.ERROR_REASON_NOT_OPEN),
        ([RESULT], error_pb2.ERROR_REASON_NOT_OPEN),
        ([llm_pb2.GenerateRequest()], error_pb2.ERROR_REASON_NOT_OPEN),
        ([opening(), opening()], error_pb2.ERROR_REASON_ALREADY_OPEN),
        ([opening(), llm_pb2.GenerateRequest()], error_pb2.ERROR_REASON_UNKNOWN_COMMAND),
        ([opening(), RESULT], error_pb2.ERROR_REASON_INVALID_FIELD),
    ],
)
async def test_messages_out_of_order_end_the_turn(
    messages: list[llm_pb2.GenerateRequest], reason: error_pb2.ErrorReason.ValueType
) -> None:
    async with serving(ScriptedBackend(endless)) as stub, asyncio.timeout(5):
        error = await error_of(stub.Generate(stream_of(messages)))
    assert error.reason == reason


async def test_cancel_stops_the_backend_and_frees_the_place() -> None:
    backend = ScriptedBackend(endless)
    async with serving(backend, max_sessions=1) as stub, asyncio.timeout(5):
        call = stub.Generate(stream_of([opening()]))
        async for response in call:
            if response.HasField("delta"):
                break
        call.cancel()
        await backend.stopped.wait()
        again = stub.Generate(stream_of([opening()]))
        assert (await anext(aiter(again))).HasField("ready")
        again.cancel()


async def test_the_deadline_stops_the_backend() -> None:
    backend = ScriptedBackend(endless)
    async with serving(backend) as stub, asyncio.timeout(5):
        error = await error_of(stub.Generate(stream_of([opening()]), timeout=0.3))
        await backend.stopped.wait()
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_full_stage_says_so_at_once_and_still_describes_itself() -> None:
    stage = make_stage(ScriptedBackend(endless), LlmSettings())
    async with channel_to(stage) as channel, asyncio.timeout(5):
        stub: Any = llm_pb2_grpc.LlmServiceStub(channel)
        calls = [stub.Generate(stream_of([opening(session_id=name)])) for name in "ab"]
        for call in calls:
            assert (await anext(aiter(call))).HasField("ready")
        error = await error_of(stub.Generate(stream_of([opening()])))
        about: Any = describe_pb2_grpc.StageServiceStub(channel)
        description = (await about.Describe(describe_pb2.DescribeRequest())).description
        for call in calls:
            call.cancel()
    assert error.reason == error_pb2.ERROR_REASON_STAGE_FULL
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.retry_after is not None
    assert (description.active, description.limits["sessions"]) == (2, 2)


async def test_a_backends_error_reaches_the_caller() -> None:
    async def failing(request: Request) -> AsyncIterator[Event]:
        yield Started()
        yield Text("Hm")
        raise StageError(error_pb2.ERROR_REASON_CONTEXT_TOO_LONG, "messages: 9 tokens of 8")

    async with serving(ScriptedBackend(failing)) as stub:
        error = await error_of(stub.Generate(stream_of([opening()])))
    assert error.reason == error_pb2.ERROR_REASON_CONTEXT_TOO_LONG
    assert error.message == "messages: 9 tokens of 8"


async def calls_two_tools(request: Request) -> AsyncIterator[Event]:
    yield Started()
    if len(request.messages) == 1:
        yield Text("One moment.")
        for number in (1, 2):
            name = f"tool_{number}"
            yield Call(llm_pb2.ToolCall(id=f"call_{number}", name=name, arguments_json="{}"))
    else:
        yield Text(" ".join(message.text for message in request.messages[2:]))
    yield STOP


def result(call_id: str, content: str) -> llm_pb2.GenerateRequest:
    return llm_pb2.GenerateRequest(
        tool_result=llm_pb2.ToolResult(tool_call_id=call_id, content=content)
    )


async def test_tool_results_continue_the_answer_in_the_order_of_the_calls() -> None:
    backend = ScriptedBackend(calls_two_tools)
    async with serving(backend) as stub, asyncio.timeout(5):
        call = stub.Generate()
        await call.write(opening(max_output_tokens=50))
        responses = aiter(call)
        got: list[llm_pb2.GenerateResponse] = []
        while not got or got[-1].tool_call.id != "call_2":
            got.append(await anext(responses))
        await call.write(result("call_2", "second"))
        await call.write(result("call_1", "first"))
        await call.done_writing()
        got += [response async for response in responses]
    assert [r.WhichOneof("message") for r in got] == [
        *("ready", "delta", "tool_call", "tool_call", "delta", "done")
    ]
    assert got[4].delta.text == "first second"
    said = backend.requests[1].messages[1]
    assert (said.text, [c.id for c in said.tool_calls]) == ("One moment.", ["call_1", "call_2"])
    assert got[5].done.usage.output_tokens == 6
    assert backend.requests[1].max_output_tokens == 47


async def test_half_closing_before_the_results_is_an_error() -> None:
    async with serving(ScriptedBackend(calls_two_tools)) as stub, asyncio.timeout(5):
        error = await error_of(stub.Generate(stream_of([opening()])))
    assert error.reason == error_pb2.ERROR_REASON_INVALID_FIELD
    assert "tool_result" in error.message


async def test_a_tool_that_never_answers_ends_the_turn() -> None:
    async with (
        serving(ScriptedBackend(calls_two_tools), tool_timeout_seconds=0.05) as stub,
        asyncio.timeout(5),
    ):
        call = stub.Generate()
        await call.write(opening())
        error = await error_of(call)
    assert error.reason == error_pb2.ERROR_REASON_TIMEOUT


async def test_calls_without_output_left_end_with_length() -> None:
    async with serving(ScriptedBackend(calls_two_tools)) as stub, asyncio.timeout(5):
        got = [r async for r in stub.Generate(stream_of([opening(max_output_tokens=3)]))]
    assert got[-1].done.finish_reason == llm_pb2.FINISH_REASON_LENGTH


async def test_warm() -> None:
    async with serving(ScriptedBackend(hello)) as stub:
        unfinished = llm_pb2.Message(role=llm_pb2.ROLE_USER)
        request = llm_pb2.WarmRequest(session_id="s", messages=[unfinished], last_message_open=True)
        answer = await stub.Warm(request)
        assert (answer.warmed, answer.evaluated_tokens, answer.cached_tokens) == (True, 7, 3)
        request = llm_pb2.WarmRequest(session_id="s", messages=[USER])
        assert not (await stub.Warm(request)).warmed
        for bad in (
            llm_pb2.WarmRequest(session_id="s"),
            llm_pb2.WarmRequest(session_id="s", messages=[unfinished]),
            llm_pb2.WarmRequest(messages=[USER]),
            llm_pb2.WarmRequest(session_id="s", messages=[USER], tools=[T(name="")]),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Warm(bad)
            assert from_rpc_error(caught.value).reason == error_pb2.ERROR_REASON_INVALID_FIELD
