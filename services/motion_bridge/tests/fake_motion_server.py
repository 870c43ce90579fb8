"""A fake of Spatius' Motion Server: its two routes, and scripts that behave, or do not.

It speaks the wire with the project's own protobuf and answers with still faces. What it does on a
connection is a script: an async function of the connection. The next script serves the next
connection; the last one serves all that follow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as wire
from stagewire_motion_codec.spatius import Animation, Keyframe, pack

API_KEY = "sk-very-secret"
FIRST_WINDOW, WINDOW = 2.0, 4.0


@dataclass
class Connection:
    """One WebSocket, from the server's side."""

    server: FakeMotionServer
    socket: web.WebSocketResponse
    headers: dict[str, str]
    query: dict[str, str]
    id: str
    config: wire.ConfigureSession = field(default_factory=wire.ConfigureSession)
    heard: list[wire.Message] = field(default_factory=list)
    interrupts: dict[str, float] = field(default_factory=dict)

    async def receive(self) -> wire.Message | None:
        """The client's next message; None when it left."""
        message = await self.socket.receive()
        if message.type is not WSMsgType.BINARY:
            return None
        parsed = wire.Message.FromString(message.data)
        self.heard.append(parsed)
        if parsed.WhichOneof("data") == "interrupt":
            self.interrupts[parsed.interrupt.req_id] = time.monotonic()
        return parsed

    async def confirm(self) -> None:
        await self.send(
            wire.Message(
                type=wire.MESSAGE_TYPE_SERVER_CONFIRM_SESSION,
                confirm_session=wire.ConfirmSession(connection_id=self.id),
            )
        )

    async def shake_hands(self) -> None:
        first = await self.receive()
        assert first is not None
        assert first.type == wire.MESSAGE_TYPE_CLIENT_CONFIGURE_SESSION
        self.config.CopyFrom(first.configure_session)
        await self.confirm()

    async def send(self, message: wire.Message) -> None:
        await self.socket.send_bytes(message.SerializeToString())

    async def animate(self, req_id: str, keyframes: int, end: bool = False) -> None:
        payload = pack(Animation(req_id, (Keyframe(),) * keyframes, end, self.id, "av"))
        self.server.sent.append(payload)
        await self.socket.send_bytes(payload)

    async def error(self, code: int, text: str, req_id: str = "") -> None:
        await self.send(
            wire.Message(
                type=wire.MESSAGE_TYPE_SERVER_ERROR,
                server_error=wire.ServerError(
                    connection_id=self.id, req_id=req_id, code=code, message=text
                ),
            )
        )

    async def close(self, code: int) -> None:
        await self.socket.close(code=code, message=b"as the script says")

    async def answer_turns(self, turns: int | None = None) -> None:
        """Behaves well: windows of motion, and the end; for so many turns."""
        audio: dict[str, int] = {}
        shown: dict[str, int] = {}
        while turns != 0 and (message := await self.receive()) is not None:
            said = message.audio_input
            if message.WhichOneof("data") != "audio_input" or said.req_id in self.interrupts:
                continue
            audio[said.req_id] = audio.get(said.req_id, 0) + len(said.audio) // 2
            total = audio[said.req_id] * 25 // self.config.sample_rate
            while True:
                left = total - shown.get(said.req_id, 0)
                window = int(25 * (WINDOW if said.req_id in shown else FIRST_WINDOW))
                if left < window or (said.end and left == window):
                    break
                shown[said.req_id] = shown.get(said.req_id, 0) + window
                await self.animate(said.req_id, window)
            if said.end:
                await self.animate(said.req_id, left, end=True)
                turns = turns and turns - 1

    def audio_of(self, req_id: str) -> bytes:
        return b"".join(m.audio_input.audio for m in self.heard if m.audio_input.req_id == req_id)

    @property
    def req_ids(self) -> list[str]:
        """Of the turns that were heard, in order."""
        return list(dict.fromkeys(m.audio_input.req_id for m in self.heard if m.audio_input.req_id))

    def ends(self, req_id: str) -> int:
        return sum(m.audio_input.req_id == req_id and m.audio_input.end for m in self.heard)


Script = Callable[[Connection], Awaitable[None]]


async def behaves(connection: Connection) -> None:
    await connection.shake_hands()
    await connection.answer_turns()


class FakeMotionServer:
    """Serves on a free port; can be stopped and started again on the same one."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts) or [behaves]
        self.connections: list[Connection] = []
        self.tokens: list[str] = []
        self.used: list[str] = []
        self.sent: list[bytes] = []
        self.token_answers: list[tuple[int, object]] = []
        self.upgrade_answers: list[tuple[int, str]] = []
        self.other_requests: list[str] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def console(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/console"

    @property
    def ingress(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v2/driveningress"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/console/session-tokens", self._token)
        app.router.add_get("/v2/driveningress/websocket", self._connect)
        app.router.add_route("*", "/{rest:.*}", self._other)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """As a process that dies: sockets are cut."""
        for connection in self.connections:
            transport = connection.socket._req.transport if connection.socket._req else None
            if transport is not None:
                transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        if self.token_answers:
            status, body = self.token_answers.pop(0)
            return web.json_response(body, status=status)
        if request.headers.get("X-Api-Key") != API_KEY:
            problem = {"status": 401, "code": "unauthorized", "detail": f"{API_KEY} is no key"}
            return web.json_response({"errors": [problem]}, status=401)
        self.tokens.append(f"token-secret-{len(self.tokens)}")
        return web.json_response({"sessionToken": self.tokens[-1]})

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("X-Session-Key") or request.query.get("sessionKey", "")
        self.used.append(token)
        if self.upgrade_answers:
            status, text = self.upgrade_answers.pop(0)
            return web.json_response({"message": text, "token": token}, status=status)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        number = len(self.connections) + 1
        connection = Connection(
            self, socket, dict(request.headers), dict(request.query), f"conn-{number}"
        )
        self.connections.append(connection)
        with suppress(ConnectionResetError):
            await script(connection)
        await socket.close()
        return socket

    async def _other(self, request: web.Request) -> web.Response:
        self.other_requests.append(request.path)
        return web.Response(status=404)


@asynccontextmanager
async def motion_server(*scripts: Script) -> AsyncIterator[FakeMotionServer]:
    server = FakeMotionServer(*scripts)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits until something is true; for what another task does soon."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
