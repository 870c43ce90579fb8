"""LiveKit rooms: claimed for sessions, deleted after them; tokens for who may join.

The server's secret stays here. A room that this software made says so in its metadata, with the
session's id; only such rooms are ever deleted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import aiohttp
from google.protobuf.timestamp_pb2 import Timestamp
from livekit import api
from livekit.api.room_service import RoomService
from livekit.protocol.models import Room
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.egress.v1 import egress_pb2
from stagewire.motion_bridge.v1.motion_bridge_pb2 import LiveKitRoom
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.places import ENGINE, Place
from stagewire_orchestrator.settings import OrchestratorSettings

logger = logging.getLogger(__name__)

AGENT_PREFIX = "agent-"
"""Begins the identity of the avatar's participant; Spatius' clients look for it."""
ENGINE_PREFIX = "motion-engine-"
"""Begins the identity of the motion engine's participant, where it publishes by itself."""

MAX_NAME = 128
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_MARK = "stagewire"
# Creating a session may take 2 s when LiveKit is away.
_CALL_SECONDS = 1.5
_SWEEP_SECONDS = 60.0
# A room younger than this may belong to a session whose avatar is just joining.
_YOUNG_SECONDS = 30.0
# LiveKit closes a room by itself when its session did not, this much later than the session would.
_SPARE_SECONDS = 10.0


def check_name(room: str) -> None:
    """Checks a room's name.

    Raises:
        StageError: INVALID_FIELD.
    """
    if not _NAME.fullmatch(room):
        raise StageError(
            error_pb2.ERROR_REASON_INVALID_FIELD,
            f"room: 1 to {MAX_NAME} letters, digits, '.', '_' and '-', beginning with a letter or "
            "a digit",
        )


def check_identity(identity: str) -> None:
    """Checks the identity that a person wants to have in a room.

    Raises:
        StageError: INVALID_FIELD.
    """
    taken = identity.startswith(("agent", ENGINE_PREFIX))
    if len(identity) > MAX_NAME or not identity.isprintable() or taken:
        raise StageError(
            error_pb2.ERROR_REASON_INVALID_FIELD,
            f"identity: at most {MAX_NAME} printable characters, and beginning neither with "
            f"'agent' nor with '{ENGINE_PREFIX}'",
        )


