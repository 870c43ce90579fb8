"""One client's connection: a task that sends, a task that receives, and one verdict at its end."""

from __future__ import annotations

import asyncio
import logging
import socket

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from stagewire_egress.delivery import Uplink
from stagewire_egress.websocket.downlink import Downlink, Frame
from stagewire_egress.websocket.frames import Close
from stagewire_egress.websocket.wire import GoodbyeError, Wire

logger = logging.getLogger(__name__)

# What the kernel may hold for a slow client. An interrupt waits behind it, so it is small; 64 KiB
# still carry 2.5 Mbit/s over a round trip of 200 ms.
_SEND_BUFFER_BYTES = 1 << 16
_CLOSE_SECONDS = 1.0


class Connection:
    """Serves one client until either side ends it, or its session is over.

    Args:
        ws: The connection.
        wire: Its words.
        downlink: What to send.
        uplink: Who is told what was handed over.
        stall_seconds: How long it may read nothing.
    """

    def __init__(
        self,
        ws: ServerConnection,
        wire: Wire,
        downlink: Downlink,
        uplink: Uplink,
        stall_seconds: float,
    ) -> None:
        """Makes the connection; ``run`` serves it."""
        self._ws = ws
        self._wire = wire
        self._downlink = downlink
        self._uplink = uplink
        self._stall_seconds = stall_seconds
        self._verdict: tuple[Close | None, str] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.finished = asyncio.Event()

    async def run(self, turn: int) -> bool:
        """Serves until the client goes, misbehaves, or ``stop``.

        Args:
            turn: The turn that goes on; 0 for none.

        Returns:
            Whether the connection is still open: the client wants another session.
        """
        limit_send_buffer(self._ws)
        try:
            for message in self._wire.hello(turn):
                await self._ws.send(message)
            async with asyncio.TaskGroup() as tasks:
                clock = tasks.create_task(self._wire.run())
                self._tasks = [
                    tasks.create_task(self._send()),
                    tasks.create_task(self._receive()),
                ]
                if self._verdict is not None:
                    self._cancel()
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self._cancel()
                clock.cancel()
            code, reason = self._verdict or (Close.ENDED, "goodbye")
            if code is None:
                return True
            await close(self._ws, code, reason)
            return False
        finally:
            self.finished.set()

    def stop(self, code: Close, reason: str) -> None:
        """Ends the connection at once, whatever waits to be sent."""
        self._verdict = self._verdict or (code, reason)
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _send(self) -> None:
        try:
            while (item := await self._downlink.take()) is not None:
                if isinstance(item, Frame) and item.voice:
                    self._uplink.handed_over(item.turn, item.end_sample)
                async with asyncio.timeout(self._stall_seconds):
                    for message in self._wire.encode(item):
                        await self._ws.send(message)
                # send() returns without a pause while the client keeps up: give others their turn.
                await asyncio.sleep(0)
            self._verdict = self._verdict or (Close.ENDED, "the session ended")
        except TimeoutError:
            error = StageError(
                error_pb2.ERROR_REASON_PEER_TOO_SLOW,
                f"the client read nothing for {self._stall_seconds:g} s and was disconnected",
            )
            self._verdict = self._verdict or (Close.TIMEOUT, error.message)
            await self._uplink.fault(error)
        except ConnectionClosed:
            pass

    async def _receive(self) -> None:
        try:
            async for message in self._ws:
                try:
                    await self._wire.receive(message)
                except StageError as error:
                    self._downlink.control(error)
        except GoodbyeError as goodbye:
            self._verdict = self._verdict or (goodbye.code, goodbye.reason)
            if goodbye.error is not None:
                await self._refuse(goodbye.error)
        except ConnectionClosed:
            pass

    async def _refuse(self, error: StageError) -> None:
        logger.info("client refused: %s: %s", error.reason_name, error.message)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                for message in self._wire.encode(error):
                    await self._ws.send(message)
        except (TimeoutError, ConnectionClosed):
            pass


def limit_send_buffer(ws: ServerConnection) -> None:
    """Keeps little in the kernel, where nothing can be overtaken."""
    sock: socket.socket | None = ws.transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


async def close(ws: ServerConnection, code: Close, reason: str) -> None:
    """Closes with a code and a reason; cuts the connection when the client does not follow."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await ws.close(code, _shortened(reason))
    except TimeoutError:
        if ws.state is not State.CLOSED:
            ws.transport.abort()


def _shortened(reason: str) -> str:
    """At most 123 bytes of UTF-8, as RFC 6455 section 5.5 allows."""
    return reason.encode()[:123].decode(errors="ignore")
