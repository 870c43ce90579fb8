"""A fake of LiveKit's room service: the twirp calls that the orchestrator makes, and no media.

It checks tokens and grants as the real server does (HS256, issuer, expiry; roomCreate, roomList,
roomAdmin), and keeps rooms and participants as a test sets them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import api
from livekit.protocol import models, room

KEY, SECRET = "devkey", "a-secret-that-is-long-enough-for-hs256"


class FakeLiveKit:
    """Attributes: ``rooms`` by name, ``people`` by room's name, ``calls`` in order."""

    def __init__(self) -> None:
        self.rooms: dict[str, models.Room] = {}
        self.people: dict[str, list[models.ParticipantInfo]] = {}
        self.calls: list[str] = []
        self.delay = 0.0
        self.broken = False
        self.url = ""

    def add_room(self, name: str, metadata: str = "", age: float = 3600.0, *people: str) -> None:
        created = int(time.time() - age)
        self.rooms[name] = models.Room(name=name, metadata=metadata, creation_time=created)
        self.people[name] = [models.ParticipantInfo(identity=identity) for identity in people]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeLiveKit]:
        app = web.Application()
        prefix = "/twirp/livekit.RoomService"
        for name, handler in {
            "CreateRoom": self._create,
            "ListRooms": self._list,
            "DeleteRoom": self._delete,
            "ListParticipants": self._list_people,
            "UpdateRoomMetadata": self._update,
        }.items():
            app.router.add_post(f"{prefix}/{name}", self._checked(name, handler))
        async with TestServer(app) as server:
            self.url = f"ws://127.0.0.1:{server.port}"
            yield self

    def _checked(
        self, name: str, handler: Callable[[bytes, api.VideoGrants], Any]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def call(request: web.Request) -> web.Response:
            self.calls.append(name)
            await asyncio.sleep(self.delay)
            if self.broken:
                return web.json_response({"code": "internal", "msg": "broken"}, status=500)
            token = request.headers["Authorization"].removeprefix("Bearer ")
            try:
                claims = api.TokenVerifier(KEY, SECRET).verify(token)
            except Exception:
                return web.json_response({"code": "unauthenticated", "msg": "no"}, status=401)
            assert claims.video is not None
            answer = handler(await request.read(), claims.video)
            return web.Response(body=answer.SerializeToString())

        return call

    def _create(self, data: bytes, grants: api.VideoGrants) -> models.Room:
        assert grants.room_create
        wanted = room.CreateRoomRequest.FromString(data)
        self.add_room(wanted.name, wanted.metadata, 0.0)
        self.rooms[wanted.name].empty_timeout = wanted.empty_timeout
        return self.rooms[wanted.name]

    def _list(self, data: bytes, grants: api.VideoGrants) -> room.ListRoomsResponse:
        assert grants.room_list
        names = room.ListRoomsRequest.FromString(data).names
        found = [found for found in self.rooms.values() if not names or found.name in names]
        return room.ListRoomsResponse(rooms=found)

    def _delete(self, data: bytes, grants: api.VideoGrants) -> room.DeleteRoomResponse:
        assert grants.room_create
        name = room.DeleteRoomRequest.FromString(data).room
        self.rooms.pop(name, None)
        self.people.pop(name, None)
        return room.DeleteRoomResponse()

    def _list_people(self, data: bytes, grants: api.VideoGrants) -> room.ListParticipantsResponse:
        name = room.ListParticipantsRequest.FromString(data).room
        assert (grants.room_admin, grants.room) == (True, name)
        return room.ListParticipantsResponse(participants=self.people.get(name, []))

    def _update(self, data: bytes, grants: api.VideoGrants) -> models.Room:
        wanted = room.UpdateRoomMetadataRequest.FromString(data)
        assert (grants.room_admin, grants.room) == (True, wanted.room)
        self.rooms[wanted.room].metadata = wanted.metadata
        return self.rooms[wanted.room]
