"""All sessions of this instance: creating, finding, listing and ending them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from stagekit.admission import Admission
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent
from stagewire.egress.v1.egress_pb2 import WebSocketTarget
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.avatars import Avatar, find
from stagewire_orchestrator.conversation_metrics import ConversationMetrics
from stagewire_orchestrator.events import UserInterrupt, UserText
from stagewire_orchestrator.places import Place
from stagewire_orchestrator.rooms import Rooms, new_room
from stagewire_orchestrator.session import Session
from stagewire_orchestrator.settings import OrchestratorSettings
from stagewire_orchestrator.stages.channels import Channels
from stagewire_orchestrator.timeline.recording import Recording
from stagewire_orchestrator.timeline.shelf import Shelf
from stagewire_orchestrator.tokens import ApiTokens
from stagewire_orchestrator.wanted import Wanted, check

IDEMPOTENCY_SECONDS = 600.0
ENDED_KEPT_SECONDS = 600.0
MAX_TEXT = 4_000


@dataclass
class _Entry:
    """A session and what only its callers care about.

    Attributes:
        join_token: What a WebSocket client shows; not used in a room.
        expires: When a WebSocket client is let in no more.
    """

    session: Session
    record: pb.Session
    join_token: str
    expires: Timestamp
    task: asyncio.Task[None]
    ended_at: float | None = None


class Sessions:
    """The sessions of this instance.

    Args:
        settings: The orchestrator's.
        avatars: Profiles by id; the first is the default.
        channels: Connections to the stages.
        admission: How many at the same time.
        rooms: The rooms of a LiveKit server.
        tokens: Makes what clients show to the HTTP API.

    Attributes:
        shelf: The timelines of recent sessions.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        avatars: dict[str, Avatar],
        channels: Channels,
        admission: Admission,
        rooms: Rooms,
        tokens: ApiTokens,
    ) -> None:
        """No session yet."""
        self._settings = settings
        self._avatars = avatars
        self._channels = channels
        self._admission = admission
        self._livekit = rooms
        self._tokens = tokens
        self.shelf = Shelf(settings.timeline_sessions, settings.timeline_megabytes << 20)
        self._metrics = ConversationMetrics()
        self._entries: dict[str, _Entry] = {}
        self._rooms: dict[str, asyncio.Future[_Entry]] = {}
        self._keys: dict[str, tuple[float, asyncio.Future[_Entry]]] = {}

    async def create(
        self, request: pb.CreateSessionRequest, caused_by: str = ""
    ) -> pb.CreateSessionResponse:
        """Connects an avatar's stages and says how the client joins.

        Args:
            request: What is wanted.
            caused_by: The caller's traceparent, which the session's trace links to.

        Raises:
            StageError: UNKNOWN_AVATAR, INVALID_FIELD, SESSION_EXISTS for a room that has one,
                STAGE_FULL, STAGE_UNREACHABLE, or what a stage answered.
        """
        wanted = check(request, self._avatars, self._livekit)
        self._forget_old()
        key = request.idempotency_key
        if not key:
            return self._response(await self._begin(wanted, caused_by))
        if key in self._keys:
            return self._response(await asyncio.shield(self._keys[key][1]))
        loop = asyncio.get_running_loop()
        made: asyncio.Future[_Entry] = loop.create_future()
        self._keys[key] = (loop.time(), made)
        try:
            made.set_result(await self._begin(wanted, caused_by))
        except BaseException as error:
            del self._keys[key]
            _fail(made, error)
            raise
        return self._response(made.result())

    async def enter(
        self, request: pb.CreateSessionRequest, identity: str
    ) -> pb.CreateSessionResponse:
        """Lets one more person into the session of ``request.room``, which begins with the first.

        Raises:
            StageError: As ``create``.
        """
        wanted = check(request, self._avatars, self._livekit)
        self._forget_old()
        while (running := self._rooms.get(request.room)) is not None:
            entry = await asyncio.shield(running)
            if not entry.session.end_reason:
                return self._response(entry, identity)
            await asyncio.wait([entry.task])  # it is about to leave the room
        return self._response(await self._begin(wanted), identity)

    def get(self, session_id: str) -> pb.Session:
        """One session's record.

        Raises:
            StageError: UNKNOWN_SESSION.
        """
        return self._record(self._entry(session_id))

    def list(self, include_ended: bool) -> list[pb.Session]:
        """All records, newest first."""
        self._forget_old()
        entries = [x for x in self._entries.values() if include_ended or x.ended_at is None]
        return [self._record(entry) for entry in reversed(entries)]

    async def end(self, session_id: str, reason: str = "ended by the caller") -> pb.Session:
        """Ends a session and waits until it has."""
        entry = self._entry(session_id)
        if entry.ended_at is None:
            await entry.session.end(reason)
            await asyncio.wait([entry.task])
        return self._record(entry)

    async def send_text(self, session_id: str, text: str) -> None:
        """Says something in the user's place."""
        if not text.strip() or len(text) > MAX_TEXT:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"text has {len(text)} characters; 1 to {MAX_TEXT} that are not all blank",
            )
        await self._live(session_id).post(UserText(text.strip()))

    async def interrupt(self, session_id: str) -> None:
        """Makes the avatar stop speaking."""
        await self._live(session_id).post(UserInterrupt())

    def events(self, session_id: str, after: int = 0) -> AsyncIterator[SessionEvent]:
        """The session's events with a greater sequence than ``after``, to its last."""
        return self._entry(session_id).session.events(after)

    def profile(self, avatar_id: str) -> Avatar:
        """The avatar that a session with this id would have.

        Raises:
            StageError: UNKNOWN_AVATAR.
        """
        return self._avatars[find(self._avatars, avatar_id)]

    async def close(self) -> None:
        """Ends every session: the instance stops."""
        for session_id in [key for key, entry in self._entries.items() if entry.ended_at is None]:
            await self.end(session_id, "the orchestrator stopped")

    # --- inside ------------------------------------------------------------------------------

    async def _begin(self, wanted: Wanted, caused_by: str = "") -> _Entry:
        """Starts a session; its room is taken from here on, before it is connected."""
        if wanted.request.transport != pb.TRANSPORT_LIVEKIT:
            return await self._start(wanted, "", caused_by)
        room = wanted.request.room or new_room()
        if room in self._rooms:
            raise StageError(
                error_pb2.ERROR_REASON_SESSION_EXISTS, "room: it has a session; end that one first"
            )
        taken: asyncio.Future[_Entry] = asyncio.get_running_loop().create_future()
        self._rooms[room] = taken
        try:
            entry = await self._start(wanted, room, caused_by)
        except BaseException as error:
            del self._rooms[room]
            _fail(taken, error)
            raise
        taken.set_result(entry)
        if entry.ended_at is not None:  # at once
            del self._rooms[room]
        return entry

    async def _start(self, wanted: Wanted, room: str, caused_by: str) -> _Entry:
        session_id, join_token = f"s-{secrets.token_hex(8)}", secrets.token_urlsafe(32)
        recording = Recording(
            session_id,
            wanted.avatar_id,
            content=self._settings.timeline_content,
            now=asyncio.get_running_loop().time(),
        )
        session = Session(
            session_id,
            wanted.avatar,
            wanted.request.locale,
            self._channels,
            self._settings.policy(),
            self._settings.microphone_hertz,
            self._livekit.place(room, session_id, wanted.publisher)
            if room
            else Place(lambda: WebSocketTarget(join_token=join_token)),
            recording,
            self._metrics,
            caused_by,
        )
        record = pb.Session(
            session_id=session_id,
            avatar_id=wanted.avatar_id,
            transport=pb.TRANSPORT_LIVEKIT if room else pb.TRANSPORT_WEBSOCKET,
            locale=session.locale,
            state=pb.SESSION_STATE_STARTING,
            trace_id=session.trace_id,
            metadata=wanted.request.metadata,
            room=room,
            motion_avatar_id=wanted.avatar.motion_avatar_id,
            publisher=wanted.publisher,
        )
        record.create_time.GetCurrentTime()
        expires = Timestamp()
        expires.FromSeconds(record.create_time.seconds + int(self._settings.max_session_seconds))
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A bare task: the session outlives the call that creates it; `close` ends it.
        task = asyncio.create_task(self._run(session, room, connected))
        entry = _Entry(session, record, join_token, expires, task)
        self._entries[session_id] = entry
        task.add_done_callback(lambda _: self._ended(entry))
        try:
            await connected
        except StageError:
            await asyncio.wait([task])  # it leaves its room
            del self._entries[session_id]
            raise
        except BaseException:
            task.cancel()
            del self._entries[session_id]
            raise
        record.state = pb.SESSION_STATE_ACTIVE
        self.shelf.put(recording)
        return entry

    async def _run(self, session: Session, room: str, connected: asyncio.Future[None]) -> None:
        try:
            with self._admission.slot():
                place = self._livekit.claimed(room, session.session_id) if room else nullcontext()
                async with place, asyncio.TaskGroup() as tasks:
                    limit = tasks.create_task(self._end_in_time(session))
                    await session.run(connected)
                    limit.cancel()
        except StageError as refusal:  # full, draining, no room: `run` raises none
            connected.set_exception(refusal)

    async def _end_in_time(self, session: Session) -> None:
        await asyncio.sleep(self._settings.max_session_seconds)
        await session.end("the session reached its longest time")

    def _ended(self, entry: _Entry) -> None:
        self.shelf.tidy()
        entry.ended_at = asyncio.get_running_loop().time()
        entry.record.state = pb.SESSION_STATE_ENDED
        entry.record.end_time.GetCurrentTime()
        entry.record.end_reason = entry.session.end_reason
        taken = self._rooms.get(entry.record.room)
        if taken is not None and taken.done():  # else `_begin` is told why it did not start
            del self._rooms[entry.record.room]

    def _response(self, entry: _Entry, identity: str = "") -> pb.CreateSessionResponse:
        room, session_id = entry.record.room, entry.record.session_id
        url, token, expires = entry.session.join_url, entry.join_token, entry.expires
        if room:
            url = self._livekit.url
            token, expires = self._livekit.client_token(room, identity or f"user-{session_id}")
        api_token, api_token_expires = self._tokens.mint(session_id)
        return pb.CreateSessionResponse(
            session=self._record(entry),
            url=url,
            client_token=token,
            token_expire_time=expires,
            api_token=api_token,
            api_token_expire_time=api_token_expires,
        )

    def _record(self, entry: _Entry) -> pb.Session:
        entry.record.turns = entry.session.turns
        return entry.record

    def _entry(self, session_id: str) -> _Entry:
        if session_id not in self._entries:
            raise StageError(error_pb2.ERROR_REASON_UNKNOWN_SESSION, "there is no such session")
        return self._entries[session_id]

    def _live(self, session_id: str) -> Session:
        entry = self._entry(session_id)
        if entry.ended_at is not None:
            raise StageError(error_pb2.ERROR_REASON_UNKNOWN_SESSION, "the session has ended")
        return entry.session

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        self._keys = {
            key: kept for key, kept in self._keys.items() if now - kept[0] < IDEMPOTENCY_SECONDS
        }
        self._entries = {
            key: entry
            for key, entry in self._entries.items()
            if entry.ended_at is None or now - entry.ended_at < ENDED_KEPT_SECONDS
        }


def _fail(promise: asyncio.Future[_Entry], error: BaseException) -> None:
    """Tells those who wait for another caller's session why there is none."""
    if not isinstance(error, StageError):  # that caller went away, and took the session along
        error = StageError(
            error_pb2.ERROR_REASON_STAGE_UNREACHABLE, "the session was given up; create it again"
        )
    promise.set_exception(error)
    promise.exception()  # somebody may be waiting for it, or nobody
