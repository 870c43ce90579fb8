"""The backend ``openai`` against a fake vendor: a small HTTP server in this file."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from pydantic import SecretStr
from stagekit import tracing
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.llm.v1 import llm_pb2
from stagewire_llm.backend import Call, Event, Finished, Request, Text
from stagewire_llm.backends.openai import OpenAIChat, OpenAISettings, create

KEY = "sk-very-secret"
SAID = "my private words"


class FakeVendor:
    """Answers every POST as ``reply`` says, and notes the bodies and the hang-ups."""

    def __init__(self, reply: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.hung_up = asyncio.Event()
        self._reply = reply

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.splitlines()
            if line.lower().startswith("content-length")
        )
        self.headers.append(head)
        self.bodies.append(json.loads(await reader.readexactly(length)))
        try:
            await self._reply(writer)
            if not await reader.read(1):
                self.hung_up.set()
        except ConnectionError:
            self.hung_up.set()
        finally:
            writer.close()


@asynccontextmanager
async def vendor(
    reply: Callable[[asyncio.StreamWriter], Awaitable[None]], **settings: Any
) -> AsyncIterator[tuple[FakeVendor, OpenAIChat]]:
    fake = FakeVendor(reply)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    backend = OpenAIChat(
        OpenAISettings(
            base_url=f"http://127.0.0.1:{port}/v1",
            model="fake-1",
            api_key=SecretStr(KEY),
            **settings,
        )
    )
    try:
        async with asyncio.timeout(10):
            yield fake, backend
    finally:
        await backend.close()
        server.close()


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 3,
        "total_tokens": 23,
        "prompt_tokens_details": {"cached_tokens": 16},
    },
}


def send(writer: asyncio.StreamWriter, *chunks: dict[str, Any] | str) -> None:
    for each in chunks:
        data = each if isinstance(each, str) else json.dumps(each)
        writer.write(f"data: {data}\n\n".encode())


def streaming(*chunks: dict[str, Any] | str) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"connection: close\r\n\r\n")
        send(writer, *chunks)
        await writer.drain()
        writer.close()

    return reply


def failing(
    status: int, body: object = None, *headers: str
) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def reply(writer: asyncio.StreamWriter) -> None:
        payload = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(payload)}", *headers]
        lines += ["content-type: application/json", "connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + payload)
        await writer.drain()

    return reply


ASKED = Request("s", [llm_pb2.Message(role=llm_pb2.ROLE_USER, text=SAID)])


async def ask(backend: OpenAIChat, request: Request = ASKED) -> list[Event]:
    return [event async for event in backend.generate(request)]


async def test_streams_text_and_usage() -> None:
    reply = streaming(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo."}),
        chunk({}, "stop"),
        USAGE,
        "[DONE]",
    )
    async with vendor(reply) as (fake, backend):
        events = await ask(
            backend,
            Request(
                "s",
                [
                    llm_pb2.Message(role=llm_pb2.ROLE_SYSTEM, text="Be kind."),
                    llm_pb2.Message(role=llm_pb2.ROLE_USER, text="Hello"),
                ],
                max_output_tokens=77,
                temperature=0.5,
                stop=["x"],
                seed=3,
            ),
        )
    assert [event.text for event in events if isinstance(event, Text)] == ["Hel", "lo."]
    usage = llm_pb2.Usage(input_tokens=20, cached_input_tokens=16, output_tokens=3)
    assert events[-1] == Finished(llm_pb2.FINISH_REASON_STOP, usage)
    assert fake.bodies == [
        {
            "model": "fake-1",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hello"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 77,
            "temperature": 0.5,
            "stop": ["x"],
            "seed": 3,
        }
    ]
    assert f"Bearer {KEY}" in fake.headers[0]


def call_part(index: int, arguments: str, **named: str) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": named["name"]} if named else {})
    part = {"index": index, "function": function} | ({"id": named["id"]} if named else {})
    return chunk({"tool_calls": [part]})


async def test_joins_the_parts_of_tool_calls() -> None:
    reply = streaming(
        call_part(0, "", id="x1", name="get_weather"),
        call_part(0, '{"city": '),
        call_part(0, '"Paris"}'),
        call_part(1, "", id="x2", name="get_time"),
        chunk({}, "tool_calls"),
        "[DONE]",
    )
    said = llm_pb2.Message(
        role=llm_pb2.ROLE_ASSISTANT,
        tool_calls=[llm_pb2.ToolCall(id="x0", name="f", arguments_json="{}")],
    )
    result = llm_pb2.Message(role=llm_pb2.ROLE_TOOL, text="1", tool_call_id="x0")
    request = Request("s", [*ASKED.messages, said, result], [llm_pb2.Tool(name="get_weather")])
    async with vendor(reply) as (fake, backend):
        calls = [e.call for e in await ask(backend, request) if isinstance(e, Call)]
    assert calls == [
        llm_pb2.ToolCall(id="x1", name="get_weather", arguments_json='{"city": "Paris"}'),
        llm_pb2.ToolCall(id="x2", name="get_time", arguments_json="{}"),
    ]
    body = fake.bodies[0]
    assert body["tools"][0]["function"]["name"] == "get_weather"
    assert body["messages"][1]["tool_calls"][0]["id"] == "x0"
    assert body["messages"][2] == {"role": "tool", "content": "1", "tool_call_id": "x0"}


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", llm_pb2.FINISH_REASON_LENGTH), ("content_filter", llm_pb2.FINISH_REASON_FILTERED)],
)
async def test_finish_reasons(finish: str, reason: llm_pb2.FinishReason.ValueType) -> None:
    half = call_part(0, '{"ci', id="x", name="f")
    async with vendor(streaming(chunk({"content": "a"}), chunk({}, finish))) as (_, backend):
        assert (await ask(backend))[-1] == Finished(reason, llm_pb2.Usage())
    async with vendor(streaming(half, chunk({}, "length"))) as (_, backend):
        assert not [event for event in await ask(backend) if isinstance(event, Call)]


LEAK = {"error": {"message": f"Bad key {KEY} for: {SAID}", "code": "invalid_api_key"}}
TOO_LONG = {"error": {"message": SAID, "code": "context_length_exceeded"}}
UNSAFE = {"error": {"message": SAID, "code": SAID}}
FAILURES: dict[str, tuple[Any, error_pb2.ErrorReason.ValueType, grpc.StatusCode, bool]] = {
    "401": (
        failing(401, LEAK),
        error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        False,
    ),
    "403": (
        failing(403, LEAK),
        error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        False,
    ),
    "429": (
        failing(429, LEAK, "retry-after: 7"),
        error_pb2.ERROR_REASON_STAGE_FULL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        True,
    ),
    "400": (
        failing(400, UNSAFE),
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        grpc.StatusCode.INTERNAL,
        False,
    ),
    "too long": (
        failing(400, TOO_LONG),
        error_pb2.ERROR_REASON_CONTEXT_TOO_LONG,
        grpc.StatusCode.INVALID_ARGUMENT,
        False,
    ),
    "404": (
        failing(404, UNSAFE),
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        grpc.StatusCode.INTERNAL,
        False,
    ),
    "503": (
        failing(503, "down"),
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        grpc.StatusCode.UNAVAILABLE,
        True,
    ),
    "error in the stream": (
        streaming(chunk({"content": "a"}), LEAK),
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        grpc.StatusCode.INTERNAL,
        False,
    ),
    "no JSON": (
        streaming(f"{{{SAID}"),
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        grpc.StatusCode.INTERNAL,
        False,
    ),
    "hung up": (
        streaming(chunk({"content": "a"})),
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        grpc.StatusCode.UNAVAILABLE,
        True,
    ),
    "arguments are no JSON": (
        streaming(call_part(0, '{"a', id="x", name="f"), chunk({}, "tool_calls")),
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        grpc.StatusCode.INTERNAL,
        False,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failures_get_a_reason_and_leak_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply, reason, code, retryable = FAILURES[name]
    create_logging()
    caplog.set_level(logging.DEBUG)
    async with vendor(reply) as (_, backend):
        with pytest.raises(StageError) as caught:
            await ask(backend)
    error = caught.value
    assert (error.reason, error.code, error.retryable) == (reason, code, retryable)
    assert error.retry_after == (7 if name == "429" else None)
    for secret in (KEY, SAID):
        assert secret not in error.message
        assert secret not in caplog.text


def create_logging() -> None:
    """The factory keeps the libraries' request logs quiet, whatever the root logger's level."""
    assert isinstance(create(), OpenAIChat)


async def test_an_endpoint_that_is_not_there() -> None:
    backend = OpenAIChat(OpenAISettings(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(StageError, match="cannot be reached") as caught:
        await ask(backend)
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
    await backend.close()


async def test_an_endpoint_that_falls_silent() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        send(writer, chunk({"content": "a"}))
        await writer.drain()

    async with vendor(silent, silence_seconds=0.2) as (_, backend):
        with pytest.raises(StageError, match="in time") as caught:
            await ask(backend)
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while True:
        send(writer, chunk({"content": "la "}))
        await writer.drain()
        await asyncio.sleep(0.01)


async def never(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("reply", [endless, never])
async def test_cancel_hangs_up(
    reply: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> None:
    async with vendor(reply) as (fake, backend):
        task = asyncio.ensure_future(ask(backend))
        while not fake.bodies:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await fake.hung_up.wait()


async def test_warm_does_nothing_and_says_so() -> None:
    async with vendor(never) as (fake, backend):
        assert await backend.warm("s", ASKED.messages, [], False) is None
        assert "warm" not in backend.info.features
    assert not fake.bodies


async def test_the_vendor_gets_the_trace_and_no_session() -> None:
    reply = streaming(chunk({"content": "Hi."}), chunk({}, "stop"), USAGE, "[DONE]")
    async with vendor(reply) as (fake, backend):
        span = tracing.root("session", "s-private")
        span.enter()
        await ask(backend)
    (head,) = fake.headers
    (traceparent,) = re.findall(r"(?im)^traceparent: (.*?)\r?$", head)
    assert tracing.trace_id_of(traceparent) == span.trace_id
    assert "s-private" not in head
