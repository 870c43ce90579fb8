"""The bare wire: what the SDK would never send, and what it never shows."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as pb
from stagewire_motion_server import wire

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


# -- before the upgrade


@pytest.mark.parametrize(
    ("headers", "query", "status", "message"),
    [
        ({"X-App-ID": "a", "X-Session-Key": "no"}, {"id": "x"}, 400, "Invalid session token"),
        ({"X-App-ID": "a"}, {"id": "x"}, 400, "Invalid session token"),
        ({"X-Session-Key": "TOKEN"}, {"id": "x"}, 404, "app id unrecognized"),
        ({"X-App-ID": "b", "X-Session-Key": "TOKEN"}, {"id": "x"}, 400, "app id mismatch"),
        ({"X-App-ID": "a", "X-Session-Key": "TOKEN"}, {"id": "y"}, 404, "Avatar not found"),
        ({"X-App-ID": "a", "X-Session-Key": "TOKEN"}, {}, 404, "Avatar not found"),
        ({}, {"appId": "a", "sessionKey": "TOKEN", "id": "y"}, 404, "Avatar not found"),
    ],
)
async def test_refused_before_the_upgrade(
    serve: Any, headers: dict[str, str], query: dict[str, str], status: int, message: str
) -> None:
    client = await serve(app_id=["a"], avatar_id=["x"])
    token = await client.token()
    headers, query = (
        {name: value.replace("TOKEN", token) for name, value in sent.items()}
        for sent in (headers, query)
    )
    url = client.running.ingress.replace("ws:", "http:") + "/websocket"
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers={**UPGRADE, **headers}, params=query) as answer,
    ):
        assert (answer.status, await answer.json()) == (status, {"message": message})
    assert len(client.running.server.tokens) == 1  # a refusal uses no token up


async def test_a_request_that_is_no_websocket(serve: Any) -> None:
    client = await serve()
    headers = {"X-App-ID": "a", "X-Session-Key": await client.token()}
    async with aiohttp.ClientSession() as http:
        url = client.running.ingress.replace("ws:", "http:") + "/websocket?id=x"
        async with http.get(url, headers=headers) as answer:
            assert answer.status == 426
    assert len(client.running.server.tokens) == 1


@pytest.mark.parametrize(
    ("key", "body", "status", "detail"),
    [
        (None, b"{}", 401, "key"),
        ("wrong", b"{}", 401, "key"),
        ("wröng", b"{}", 401, "key"),
        ("local", b"", 400, "JSON"),
        ("local", b"[]", 400, "integer"),
        ("local", b"{}", 400, "integer"),
        ("local", b'{"expireAt": "soon"}', 400, "integer"),
        ("local", b'{"expireAt": true}', 400, "integer"),
        ("local", b'{"expireAt": 1.5}', 400, "integer"),
        ("local", b'{"expireAt": 0}', 400, "24 hours"),
        ("local", b'{"expireAt": 99999999999}', 400, "24 hours"),
        ("local", b"\xff", 400, ""),
    ],
)
async def test_no_token(serve: Any, key: str | None, body: bytes, status: int, detail: str) -> None:
    client = await serve()
    async with aiohttp.ClientSession() as http:
        url = client.running.console + "/session-tokens"
        headers = {"X-Api-Key": key} if key else {}
        async with http.post(url, data=body, headers=headers) as answer:
            assert answer.status == status
            (error,) = (await answer.json())["errors"]
    assert error["status"] == status
    assert error["code"]
    assert error["title"]
    assert detail in error["detail"]


async def test_a_body_that_is_too_large(serve: Any) -> None:
    client = await serve()
    async with aiohttp.ClientSession() as http:
        url = client.running.console + "/session-tokens"
        async with http.post(url, data=bytes(10_000), headers={"X-Api-Key": "local"}) as answer:
            assert answer.status == 413


# -- the handshake


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ({"audio_input": pb.AudioInput(req_id="r", audio=b"\0\0")}, "audio_input came"),
        ({"interrupt": pb.Interrupt(req_id="r")}, "interrupt came"),
    ],
)
async def test_another_message_first(serve: Any, first: Any, said: str) -> None:
    bare = await (await serve()).wire()
    await bare.send(**first)
    error = await bare.error()
    assert error.message == f"expected ClientConfigureSession message: {said}"
    assert await bare.close_code() == 1002


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [("hello", 1003, "binary"), (b"\xff\xff\xff", 1007, "protobuf"), (b"", 1002, "nothing came")],
)
async def test_no_message_first(serve: Any, sent: Any, code: int, said: str) -> None:
    bare = await (await serve()).wire()
    await bare.socket.send(sent)
    assert said in (await bare.error()).message
    assert await bare.close_code() == code


async def test_no_handshake_at_all(serve: Any) -> None:
    bare = await (await serve(handshake_seconds=0.2)).wire()
    assert "nothing came within 0.2 seconds" in (await bare.error()).message
    assert await bare.close_code() == 1002


@pytest.mark.parametrize(
    ("configuration", "code", "said"),
    [
        ({"sample_rate": 16_001}, 9, "unsupported sample rate: 16001; supported are 8000, 16000"),
        ({"sample_rate": -1}, 9, "unsupported sample rate"),
        ({"audio_format": 7}, 3, "unsupported audio format: 7"),
        ({"transport_compression": 1}, 3, "unsupported transport compression: 1"),
        ({"egress_type": 1}, 16, "missing livekit credentials"),
        (
            {"egress_type": 1, "livekit_egress": pb.LiveKitEgress(api_key="k", api_secret="s")},
            3,
            "url and room_name",
        ),
        ({"egress_type": 9}, 14, "egress client is not configured on server"),
    ],
)
async def test_a_configuration_that_cannot_be_served(
    serve: Any, configuration: Any, code: int, said: str
) -> None:
    bare = await (await serve()).wire()
    await bare.send(
        configure_session=pb.ConfigureSession(**{"sample_rate": 16_000, **configuration})
    )
    error = await bare.error()
    assert (error.code, bool(error.connection_id)) == (code, True)
    assert said in error.message
    assert await bare.close_code() == 1008


# -- turns


async def test_a_trace_is_continued(serve: Any, voice: Any) -> None:
    bare = await (await serve()).configured()
    trace = pb.Trace(traceparent=TRACEPARENT, tracestate="vendor=1")
    await bare.audio("r", voice(3.0), trace_context=trace)
    await bare.audio("r", end=True)
    stamps = {animation.trace_context.traceparent for animation in await bare.ended("r")}
    (stamp,) = stamps  # the same in all messages of the turn
    assert re.fullmatch(r"00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", stamp)
    assert stamp != TRACEPARENT


@pytest.mark.parametrize("traceparent", ["", "00-short-01", "01" + TRACEPARENT[2:], "x" * 55])
async def test_no_trace_is_invented(serve: Any, traceparent: str) -> None:
    bare = await (await serve()).configured()
    await bare.audio("r", end=True, trace_context=pb.Trace(traceparent=traceparent))
    (animation,) = await bare.ended("r")
    assert not animation.HasField("trace_context")


async def test_odd_pcm_fails_its_req_id_only(serve: Any, voice: Any) -> None:
    bare = await (await serve()).configured()
    await bare.audio("odd", b"\0\0\0")
    error = await bare.error()
    assert (error.code, error.req_id) == (3, "odd")
    assert "16-bit" in error.message
    await bare.audio("odd", bytes(2), end=True)  # the rest of it is dropped
    await bare.audio("good", voice(1.0), end=True)
    await bare.ended("good")


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        (b"not Ogg at all", "no Ogg page"),
        (b"OggS" + bytes(30), "checksum"),
        (b"RIFF", "no Ogg page"),
    ],
)
async def test_what_is_no_opus(serve: Any, audio: bytes, said: str) -> None:
    bare = await (await serve()).configured(audio_format=pb.AUDIO_FORMAT_OGG_OPUS)
    await bare.audio("bad", audio)
    error = await bare.error()
    assert (error.code, error.req_id) == (3, "bad")
    assert said in error.message
    await bare.audio("empty", end=True)
    await bare.ended("empty")


async def test_opus_that_breaks_off(serve: Any) -> None:
    bare = await (await serve()).configured(audio_format=pb.AUDIO_FORMAT_OGG_OPUS)
    await bare.audio("cut", b"OggS", end=True)
    assert "breaks off" in (await bare.error()).message


async def test_audio_after_the_end(serve: Any) -> None:
    bare = await (await serve()).configured()
    await bare.audio("r", end=True)
    await bare.ended("r")
    await bare.audio("r", bytes(2))
    assert (await bare.error()).message == "audio after end"


async def test_audio_without_a_req_id(serve: Any) -> None:
    bare = await (await serve()).configured()
    await bare.audio("", bytes(2))
    assert (await bare.error()).message == "req_id is empty"
    await bare.audio("r", end=True)
    await bare.ended("r")


async def test_a_req_id_that_another_one_cuts_off(serve: Any) -> None:
    bare = await (await serve()).configured()
    await bare.audio("one", bytes(32_000))
    await bare.audio("two", end=True)
    error = await bare.error()
    assert error.req_id == "one"
    assert "another req_id began" in error.message
    await bare.ended("two")


async def test_an_interrupt_of_nothing_is_nothing(serve: Any) -> None:
    bare = await (await serve()).configured()
    await bare.send(interrupt=pb.Interrupt(req_id="never"))
    await bare.audio("r", end=True)
    await bare.ended("r")


async def test_many_interrupts(serve: Any) -> None:
    bare = await (await serve()).configured()
    for number in range(300):
        await bare.audio(f"r{number}", bytes(3_200))
        await bare.send(interrupt=pb.Interrupt(req_id=f"r{number}"))
    await bare.audio("last", end=True)
    await bare.ended("last")


async def test_a_turn_that_is_too_long(serve: Any) -> None:
    bare = await (await serve(max_turn_seconds=1.0)).configured()
    await bare.audio("r", bytes(48_000))
    assert "more than 1 seconds of audio" in (await bare.error()).message


@pytest.mark.parametrize(
    ("sent", "code"),
    [("text", 1003), (b"\xff\xff", 1007), (b"\x08\x02", 1002)],
)
async def test_a_message_that_is_none(serve: Any, sent: Any, code: int) -> None:
    bare = await (await serve()).configured()
    await bare.socket.send(sent)
    assert (await bare.error()).message
    assert await bare.close_code() == code


@pytest.mark.parametrize("message", ["configure_session", "server_error"])
async def test_a_message_out_of_order(serve: Any, message: str) -> None:
    bare = await (await serve()).configured()
    kinds = {"configure_session": pb.ConfigureSession, "server_error": pb.ServerError}
    await bare.send(**{message: kinds[message]()})
    assert f"unexpected message type: {message}" in (await bare.error()).message
    assert await bare.close_code() == 1002


async def test_a_message_that_is_too_large(serve: Any) -> None:
    bare = await (await serve(max_message_bytes=10_000)).configured()
    await bare.audio("r", bytes(20_000))
    assert await bare.close_code() == 1009


async def test_a_client_that_reads_nothing_is_cut_off(serve: Any) -> None:
    client = await serve(stall_seconds=0.3, low_latency=True)
    bare = await client.configured()
    bare.socket.transport.pause_reading()
    with suppress(websockets.ConnectionClosed):
        for number in range(200):  # until every buffer on the way is full
            await bare.audio(f"r{number}", bytes(320_000), end=True)
            if not client.running.server.sessions:
                break
            await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        while client.running.server.sessions:
            await asyncio.sleep(0.05)
    bare.socket.transport.abort()  # it would wait for the rest


async def test_a_client_that_vanishes_leaves_nothing(serve: Any, voice: Any) -> None:
    client = await serve()
    bare = await client.configured()
    await bare.audio("r", voice(20.0), end=True)
    bare.socket.transport.abort()
    async with asyncio.timeout(20):
        while client.running.server.sessions:
            await asyncio.sleep(0.01)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    try:
        message = wire.parse(data)
    except ValueError:
        return
    wire.objection(message.configure_session)


async def test_an_interrupt_overtakes_audio_in_small_pieces(serve: Any, voice: Any) -> None:
    """A client that sends 40 ms at a time, faster than motion comes out."""
    client = await serve(fault=["latency=1.0"], low_latency=True)
    bare = await client.configured()
    pcm = voice(20.0)
    for begin in range(0, len(pcm), 1_280):
        await bare.audio("long", pcm[begin : begin + 1_280])
    await bare.audio("long", end=True)
    await bare.send(interrupt=pb.Interrupt(req_id="long"))
    await bare.audio("next", end=True)
    answers = [(await bare.receive()).response_animation.req_id]
    while answers[-1] != "next":
        answers.append((await bare.receive()).response_animation.req_id)
    assert len(answers) <= 3  # of 100 messages of the long one, those that were on their way
