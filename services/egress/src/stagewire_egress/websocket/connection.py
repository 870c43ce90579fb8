"""One joined client: a task that sends, a task that receives, and one place that closes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from stagekit.allowance import Allowance
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from stagewire_egress.delivery import Uplink
from stagewire_egress.websocket import frames
from stagewire_egress.websocket.downlink import Downlink
from stagewire_egress.websocket.frames import Close, Frame, MalformedError
from stagewire_egress.websocket.microphone import Microphone

logger = logging.getLogger(__name__)

# What the kernel may hold for a slow client. An interrupt waits behind it, so it is small; 64 KiB
# still carry 2.5 Mbit/s over a round trip of 200 ms.
_SEND_BUFFER_BYTES = 1 << 16
_CLOSE_SECONDS = 1.0
# Twice real time keeps up with any clock; 5 s lets a client catch up after a stall.
_AUDIO_RATE, _AUDIO_BURST_SECONDS = 2.0, 5.0
_MESSAGE_RATE, _MESSAGE_BURST = 50.0, 200.0


class Connection:
    """Serves one client from its `join` until either side ends it.

    Args:
        ws: The connection.
        downlink: What to send.
        uplink: Who is told what the client does.
        microphone: Converts its audio.
        stall_seconds: How long it may read nothing.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        ws: ServerConnection,
        downlink: Downlink,
        uplink: Uplink,
        microphone: Microphone,
        stall_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """Makes the connection; ``run`` serves it."""
        self._ws = ws
        self._downlink = downlink
        self._uplink = uplink
        self._microphone = microphone
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._audio = Allowance(_AUDIO_RATE, _AUDIO_BURST_SECONDS, clock())
        self._messages = Allowance(_MESSAGE_RATE, _MESSAGE_BURST, clock())
        self._verdict: tuple[Close, str] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.finished = asyncio.Event()

    async def run(self) -> None:
        """Serves until the client goes, misbehaves, or ``stop``."""
        limit_send_buffer(self._ws)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = [
                    tasks.create_task(self._send()),
                    tasks.create_task(self._receive()),
                ]
                if self._verdict is not None:
                    self._cancel()
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self._cancel()
            code, reason = self._verdict or (Close.ENDED, "goodbye")
            await close(self._ws, code, reason)
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
                frame = item if isinstance(item, Frame) else None
                if frame is not None and frame.voice:
                    self._uplink.handed_over(frame.turn, frame.end_sample)
                async with asyncio.timeout(self._stall_seconds):
                    await self._ws.send(frame.data if frame is not None else str(item))
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
                if isinstance(message, bytes):
                    done = await self._hear(message)
                else:
                    done = await self._obey(message)
                if done:
                    return
        except ConnectionClosed:
            pass

    async def _hear(self, message: bytes) -> bool:
        try:
            pcm = frames.parse_microphone(message)
        except StageError as error:
            return await self._refuse(error, Close.MALFORMED)
        if not self._audio.take(self._microphone.seconds(pcm), self._clock()):
            return await self._refuse(_flood("audio comes much faster than real time"), Close.FLOOD)
        converted = self._microphone.convert(pcm)
        if converted:
            await self._uplink.user_audio(converted)
        return False

    async def _obey(self, message: str) -> bool:
        """Does what a JSON message says; returns whether the connection is over."""
        if not self._messages.take(1.0, self._clock()):
            return await self._refuse(
                _flood(f"more than {_MESSAGE_RATE:g} messages per second"), Close.FLOOD
            )
        try:
            match frames.parse(message):
                case frames.PlaybackReport() as report:
                    await self._uplink.played(report.turn, report.played_samples, report.stopped)
                case frames.Text() as typed:
                    await self._uplink.user_text(typed.text)
                case frames.Interrupt():
                    await self._uplink.user_interrupt()
                case frames.Leave():
                    return True
        except MalformedError as error:
            return await self._refuse(error, Close.MALFORMED)
        except StageError as error:
            self._downlink.control(frames.error_text(error))
        return False

    async def _refuse(self, error: StageError, code: Close) -> bool:
        logger.info("client refused: %s: %s", error.reason_name, error.message)
        self._verdict = self._verdict or (code, error.message)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._ws.send(frames.error_text(error))
        except (TimeoutError, ConnectionClosed):
            pass
        return True


def _flood(message: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_PEER_TOO_SLOW, message)


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
