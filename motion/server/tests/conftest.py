"""A server in the test's own loop, the real SDK as its client, and the bare wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import numpy as np
import pytest
import spatius
import websockets
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as pb
from stagewire_motion_codec import spatius as codec
from stagewire_motion_server.options import Options
from stagewire_motion_server.running import Running, serving

spatius.configure_telemetry("")  # the SDK's, to its vendor, is on by default

WAIT = 20.0
QUICK = {"loudness_only": True}  # the model is for the tests that say so


class Sdk:
    """An SDK session and all that it called back."""

    def __init__(self, running: Running, **config: Any) -> None:
        self.payloads: list[bytes] = []
        self.errors: list[Any] = []
        self.closes = 0
        self._news = asyncio.Event()
        self.session = spatius.new_avatar_session(
            **{
                "avatar_id": "av",
                "api_key": "local",
                "app_id": "app",
                "console_endpoint_url": running.console,
                "ingress_endpoint_url": running.ingress,
                "transport_frames": self._frames,
                "on_error": self._error,
                "on_close": self._close,
                **config,
            }
        )

    def _frames(self, payload: bytes, last: bool) -> None:
        assert codec.unpack(payload).end == last
        self.payloads.append(payload)
        self._news.set()

    def _error(self, error: Any) -> None:
        self.errors.append(error)
        self._news.set()

    def _close(self) -> None:
        self.closes += 1
        self._news.set()

    async def start(self) -> str:
        await self.session.init()
        return await self.session.start()

    @property
    def animations(self) -> list[codec.Animation]:
        return [codec.unpack(payload) for payload in self.payloads]

    def of(self, req_id: str) -> list[codec.Animation]:
        return [animation for animation in self.animations if animation.req_id == req_id]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(WAIT):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def ended(self, req_id: str) -> list[codec.Animation]:
        """All messages of a req_id, when its end has come."""
        await self.until(lambda: any(animation.end for animation in self.of(req_id)))
        return self.of(req_id)


class Wire:
    """A WebSocket that speaks the wire without the SDK, to say what the SDK would not."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, **data: Any) -> None:
        types = {"configure_session": 1, "audio_input": 3, "interrupt": 7, "server_error": 4}
        (name,) = data
        await self.socket.send(pb.Message(type=types[name], **data).SerializeToString())

    async def audio(self, req_id: str, audio: bytes = b"", end: bool = False, **more: Any) -> None:
        await self.send(audio_input=pb.AudioInput(req_id=req_id, audio=audio, end=end, **more))

    async def receive(self) -> pb.Message:
        async with asyncio.timeout(WAIT):
            return pb.Message.FromString(await self.socket.recv())

    async def error(self) -> pb.ServerError:
        message = await self.receive()
        assert message.WhichOneof("data") == "server_error", message
        return message.server_error

    async def ended(self, req_id: str) -> list[pb.ResponseAnimation]:
        """All messages up to the end of a req_id, all of which are of it."""
        received = []
        while not received or not received[-1].end:
            message = await self.receive()
            assert message.WhichOneof("data") == "response_animation", message
            assert message.response_animation.req_id == req_id
            received.append(message.response_animation)
        return received

    async def close_code(self) -> int | None:
        """The code of the close that comes next; a message before it fails the test."""
        async with asyncio.timeout(WAIT):
            with pytest.raises(websockets.ConnectionClosed):
                print(await self.socket.recv())
        return self.socket.close_code


class Client:
    """What a test does with one running server."""

    def __init__(self, running: Running, stack: AsyncExitStack, now: Callable[[], float]) -> None:
        self.running = running
        self.now = now
        self._stack = stack

    async def sdk(self, **config: Any) -> Sdk:
        """A started SDK session."""
        sdk = Sdk(self.running, **config)
        await sdk.start()
        self._stack.push_async_callback(sdk.session.close)
        return sdk

    async def token(self) -> str:
        """A token that is good for a minute of the server's clock."""
        return self.running.server.tokens.issue(int(self.now()) + 60)

    async def wire(self, token: str = "") -> Wire:
        """An open WebSocket before its configuration."""
        headers = {"X-App-ID": "app", "X-Session-Key": token or await self.token()}
        url = f"{self.running.ingress}/websocket?id=av"
        connecting = websockets.connect(url, additional_headers=headers, max_size=None)
        return Wire(await self._stack.enter_async_context(connecting))

    async def configured(self, **configuration: Any) -> Wire:
        """A WebSocket whose session stands."""
        wire = await self.wire()
        await wire.send(
            configure_session=pb.ConfigureSession(**{"sample_rate": 16_000, **configuration})
        )
        assert (await wire.receive()).confirm_session.connection_id
        return wire

    async def admin(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        """Status and body of an admin call."""
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.running.admin + path, **request) as answer,
        ):
            body = await answer.text()
            return answer.status, await answer.json() if answer.status == 200 else body


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Starts a server with these options; everything is closed after the test."""
    async with AsyncExitStack() as stack:

        async def start(now: Callable[[], float] = time.time, **options: Any) -> Client:
            settings = Options.model_validate(
                {"port": 0, "admin_port": 0, "seed": 7, **QUICK, **options}
            )
            running = await stack.enter_async_context(serving(settings, now))
            return Client(running, stack, now)

        yield start


@pytest.fixture
def new_sdk() -> type[Sdk]:
    """An SDK session that is not started."""
    return Sdk


@pytest.fixture
def voice() -> Callable[..., bytes]:
    """Seconds of something like a voice, as PCM: a buzz with syllables."""

    def speak(seconds: float, sample_rate: int = 16_000) -> bytes:
        t = np.arange(int(seconds * sample_rate)) / sample_rate
        buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
        syllables = np.clip(np.sin(2 * np.pi * 2.5 * t), 0, 1)
        return (4000 * buzz * syllables).astype("<i2").tobytes()

    return speak
