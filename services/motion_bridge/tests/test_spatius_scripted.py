"""Servers that say what the local Motion Server never would; the unmodified SDK in between."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from typing import Any

import grpc
import numpy as np
import pytest
from driving import RATE, Caller, bridge, refused
from fake_motion_server import API_KEY, Connection, behaves, eventually, motion_server
from stagekit.streams import MAX_AUDIO_BYTES
from stagewire.common.v1 import error_pb2, turn_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb

COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED
INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ROOM = pb.LiveKitRoom(
    url="wss://rooms", token="room-secret", room="r1", identity="face", attributes={"k": "v"}
)


def errs(code: int, text: str) -> Any:
    async def script(connection: Connection) -> None:
        await connection.receive()
        await connection.error(code, text)

    return script


# --- opening ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Invalid session token", "token is expired"])
async def test_a_token_that_is_refused_twice_fails_open(text: str) -> None:
    async with motion_server() as server, bridge(server) as channel:
        server.upgrade_answers = [(400, text)] * 6
        assert (await refused(channel)).reason_name == "BACKEND_UNAUTHENTICATED"
        assert len(server.used) == len(set(server.used)) == 2, "one fresh token"


@pytest.mark.parametrize(
    ("code", "reason", "sessions"),
    [
        (16, "BACKEND_UNAUTHENTICATED", 2),
        (4003, "BACKEND_FULL", 1),
        (4010, "BACKEND_UNAUTHENTICATED", 2),
    ],
)
async def test_error_codes_that_the_sdk_names_wrongly_or_not_at_all(
    code: int, reason: str, sessions: int
) -> None:
    async with motion_server(errs(code, "unauthorized")) as server, bridge(server) as channel:
        error = await refused(channel)
        assert error.reason_name == reason
        assert "livekit_room" not in error.message
        assert len(server.connections) == sessions


# --- turns -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_session_that_ends_politely_in_a_turn_is_replaced_too(code: int) -> None:
    """A server that is restarted says 1001, and the SDK tells it from 1000 to nobody."""

    async def leaves(connection: Connection) -> None:
        await connection.shake_hands()
        await connection.receive()
        await connection.close(code)

    async with motion_server(leaves, behaves) as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open()
        await caller.speak(1, 5 * RATE)
        assert await caller.turn_ended(1) == COMPLETED
        assert caller.degraded(1) == []
        assert caller.motion(1)[-1].end_sample == 5 * RATE


async def test_a_message_that_cannot_be_read_costs_the_session_but_not_the_turn() -> None:
    async def sends_rubbish(connection: Connection) -> None:
        await connection.shake_hands()
        await connection.receive()
        await connection.socket.send_bytes(b"\x08\x05\x32\x04\x22\x02\x0a\x05")
        while await connection.receive() is not None:
            pass

    async with motion_server(sends_rubbish, behaves) as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open()
        await caller.speak(1, RATE)
        assert await caller.turn_ended(1) == COMPLETED
        assert caller.degraded(1) == []
        assert len(server.connections) == 2


async def test_messages_without_a_frame_are_passed_on() -> None:

    async def ends_apart(connection: Connection) -> None:
        await connection.shake_hands()
        while (message := await connection.receive()) is not None:
            if message.audio_input.end:
                for keyframes, end in ((0, False), (25, False), (0, True)):
                    await connection.animate(message.audio_input.req_id, keyframes, end)

    async with motion_server(ends_apart) as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open()
        await caller.speak(1, RATE)
        assert await caller.turn_ended(1) == COMPLETED
        assert [m.payload for m in caller.motion(1)] == server.sent
        spans = [(m.start_sample, m.end_sample) for m in caller.motion(1)]
        assert spans == [(0, 0), (0, RATE), (RATE, RATE)]


async def test_an_interrupt_overtakes_half_a_minute_of_voice() -> None:
    async with motion_server() as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open()
        await caller.start(1)
        samples = MAX_AUDIO_BYTES // 2
        await caller.audio(1, samples)
        await eventually(lambda: server.connections[0].req_ids)
        await caller.interrupt(1)
        assert await caller.turn_ended(1) == INTERRUPTED
        connection = server.connections[0]
        await eventually(lambda: connection.interrupts)
        (req_id,) = connection.req_ids
        assert list(connection.interrupts) == [req_id]
        assert connection.ends(req_id) == 0
        await caller.speak(2, RATE)
        assert await caller.turn_ended(2) == COMPLETED


async def test_an_interrupt_before_the_first_byte_does_not_hit_the_turn_before() -> None:
    async with motion_server() as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open()
        await caller.speak(1, RATE)
        assert await caller.turn_ended(1) == COMPLETED
        await caller.start(2)
        await caller.interrupt(2)
        assert await caller.turn_ended(2) == INTERRUPTED
        await caller.speak(3, RATE)
        assert await caller.turn_ended(3) == COMPLETED
        assert server.connections[0].interrupts == {}


async def test_a_turn_without_a_trace_carries_the_sessions() -> None:
    async with motion_server() as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open(trace={"traceparent": TRACE})
        await caller.speak(1, RATE, TRACE.replace("b7ad", "0000"))
        await caller.turn_ended(1)
        await caller.speak(2, RATE)
        await caller.turn_ended(2)
        (connection,) = server.connections
        first = {m.audio_input.req_id: m.audio_input for m in reversed(connection.heard)}
        traces = [first[req_id].trace_context.traceparent for req_id in connection.req_ids]
        assert traces == [TRACE.replace("b7ad", "0000"), TRACE]


async def test_resampling_leaves_no_seams() -> None:
    """A sine that comes in odd pieces goes up as one sine."""
    async with motion_server() as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open(rate=11_025)
        await caller.start(1)
        voice = (10_000 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 11_025)).astype("<i2")
        for begin in range(0, len(voice), 333):
            piece = {"data": voice[begin : begin + 333].tobytes(), "start_sample": begin}
            await caller.send(audio=pb.TurnAudio(turn=1, audio=piece))
        await caller.end(1)
        await caller.turn_ended(1)
        (connection,) = server.connections
        up = np.frombuffer(connection.audio_of(connection.req_ids[0]), "<i2").astype(float)
        assert abs(len(up) - 32_000) <= 2
        expected = 10_000 * np.sin(2 * np.pi * 440 * np.arange(len(up)) / 16_000)
        inside = slice(400, -400)  # the filter rings where the sine is cut
        assert np.abs(up[inside] - expected[inside]).max() < 30


# --- rooms -----------------------------------------------------------------------------------


async def hears(connection: Connection) -> None:
    await connection.shake_hands()
    while await connection.receive() is not None:
        pass


async def test_a_room_is_handed_over_and_no_motion_comes_back() -> None:
    async def publishes(connection: Connection) -> None:
        await connection.shake_hands()
        while (message := await connection.receive()) is not None:
            if message.audio_input.end:  # empty control frames, as one such server sends
                await connection.animate(message.audio_input.req_id, 0)
                await connection.animate(message.audio_input.req_id, 0, end=True)

    async with motion_server(publishes) as server, bridge(server, room_grace=60) as channel:
        caller = Caller(channel)
        await caller.open(livekit_room=ROOM)
        await caller.speak(1, RATE)
        assert await caller.turn_ended(1) == COMPLETED
        assert caller.motion(1) == []
        egress = server.connections[0].config.livekit_egress
        assert (egress.url, egress.api_token) == ("wss://rooms", "room-secret")
        assert (egress.room_name, egress.publisher_id) == ("r1", "face")
        assert dict(egress.extra_attributes) == {"k": "v"}


async def test_a_rooms_turn_can_be_interrupted_while_it_plays() -> None:
    """All of its voice went up at once; the room still hears it."""
    async with motion_server(hears) as server, bridge(server) as channel:
        caller = Caller(channel)
        await caller.open(livekit_room=ROOM)
        await caller.speak(1, 20 * RATE)
        await eventually(lambda: any(m.audio_input.end for m in server.connections[0].heard))
        await asyncio.sleep(0.05)
        await caller.interrupt(1)
        assert await caller.turn_ended(1) == INTERRUPTED
        await eventually(lambda: server.connections[0].interrupts)


async def test_a_rooms_turn_is_over_when_its_voice_must_have_been_heard() -> None:
    async with motion_server(hears) as server, bridge(server, room_grace=0.1) as channel:
        caller = Caller(channel)
        await caller.open(livekit_room=ROOM)
        await caller.speak(1, RATE // 5)
        assert await caller.turn_ended(1) == COMPLETED
        assert caller.degraded(1) == []


# --- secrets ---------------------------------------------------------------------------------


async def test_what_a_server_quotes_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def quotes(connection: Connection) -> None:
        token = connection.headers["X-Session-Key"]
        await connection.shake_hands()
        await connection.receive()
        await connection.error(13, f"{token} {API_KEY}", f"{token} {API_KEY}")
        await connection.socket.close(code=4001, message=f"{token} {API_KEY}".encode())

    async with motion_server(quotes) as server, bridge(server) as channel:
        messages = []
        for status in (401, 400):
            wrong = {"errors": [{"code": API_KEY, "title": API_KEY, "detail": API_KEY}]}
            server.token_answers = [(status, wrong)]
            messages.append((await refused(channel)).message)
        caller = Caller(channel)
        await caller.open()
        await caller.speak(1, RATE)
        await caller.turn_ended(1)
        messages.append(caller.degraded(1)[0].message)
        assert caller.degraded(1)[0].reason == error_pb2.ERROR_REASON_BACKEND_EXHAUSTED
        for text in (*messages, caplog.text):
            assert API_KEY not in text
            assert "token-secret" not in text


async def test_not_even_a_debug_log_has_the_token() -> None:
    """The WebSocket library logs its handshake; the process must not let it."""
    async with motion_server() as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stagewire_motion_bridge"),
            env={
                **os.environ,
                "SPATIUS_API_KEY": API_KEY,
                "SPATIUS_APP_ID": "app",
                "SPATIUS_AVATAR_ID": "av",
                "SPATIUS_CONSOLE_ENDPOINT": server.console,
                "SPATIUS_INGRESS_ENDPOINT": server.ingress,
                "STAGEWIRE_MOTION_BRIDGE_PORT": "0",
                "STAGEWIRE_MOTION_BRIDGE_LOG_LEVEL": "debug",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        said = ""
        async with asyncio.timeout(30):
            while " serves on " not in said:
                said += (await process.stderr.readline()).decode()

        port = said.rsplit(":", 1)[1].strip()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            caller = Caller(channel)
            await caller.open()
            await caller.speak(1, RATE)
            await caller.turn_ended(1)
        process.terminate()
        said += (await process.stderr.read()).decode()
        assert await process.wait() == 0
        assert server.tokens
        assert "token-secret" not in said
        assert API_KEY not in said
