"""All sessions of this instance: creating, finding, listing and ending them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from stagekit.admission import Admission
from stagekit.errors import StageError
from stagekit.streams import check_id
from stagewire.common.v1 import error_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.avatars import Avatar
from stagewire_orchestrator.events import UserInterrupt, UserText
from stagewire_orchestrator.session import Session
from stagewire_orchestrator.settings import OrchestratorSettings
from stagewire_orchestrator.stages.channels import Channels

IDEMPOTENCY_SECONDS = 600.0
ENDED_KEPT_SECONDS = 600.0
MAX_TEXT = 4_000
_MAX_METADATA, _MAX_KEY, _MAX_VALUE = 16, 64, 512


@dataclass
class _Entry:
    """A session and what only its callers care about."""

    session: Session
    record: pb.Session
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
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        avatars: dict[str, Avatar],
        channels: Channels,
        admission: Admission,
    ) -> None:
        """No session yet."""
        self._settings = settings
        self._avatars = avatars
        self._channels = channels
        self._admission = admission
        self._entries: dict[str, _Entry] = {}
        self._keys: dict[str, tuple[float, asyncio.Future[_Entry]]] = {}

    async def create(self, request: pb.CreateSessionRequest) -> pb.CreateSessionResponse:
        """Connects an avatar's stages and says how the client joins.

        Raises:
            StageError: UNKNOWN_AVATAR, INVALID_FIELD, STAGE_FULL, or what a stage answered.
        """
        self._check(request)
        self._forget_old()
        key = request.idempotency_key
        if not key:
            return self._response(await self._begin(request))
        if key in self._keys:
            return self._response(await asyncio.shield(self._keys[key][1]))
        loop = asyncio.get_running_loop()
        made: asyncio.Future[_Entry] = loop.create_future()
        self._keys[key] = (loop.time(), made)
        try:
            made.set_result(await self._begin(request))
        except BaseException as error:
            del self._keys[key]
            made.set_exception(error)
            made.exception()  # somebody may be waiting for it, or nobody
            raise
        return self._response(made.result())

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

    def events(self, session_id: str) -> AsyncIterator[SessionEvent]:
        """The session's events, to its last."""
        return self._entry(session_id).session.events()

    async def close(self) -> None:
        """Ends every session: the instance stops."""
        for session_id in [key for key, entry in self._entries.items() if entry.ended_at is None]:
            await self.end(session_id, "the orchestrator stopped")

    # --- inside ------------------------------------------------------------------------------

    async def _begin(self, request: pb.CreateSessionRequest) -> _Entry:
        avatar_id = request.avatar_id or next(iter(self._avatars))
        session = Session(
            f"s-{secrets.token_hex(8)}",
            self._avatars[avatar_id],
            request.locale,
            self._channels,
            self._settings.policy(),
            self._settings.microphone_hertz,
        )
        record = pb.Session(
            session_id=session.session_id,
            avatar_id=avatar_id,
            transport=pb.TRANSPORT_WEBSOCKET,
            locale=session.locale,
            state=pb.SESSION_STATE_STARTING,
            trace_id=session.trace_id,
            metadata=request.metadata,
        )
        record.create_time.GetCurrentTime()
        expires = Timestamp()
        expires.FromSeconds(record.create_time.seconds + int(self._settings.max_session_seconds))
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A bare task: the session outlives the call that creates it; `close` ends it.
        task = asyncio.create_task(self._run(session, connected))
        entry = _Entry(session, record, expires, task)
        self._entries[session.session_id] = entry
        task.add_done_callback(lambda _: self._ended(entry))
        try:
            await connected
        except BaseException:
            task.cancel()
            del self._entries[session.session_id]
            raise
        record.state = pb.SESSION_STATE_ACTIVE
        return entry

    async def _run(self, session: Session, connected: asyncio.Future[None]) -> None:
        try:
            with self._admission.slot():
                async with asyncio.TaskGroup() as tasks:
                    limit = tasks.create_task(self._end_in_time(session))
                    await session.run(connected)
                    limit.cancel()
        except StageError as refusal:  # full, or draining: `run` raises nothing of the kind
            connected.set_exception(refusal)

    async def _end_in_time(self, session: Session) -> None:
        await asyncio.sleep(self._settings.max_session_seconds)
        await session.end("the session reached its longest time")

    def _ended(self, entry: _Entry) -> None:
        entry.ended_at = asyncio.get_running_loop().time()
        entry.record.state = pb.SESSION_STATE_ENDED
        entry.record.end_time.GetCurrentTime()
        entry.record.end_reason = entry.session.end_reason

    def _response(self, entry: _Entry) -> pb.CreateSessionResponse:
        return pb.CreateSessionResponse(
            session=self._record(entry),
            url=entry.session.join_url,
            client_token=entry.session.join_token,
            token_expire_time=entry.expires,
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

    def _check(self, request: pb.CreateSessionRequest) -> None:
        if request.avatar_id and request.avatar_id not in self._avatars:
            raise StageError(
                error_pb2.ERROR_REASON_UNKNOWN_AVATAR,
                f"there is no such avatar id; there are: {', '.join(self._avatars)}",
            )
        if request.transport not in (pb.TRANSPORT_UNSPECIFIED, pb.TRANSPORT_WEBSOCKET):
            raise _invalid("transport", "only WEBSOCKET is served by this version")
        if request.idempotency_key:
            check_id("idempotency_key", request.idempotency_key)
        if len(request.locale) > _MAX_KEY:
            raise _invalid("locale", f"longer than {_MAX_KEY} characters")
        too_long = any(
            len(key) > _MAX_KEY or len(value) > _MAX_VALUE
            for key, value in request.metadata.items()
        )
        if len(request.metadata) > _MAX_METADATA or too_long:
            raise _invalid(
                "metadata",
                f"at most {_MAX_METADATA} entries, keys to {_MAX_KEY} and values to {_MAX_VALUE} "
                "characters",
            )

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


def _invalid(field: str, problem: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_INVALID_FIELD, f"{field}: {problem}")
