"""One conversation's face at Motion Server: its turns as requests of one session.

One task writes and one reads. What may go up next is derived from the turn's state, so an interrupt
never waits behind queued audio; what came down is matched to the turn by its request's id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from spatius import AvatarSDKError, AvatarSDKErrorCode
from stagekit import tracing
from stagekit.errors import StageError
from stagekit.streams import task_group
from stagewire.common.v1 import error_pb2, trace_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as wire
from stagewire_motion_codec import spatius

from stagewire_motion_bridge.backend import Completed, Degraded, Emit, Motion, Trouble
from stagewire_motion_bridge.backends.spatius.connection import (
    Arrived,
    Complaint,
    Gone,
    MotionSession,
)
from stagewire_motion_bridge.backends.spatius.errors import Action, meaning, where
from stagewire_motion_bridge.backends.spatius.keeper import Keeper
from stagewire_motion_bridge.backends.spatius.settings import SpatiusSettings
from stagewire_motion_bridge.backends.spatius.voice import Voice

logger = logging.getLogger(__name__)

_MESSAGE_SECONDS = 0.1
"""Audio in one message at most: an interrupt waits for the one that is being encoded and sent."""
_SEND_SECONDS = 5.0
_KEPT_SECONDS = 60.0
"""Voice without motion that is kept for a server which does not answer."""


@dataclass
class _Turn:
    """The open turn.

    Attributes:
        number: Its number.
        span: The request to Motion Server; its context goes out with its audio.
        voice: What it says.
        session: To which its audio goes; None before the first byte.
        before: The session's latest request before this turn's first byte.
        keyframes: Keyframes received, over all its requests.
        waits_since: Since when an answer is due; None while none is.
        heard_at: In a room: when what went up so far must have been heard.
        lost_at: When its session was lost; None once there is motion again.
        given_up: It goes on without lips.
    """

    number: int
    span: tracing.Span
    voice: Voice
    session: MotionSession | None = None
    before: str = ""
    keyframes: int = 0
    waits_since: float | None = None
    heard_at: float | None = None
    lost_at: float | None = None
    given_up: bool = False

    def owns(self, session: MotionSession, request: str) -> bool:
        """Whether motion with this request's id, from this session, is the turn's."""
        mine = self.session is session and session.request != self.before
        return mine and request == session.request


class SpatiusFace:
    """See :class:`stagewire_motion_bridge.backend.Face`.

    Args:
        hertz: Of the voice.
        engine_hertz: At which it goes up.
        in_room: Motion Server publishes into a room by itself: no motion comes back.
        keeper: Of the session.
        settings: The backend's.
        emit: Takes the face's events.
        clock: Monotonic seconds, the event loop's.
    """

    codec = spatius.NAME
    frame_rate = spatius.FRAME_RATE
    idle_motion = ()

    def __init__(
        self,
        hertz: int,
        engine_hertz: int,
        in_room: bool,
        keeper: Keeper,
        settings: SpatiusSettings,
        emit: Emit,
        clock: Callable[[], float],
    ) -> None:
        """No turn yet."""
        self._hertz, self._engine_hertz, self._in_room = hertz, engine_hertz, in_room
        self._keeper, self._settings, self._emit, self._clock = keeper, settings, emit, clock
        keeper.ring = self.ring
        self._turn: _Turn | None = None
        self._cut: tuple[MotionSession, str] | None = None
        self._to_write = asyncio.Event()
        self._to_read = asyncio.Event()
        self.first_motion_wait = settings.first_motion_wait

    @property
    def connection_id(self) -> str:
        """Motion Server's name for the session."""
        return self._keeper.session.connection_id if self._keeper.session is not None else ""

    def ring(self) -> None:
        """The session changed, or something came from it."""
        self._to_read.set()
        self._to_write.set()

    # --- commands ----------------------------------------------------------------------------

    async def start(self, turn: int, trace: trace_pb2.TraceContext) -> None:
        """Begins a turn."""
        if self._turn is not None:
            self._turn.span.end()
        voice = Voice(self._hertz, self._engine_hertz)
        span = tracing.current().child("Motion Server request", {}, tracing.CLIENT, under=trace)
        self._turn = _Turn(turn, span, voice)
        self._keeper.want()
        self.ring()

    async def phonemes(self, phonemes: motion_bridge_pb2.TurnPhonemes) -> None:
        """Motion Server hears by itself."""

    async def audio(self, turn: int, pcm: bytes) -> None:
        """Sends it up as soon as the connection takes it."""
        if self._turn is None or self._turn.given_up:
            return
        self._turn.voice.add(pcm)
        self.ring()

    async def finish(self, turn: int) -> None:
        """The turn's audio is complete."""
        if self._turn is None:
            return
        if self._turn.given_up:
            await self._complete(self._turn)
        else:
            self._turn.voice.finish()
            self.ring()

    async def cancel(self, turn: int) -> None:
        """Tells Motion Server before anything else; what it still sends is nobody's."""
        if self._turn is not None and self._turn.number == turn:
            self._stop(self._turn)
            self._over()

    async def run(self) -> None:
        """Keeps the session, writes and reads, until cancelled."""
        if self._keeper.problem is not None:
            await self._emit(Trouble(self._keeper.problem))
        async with task_group() as self._tasks:
            self._tasks.create_task(self._keeper.run())
            self._tasks.create_task(self._write())
            self._tasks.create_task(self._read())

    async def close(self) -> None:
        """The conversation is over."""
        if self._turn is not None:
            self._turn.span.end()
        await self._keeper.close()

    # --- up ----------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            while (session := self._keeper.session) is not None and session.alive:
                try:
                    async with asyncio.timeout(_SEND_SECONDS):
                        if not await self._write_to(session):
                            break
                    await asyncio.sleep(0)  # a send that need not wait would keep the loop
                except Exception as error:
                    # Whatever the SDK raises here, it cannot be written to any more.
                    session.abandon(error)

    async def _write_to(self, session: MotionSession) -> bool:
        """Sends the next thing; False when there is none."""
        if self._cut is not None:
            (cut, request), self._cut = self._cut, None
            if cut is session and request == session.request:
                await session.interrupt()
            return True
        turn = self._turn
        if turn is None or turn.given_up:
            return False
        if turn.session is not session:
            if turn.session is not None and self._in_room:
                return False  # the room has heard the beginning
            turn.session, turn.before = session, session.request
            turn.voice.again()
        piece = turn.voice.take(2 * int(_MESSAGE_SECONDS * self._engine_hertz))
        if piece is None:
            return False
        pcm, end = piece
        await session.send(pcm, end, turn.span.context)
        if self._in_room and turn is self._turn:
            turn.voice.forget()
            # Not over before it was heard: until then an interrupt has something to cut.
            begin = max(turn.heard_at or 0.0, self._clock())
            turn.heard_at = begin + len(pcm) / 2 / self._engine_hertz
        self._to_read.set()  # from here on an answer may be due
        return True

    # --- down --------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            self._expect()
            try:
                async with asyncio.timeout_at(self._due()):
                    await self._to_read.wait()
            except TimeoutError:
                await self._late()
                continue
            self._to_read.clear()
            session = self._keeper.session
            while session is not None and (item := session.take()) is not None:
                if isinstance(item, Arrived):
                    await self._arrived(session, item.payload)
                elif isinstance(item, Complaint):
                    await self._complained(session, item)
                else:
                    self._gone(session, item)
            await self._check()

    async def _arrived(self, session: MotionSession, payload: bytes) -> None:
        try:
            response = wire.Message.FromString(payload).response_animation
        except DecodeError:
            problem = f"a motion message of {len(payload)} bytes cannot be read"
            code, phase = AvatarSDKErrorCode.protocolError, "websocket_runtime"
            session.abandon(AvatarSDKError(code, problem, phase=phase))
            return
        self._keeper.works()
        turn = self._turn
        if turn is None or turn.given_up:
            return
        if self._in_room:  # no motion, but some servers say in this way that all was played
            if response.end and turn.owns(session, response.req_id):
                await self._complete(turn)
            return
        if not turn.owns(session, response.req_id):
            logger.debug("motion of a request that is not wanted any more")
            return
        begin, turn.keyframes = turn.keyframes, turn.keyframes + len(response.animation.keyframes)
        turn.waits_since = None
        if turn.lost_at is not None:
            gap = self._clock() - turn.lost_at
            logger.info("turn %d: motion is back after %.2f s", turn.number, gap)
            turn.lost_at = None
        turn.voice.answered(turn.keyframes / spatius.FRAME_RATE)
        if response.end and not turn.voice.ended:
            await self._give_up(turn, _EARLY)
            return
        edges = (self._edge(begin), self._edge(turn.keyframes))
        await self._emit(Motion(turn.number, payload, *edges))
        if response.end and turn is self._turn:
            await self._complete(turn)

    async def _complained(self, session: MotionSession, item: Complaint) -> None:
        turn, error = self._turn, item.error
        logger.warning("Motion Server complains: %s", where(error))
        what = meaning(error)
        if what.action is not Action.RETRY:
            session.abandon(error)  # it is about the session, which may not be closed for it
        elif turn is not None and (not error.req_id or turn.owns(session, error.req_id)):
            await self._give_up(turn, what.error(where(error)))

    def _gone(self, session: MotionSession, item: Gone) -> None:
        if self._turn is not None and self._turn.session is session:
            self._turn.lost_at = self._turn.lost_at or self._clock()
        self._keeper.lost(item.error)
        self._tasks.create_task(session.close())  # its goodbye is not waited for

    async def _check(self) -> None:
        """Gives the turn up when there is no hope left for it."""
        turn, problem = self._turn, self._keeper.problem
        if turn is None or turn.given_up:
            return
        lost = self._in_room and turn.session not in (None, self._keeper.session)
        if problem is not None and (lost or not self._keeper.transient):
            await self._give_up(turn, problem)
        elif turn.voice.kept_seconds > _KEPT_SECONDS:
            await self._give_up(turn, problem or _DEAF)

    # --- time --------------------------------------------------------------------------------

    def _expect(self) -> None:
        """Notes since when an answer is due."""
        turn = self._turn
        if turn is None or turn.given_up or self._in_room:
            return
        cut_off = turn.session is None or turn.session is not self._keeper.session
        cut_off = cut_off and turn.voice.kept_seconds > 0
        waits = turn.voice.waiting_seconds >= self._settings.window_seconds
        if not (cut_off or waits or turn.voice.ended):
            turn.waits_since = None
        elif turn.waits_since is None:
            turn.waits_since = self._clock()

    def _due(self) -> float | None:
        turn = self._turn
        if turn is None or turn.given_up:
            return None
        if self._in_room:
            ended = turn.heard_at is not None and turn.voice.ended
            return (turn.heard_at or 0.0) + self._settings.room_grace if ended else None
        if turn.waits_since is None:
            return None
        return turn.waits_since + self._settings.late_seconds

    async def _late(self) -> None:
        if self._in_room and self._turn is not None:
            await self._complete(self._turn)
            return
        if self._turn is not None:
            late = StageError(
                error_pb2.ERROR_REASON_TIMEOUT,
                f"Motion Server sent no motion for {self._settings.late_seconds:g} s",
            )
            await self._give_up(self._turn, self._keeper.problem or late)
        if self._keeper.session is not None:
            self._keeper.session.abandon(TimeoutError())  # it hangs: the next turn gets another one

    # --- ends --------------------------------------------------------------------------------

    async def _give_up(self, turn: _Turn, why: StageError) -> None:
        """The turn goes on without lips; the next one may have them again."""
        if turn.given_up:
            return
        logger.warning("turn %d goes on without lips: %s", turn.number, why.message)
        turn.given_up = True
        turn.span.end(why.reason_name)
        self._stop(turn)
        finished = turn.voice.finished
        turn.voice = Voice(self._hertz, self._engine_hertz)
        await self._emit(Degraded(turn.number, why.reason, why.message))
        if finished:
            await self._complete(turn)

    def _stop(self, turn: _Turn) -> None:
        """Has Motion Server told that nothing more of the turn is wanted."""
        session = turn.session
        if session is not None and session.request != turn.before:
            self._cut = (session, session.request)
            self._to_write.set()

    async def _complete(self, turn: _Turn) -> None:
        if turn is self._turn:
            self._over()
            await self._emit(Completed(turn.number))

    def _over(self) -> None:
        if self._turn is not None:
            self._turn.span.end()
        self._turn = None
        self._keeper.rest()

    def _edge(self, keyframe: int) -> int:
        """The voice sample at which a keyframe is shown."""
        return keyframe * self._hertz // spatius.FRAME_RATE


_EARLY = StageError(
    error_pb2.ERROR_REASON_BACKEND_FAILED, "Motion Server ended the turn before its voice did"
)
_DEAF = StageError(
    error_pb2.ERROR_REASON_BACKEND_UNAVAILABLE, "Motion Server does not take the voice"
)
