"""One client's WebSocket: configuration, speech in, motion out, until somebody ends it.

Three tasks: one reads, so that an interrupt overtakes the audio before it; one makes motion, in the
order of the req_ids; one watches the clock. Whoever finds a reason to end calls ``end``; the first
reason counts.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import ClientConnectionResetError, WSMsgType, web
from stagekit.audio import to_pcm
from stagekit.tracing import trace_id_of
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as pb
from stagewire_lipsync import Performer
from stagewire_motion_codec import spatius

from stagewire_motion_server import refusals, wire
from stagewire_motion_server.audio import OggOpus, Pcm
from stagewire_motion_server.backlog import Backlog
from stagewire_motion_server.faults import NO_MESSAGE, NO_MESSAGE_TEXT, FaultBox, spoil
from stagewire_motion_server.lifetime import Lifetime
from stagewire_motion_server.options import Options
from stagewire_motion_server.refusals import Ending
from stagewire_motion_server.turn import Turn, Window, Windows

if TYPE_CHECKING:
    from stagewire_motion_server.room import Room

logger = logging.getLogger(__name__)

_BACKLOG_BYTES = 8 << 20  # read ahead of the motion; then TCP slows the client
_REMEMBERED = 1_024  # req_ids that are over
_CLOSING_SECONDS = 5.0  # for the client to read what is left and to answer the close frame


@dataclass(frozen=True)
class Client:
    """Who was let in.

    Attributes:
        app_id: As the client gave it.
        avatar_id: For whom motion is made.
        token_expiry: Of its session token, in seconds from now.
    """

    app_id: str
    avatar_id: str
    token_expiry: float


class Session:
    """One session.

    Args:
        socket: Its WebSocket, after the upgrade.
        abort: Cuts the TCP connection.
        client: Who was let in.
        options: Limits and windows.
        faults: What shall go wrong.
        new_face: Makes the session's face for a sample rate; may take some time.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        abort: Callable[[], None],
        client: Client,
        options: Options,
        faults: FaultBox,
        new_face: Callable[[int], Performer],
    ) -> None:
        """Not configured yet."""
        self.connection_id = secrets.token_hex(8)
        self._socket = socket
        self._abort = abort
        self._client = client
        self._options = options
        self._faults = faults
        self._new_face = new_face
        self._loop = asyncio.get_running_loop()
        self._began = self._last_audio = self._loop.time()
        self.closed = asyncio.Event()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()
        self._backlog = Backlog(_BACKLOG_BYTES)
        self._configuration = pb.ConfigureSession()
        self._room: Room | None = None
        self._turn: Turn | None = None
        self._muted: deque[str] = deque(maxlen=_REMEMBERED)
        self._ended: deque[str] = deque(maxlen=_REMEMBERED)
        self._animations = 0
        self._audio_bytes = 0

    def end(self, ending: Ending) -> None:
        """Ends the session; does nothing when it is ending already."""
        if not self._ending.done():
            self._ending.set_result(ending)

    def status(self) -> dict[str, Any]:
        """What the admin call shows."""
        return {
            "connection_id": self.connection_id,
            "app_id": self._client.app_id,
            "avatar_id": self._client.avatar_id,
            "seconds": round(self._loop.time() - self._began, 3),
            "sample_rate": self._configuration.sample_rate,
            "audio_format": pb.AudioFormat.Name(self._configuration.audio_format),
            "room": self._configuration.livekit_egress.room_name or None,
            "req_id": self._turn.req_id if self._turn else None,
            "audio_bytes": self._audio_bytes,
            "animation_messages": self._animations,
        }

    async def run(self) -> None:
        """Serves the client until the session ends, and closes it."""
        try:
            await self._close(await self._until_ended())
        finally:
            if self._room is not None:
                await self._room.leave()
            self.closed.set()

    async def _until_ended(self) -> Ending:
        ending = refusals.VANISHED
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._serve(group)), group.create_task(self._watch())]
                ending = await self._ending
                for task in tasks:
                    task.cancel()
        except* ClientConnectionResetError:
            pass  # it left in the middle of a message
        except* Exception:
            logger.exception("%s failed", self.connection_id)
            ending = refusals.BROKEN
        return ending

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        if not await self._configure():
            return
        working = [group.create_task(self._perform())]
        if self._room is not None:
            working.append(group.create_task(self._room.run()))
        try:
            await self._read()
        finally:
            for task in working:
                task.cancel()

    # -- the beginning

    async def _configure(self) -> bool:
        """The handshake; whether the session stands."""
        try:
            async with asyncio.timeout(self._options.handshake_seconds):
                message = await self._receive()
        except TimeoutError:
            seconds = self._options.handshake_seconds
            self.end(refusals.handshake(f"nothing came within {seconds:g} seconds"))
            return False
        if message is None:
            return False
        if message.WhichOneof("data") != "configure_session":
            self.end(refusals.handshake(f"{message.WhichOneof('data') or 'nothing'} came"))
            return False
        if objection := wire.objection(message.configure_session):
            self.end(objection)
            return False
        self._configuration = message.configure_session
        rate = self._configuration.sample_rate
        if self._configuration.egress_type == pb.EGRESS_TYPE_LIVEKIT:
            from stagewire_motion_server.room import Room  # its library is an extra

            self._room = Room(self._configuration.livekit_egress, rate, self._faults, self.end)
            if refused := await self._room.enter():
                self.end(refused)
                return False
        self._performer = await asyncio.to_thread(self._new_face, rate)
        return await self._confirm()

    async def _confirm(self) -> bool:
        faults = self._faults.current
        if faults.at_message == 0 and faults.hits():
            self._faults.strike()
            if faults.ends():
                self.end(faults.ending())
                return False
            await self._send(self._error("", faults.ending()))
        how = faults.handshake
        if how is not None:
            self._faults.strike()
        if how == "text":
            await self._send(NO_MESSAGE_TEXT)
        elif how == "garbage":
            await self._send(NO_MESSAGE)
        elif how != "never":
            for _ in range(2 if how == "twice" else 1):
                await self._send(wire.confirmation(self.connection_id))
        logger.info("%s configured", self.connection_id)
        return True

    # -- what comes in

    async def _read(self) -> None:
        while (message := await self._receive()) is not None:
            kind = message.WhichOneof("data")
            if kind == "interrupt":
                self._muted.append(message.interrupt.req_id)
                if self._room is not None:
                    self._room.interrupt(message.interrupt.req_id)
            elif kind != "audio_input":
                self.end(refusals.malformed(1002, f"unexpected message type: {kind or 'none'}"))
                return
            elif not message.audio_input.req_id:
                await self._fail("", "req_id is empty")
            else:
                self._last_audio = self._loop.time()
                self._audio_bytes += len(message.audio_input.audio)
                await self._backlog.put(message.audio_input)

    async def _receive(self) -> pb.Message | None:
        """The next message; None when there is none, and the session ends."""
        received = await self._socket.receive()
        if received.type is WSMsgType.TEXT:
            self.end(refusals.malformed(1003, "expected binary protobuf message"))
        elif received.type is WSMsgType.BINARY:
            try:
                return wire.parse(received.data)
            except ValueError as error:
                self.end(refusals.malformed(1007, str(error)))
        else:  # closed by the client, or by aiohttp for a message that is too large
            self.end(refusals.GONE)
        return None

    async def _watch(self) -> None:
        """Ends the session when its time is up."""
        lifetime = Lifetime(self._options, self._client.token_expiry, self._began)
        while (end := lifetime.end(self._last_audio)) is not None:
            when, ending = end
            if when <= self._loop.time():
                self.end(ending)
                return
            await asyncio.sleep(when - self._loop.time())

    # -- what goes out

    async def _perform(self) -> None:
        while True:
            audio = await self._backlog.get()
            if audio.req_id in self._muted:
                if self._turn is not None and self._turn.req_id == audio.req_id:
                    self._turn = None
                continue
            if audio.req_id in self._ended:
                await self._fail(audio.req_id, "audio after end")
                continue
            try:
                await self._answer(await self._turn_of(audio), audio)
            except ValueError as error:
                self._muted.append(audio.req_id)
                self._turn = None
                await self._fail(audio.req_id, str(error))

    async def _turn_of(self, audio: pb.AudioInput) -> Turn:
        """The turn that goes on, or the one that begins."""
        turn = self._turn
        if turn is not None and turn.req_id == audio.req_id:
            return turn
        if turn is not None and turn.req_id not in self._muted:
            self._muted.append(turn.req_id)
            await self._fail(turn.req_id, "another req_id began before this one's end")
        rate = self._configuration.sample_rate
        opus = self._configuration.audio_format == pb.AUDIO_FORMAT_OGG_OPUS
        self._turn = Turn(
            audio.req_id,
            OggOpus(rate) if opus else Pcm(rate),
            rate,
            self._performer,
            Windows(*(round(spatius.FRAME_RATE * length) for length in self._options.windows())),
            self._options.max_turn_seconds,
            child_of(audio.trace_context.traceparent),
        )
        return self._turn

    async def _answer(self, turn: Turn, audio: pb.AudioInput) -> None:
        if self._room is not None:  # the voice goes there, and nothing comes back here
            pieces = await asyncio.to_thread(list, turn.decode(audio.audio))
            if turn.req_id not in self._muted:
                self._room.add(turn.req_id, b"".join(map(to_pcm, pieces)), audio.end)
            if audio.end:
                self._over(turn)
            return
        steps = turn.hear(audio.audio)
        while (windows := await asyncio.to_thread(next, steps, None)) is not None:
            for window in windows:
                await self._show(turn, window, end=False)
            if turn.req_id in self._muted:
                return
        if audio.end:
            *windows, last = await asyncio.to_thread(turn.finish)
            for window in windows:
                await self._show(turn, window, end=False)
            await self._show(turn, last, end=True)
            self._over(turn)

    def _over(self, turn: Turn) -> None:
        self._turn = None
        self._ended.append(turn.req_id)

    async def _show(self, turn: Turn, window: Window, end: bool) -> None:
        """Sends one animation message, unless its turn was interrupted or a fault is in the way."""
        if latency := self._faults.current.latency:
            self._faults.strike()
            await asyncio.sleep(latency)
        if turn.req_id in self._muted or self._ending.done():
            return
        animation = spatius.Animation(
            req_id=turn.req_id,
            keyframes=tuple(window),
            end=end,
            connection_id=self.connection_id,
            avatar_id=self._client.avatar_id,
            traceparent=turn.traceparent,
        )
        if await self._strike():
            return
        how = self._faults.current.motion
        if how is not None:
            self._faults.strike()
        if how == "early_end":
            self._muted.append(turn.req_id)
        for message in await asyncio.to_thread(spoil, animation, how):
            if self._ending.done():
                return
            self._animations += 1
            await self._send(message)

    async def _strike(self) -> bool:
        """The fault that is due before the next animation; whether it ends the session."""
        faults = self._faults.current
        if not faults.at_message or not faults.hits() or self._animations + 1 < faults.at_message:
            return False
        self._faults.strike()
        if faults.ends():
            self.end(faults.ending())
            return True
        await self._send(self._error("", faults.ending()))
        return False

    async def _fail(self, req_id: str, message: str) -> None:
        """One req_id, or one message, failed; the session goes on."""
        logger.info("%s: %s", self.connection_id, message)
        failed = Ending(None, "", refusals.INVALID_ARGUMENT, message)
        await self._send(self._error(req_id, failed))

    def _error(self, req_id: str, ending: Ending) -> bytes:
        return wire.error(self.connection_id, req_id, ending.error_code or 0, ending.error)

    async def _send(self, message: bytes | str) -> None:
        """Sends a message; a text is never one of this wire, but a fault."""
        try:
            async with asyncio.timeout(self._options.stall_seconds):
                if isinstance(message, str):
                    await self._socket.send_str(message)
                else:
                    await self._socket.send_bytes(message)
        except TimeoutError:
            self.end(refusals.STALLED)

    async def _close(self, ending: Ending) -> None:
        logger.info("%s ends: %s %s", self.connection_id, ending.close_code, ending.reason)
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                if ending.error_code is not None and not self._socket.closed:
                    await self._send(self._error("", ending))
                if ending.close_code is not None:
                    await self._socket.close(code=ending.close_code, message=ending.reason.encode())
                    return
        except (TimeoutError, ClientConnectionResetError):
            pass
        self._abort()


def child_of(traceparent: str) -> str:
    """A traceparent of ours within the client's trace; empty when the client's is not valid."""
    trace_id = trace_id_of(traceparent)
    return f"00-{trace_id}-{secrets.token_hex(8)}-{traceparent[-2:]}" if trace_id else ""