class Rooms:
    """The rooms of one LiveKit server.

    Args:
        settings: The orchestrator's.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, settings: OrchestratorSettings, clock: Callable[[], float] = time.time
    ) -> None:
        """Calls nobody yet."""
        self._settings = settings
        self._clock = clock
        self._server: api.LiveKitAPI | None = None
        self._held: set[str] = set()

    @property
    def missing(self) -> list[str]:
        """The settings without which there are no rooms."""
        settings = self._settings
        values = {
            "LIVEKIT_URL": settings.livekit_url,
            "LIVEKIT_API_KEY": settings.livekit_api_key,
            "LIVEKIT_API_SECRET": settings.livekit_api_secret.get_secret_value(),
        }
        return [name for name, value in values.items() if not value]

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self._settings.livekit_public_url or self._settings.livekit_url

    @asynccontextmanager
    async def claimed(self, room: str, session_id: str) -> AsyncIterator[None]:
        """Has the room for the session while the block runs; made if need be, deleted if made.

        Raises:
            StageError: SESSION_EXISTS for another instance's room, BACKEND_UNAUTHENTICATED for a
                wrong secret, STAGE_UNREACHABLE (within 1.5 s).
        """
        with self._told():
            async with asyncio.timeout(_CALL_SECONDS):
                ours = await self._claim(room, session_id)
        if ours:
            self._held.add(room)
        try:
            yield
        finally:
            if ours:
                await self._release(room)

    def client_token(self, room: str, identity: str) -> tuple[str, Timestamp]:
        """Lets a person into the room: to speak, listen, and exchange data."""
        seconds = self._settings.token_seconds
        grants = api.VideoGrants(
            room_join=True, room=room, can_publish=True, can_subscribe=True, can_publish_data=True
        )
        token = self._token(identity, seconds).with_name(identity).with_grants(grants)
        return token.to_jwt(), Timestamp(seconds=int(self._clock() + seconds))

    def place(self, room: str, session_id: str, publisher: pb.Publisher.ValueType) -> Place:
        """What egress, and a motion engine that publishes by itself, need to join as."""
        if publisher != ENGINE:
            return Place(lambda: self._egress(room, session_id))
        return Place(
            lambda: self._egress(room, session_id, f"{ENGINE_PREFIX}{session_id}"),
            lambda: self._engine(room, session_id),
        )

    async def sweep(self) -> None:
        """Deletes the rooms that sessions of a stopped instance have left behind.

        Raises:
            StageError: When the server does not do it.
        """
        with self._told():
            async with asyncio.timeout(_SWEEP_SECONDS):
                for room in (await self._rooms().list_rooms(api.ListRoomsRequest())).rooms:
                    old = self._clock() - room.creation_time > _YOUNG_SECONDS
                    if not _made_here(room) or room.name in self._held or not old:
                        continue
                    if not await self._has_avatar(room.name):
                        await self._rooms().delete_room(api.DeleteRoomRequest(room=room.name))
                        logger.info("deleted a room that a session had left behind")

    async def keep_swept(self) -> None:
        """Sweeps at once and then every minute, until cancelled."""
        while True:
            try:
                await self.sweep()
            except StageError as error:
                logger.warning("rooms are not swept: %s", error.message)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def close(self) -> None:
        """Closes the connections to the server."""
        if self._server is not None:
            await self._server.aclose()

    # --- inside ------------------------------------------------------------------------------

    def _egress(self, room: str, session_id: str, engine: str = "") -> egress_pb2.LiveKitTarget:
        """For egress, as the avatar; it publishes no track where an engine does."""
        identity = f"{AGENT_PREFIX}{session_id}"
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            can_publish=not engine,
            can_subscribe=True,
            can_publish_data=True,
            can_update_own_metadata=True,  # its state is an attribute of its participant
        )
        token = self._token(identity, self._settings.token_seconds).with_kind("agent")
        return egress_pb2.LiveKitTarget(
            url=self._settings.livekit_url,
            token=token.with_grants(grants).to_jwt(),
            room=room,
            identity=identity,
            publisher=egress_pb2.MEDIA_PUBLISHER_MOTION_ENGINE
            if engine
            else egress_pb2.MEDIA_PUBLISHER_EGRESS,
            publisher_identity=engine,
        )

    def _engine(self, room: str, session_id: str) -> LiveKitRoom:
        """For the motion engine: as Spatius' plugin for LiveKit's agents grants it.

        Its token lasts as long as the session may: it is handed over once, and the engine joins
        anew with it when its own session breaks.
        """
        identity, agent = f"{ENGINE_PREFIX}{session_id}", f"{AGENT_PREFIX}{session_id}"
        attributes = {"lk.publish_on_behalf": agent, "livekit_agent_identity": agent}
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            can_publish=True,
            can_publish_sources=["camera", "microphone"],
            can_publish_data=True,  # it calls egress
            can_subscribe=False,
        )
        token = self._token(identity, self._settings.max_session_seconds).with_kind("agent")
        token = token.with_name(identity).with_attributes(attributes).with_grants(grants)
        return LiveKitRoom(
            url=self.url,
            token=token.to_jwt(),
            room=room,
            identity=identity,
            attributes=attributes,
        )

    async def _claim(self, room: str, session_id: str) -> bool:
        """Whether the room is ours, and so has to be deleted."""
        rooms = self._rooms()
        mark = json.dumps({_MARK: {"session_id": session_id}})
        found = (await rooms.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
        if not found:
            await rooms.create_room(
                api.CreateRoomRequest(
                    name=room,
                    empty_timeout=int(self._settings.join_timeout + _SPARE_SECONDS),
                    departure_timeout=int(self._settings.leave_grace + _SPARE_SECONDS),
                    metadata=mark,
                )
            )
            return True
        if await self._has_avatar(room):
            raise StageError(
                error_pb2.ERROR_REASON_SESSION_EXISTS,
                "room: another instance has a session in it; end that one first",
            )
        if not _made_here(found[0]):
            return False
        await rooms.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata=mark))
        return True

    async def _release(self, room: str) -> None:
        self._held.discard(room)
        try:
            with self._told():
                async with asyncio.timeout(_CALL_SECONDS):
                    await self._rooms().delete_room(api.DeleteRoomRequest(room=room))
        except StageError as error:
            # LiveKit closes an empty room by itself, and the next sweep finds it.
            logger.warning("the session's room was not deleted: %s", error.message)

    async def _has_avatar(self, room: str) -> bool:
        request = api.ListParticipantsRequest(room=room)
        there = (await self._rooms().list_participants(request)).participants
        return any(participant.identity.startswith(AGENT_PREFIX) for participant in there)

    def _rooms(self) -> RoomService:
        if self._server is None:
            self._server = api.LiveKitAPI(
                self._settings.livekit_url,
                self._settings.livekit_api_key,
                self._settings.livekit_api_secret.get_secret_value(),
                timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS),
                failover=False,  # it would try again for longer than a caller waits
            )
        return self._server.room

    def _token(self, identity: str, seconds: float) -> api.AccessToken:
        secret = self._settings.livekit_api_secret.get_secret_value()
        token = api.AccessToken(self._settings.livekit_api_key, secret)
        return token.with_identity(identity).with_ttl(timedelta(seconds=seconds))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says what was wrong with the server, by settings' names and never by their secrets."""
        try:
            yield
        except api.ServerError as error:
            if error.status in (401, 403):
                raise StageError(
                    error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED,
                    "the LiveKit server refuses LIVEKIT_API_KEY with LIVEKIT_API_SECRET: is the "
                    "secret right, and does it belong to LIVEKIT_URL?",
                ) from None
            raise _away(f"answered {error.code} ({error.status})") from None
        except TimeoutError:
            raise _away("did not answer in time") from None
        except aiohttp.ClientError as error:
            raise _away(f"cannot be reached: {type(error).__name__}") from None


def new_room() -> str:
    """A name for a room that nobody has named."""
    return f"stagewire-{secrets.token_hex(8)}"


def _made_here(room: Room) -> bool:
    try:
        metadata = json.loads(room.metadata)
    except ValueError:
        return False
    return isinstance(metadata, dict) and _MARK in metadata


def _away(problem: str) -> StageError:
    message = f"the LiveKit server at LIVEKIT_URL {problem}"
    return StageError(error_pb2.ERROR_REASON_STAGE_UNREACHABLE, message)
