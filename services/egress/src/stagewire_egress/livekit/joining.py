"""Joining a room in time, with a token that allows what is needed, or saying what was wrong."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import grpc
from livekit import rtc
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.livekit.chat import MAX_STREAM_BYTES

logger = logging.getLogger(__name__)

_LEAVE_SECONDS = 2.0
_PUBLISHING = {"can_publish": "canPublish"}
_GRANTS = {
    "can_subscribe": "canSubscribe",
    "can_publish_data": "canPublishData",
    "can_update_metadata": "canUpdateOwnMetadata",
}


def engine_publishes(target: egress_pb2.LiveKitTarget) -> bool:
    """Whether the motion engine publishes the voice by itself."""
    return target.publisher == egress_pb2.MEDIA_PUBLISHER_MOTION_ENGINE


def check(opening: egress_pb2.Open) -> None:
    """Checks what the caller said of the room.

    Raises:
        StageError: INVALID_FIELD.
    """
    target = opening.livekit
    if not target.url.startswith(("ws://", "wss://")):
        raise _invalid("livekit.url must begin with ws:// or wss://")
    for field in ("token", "room", "identity"):
        if not getattr(target, field):
            raise _invalid(f"livekit.{field} is missing")
    if engine_publishes(target):
        if not target.publisher_identity or target.publisher_identity == target.identity:
            raise _invalid("livekit.publisher_identity must name the motion engine's participant")
        if opening.motion_codec:
            raise _invalid("motion_codec must be empty where the motion engine publishes")
    elif target.publisher != egress_pb2.MEDIA_PUBLISHER_EGRESS:
        raise _invalid("livekit.publisher must say who publishes voice and motion")


class Joiner:
    """Joins rooms, and leaves those that were joined too late.

    Args:
        join_seconds: How long a join may take.
    """

    def __init__(self, join_seconds: float) -> None:
        """Joins nothing yet."""
        self._join_seconds = join_seconds
        self._late: set[asyncio.Task[None]] = set()

    async def join(self, target: egress_pb2.LiveKitTarget) -> rtc.Room:
        """Joins the target's room.

        Raises:
            StageError: INVALID_FIELD for a token of another room or identity, or without a grant
                that is needed; BACKEND_UNAUTHENTICATED for one that the server refuses;
                BACKEND_FAILED (UNAVAILABLE) when the server cannot be reached in time.
        """
        room = rtc.Room()
        options = rtc.RoomOptions(
            auto_subscribe=False,
            connect_timeout=self._join_seconds,
            data_stream=rtc.DataStreamOptions(max_payload_byte_length=MAX_STREAM_BYTES),
        )
        # A bare task: a cancelled connect would go on in the library, and a participant that
        # nobody knows would stand in the room. So it ends in its own time, and leaves.
        connecting = asyncio.create_task(room.connect(target.url, target.token, options))
        try:
            done, _ = await asyncio.wait([connecting], timeout=self._join_seconds)
        except asyncio.CancelledError:
            self._abandon(room, connecting)
            raise
        if not done:
            self._abandon(room, connecting)
            raise _unavailable(f"no answer within {self._join_seconds:g} s")
        try:
            connecting.result()
        except rtc.ConnectError as error:
            raise _refused(error) from None
        try:
            _check_joined(room, target)
        except StageError:
            await leave(room)
            raise
        return room

    async def close(self) -> None:
        """Waits until every late join was undone."""
        if self._late:
            await asyncio.wait(self._late)

    def _abandon(self, room: rtc.Room, connecting: asyncio.Task[None]) -> None:
        async def undo() -> None:
            with suppress(rtc.ConnectError):
                await connecting
                await leave(room)

        task = asyncio.create_task(undo())  # bare for the same reason; `close` waits for it
        self._late.add(task)
        task.add_done_callback(self._late.discard)


async def leave(room: rtc.Room) -> None:
    """Leaves the room; does not wait long for a server that is away."""
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await room.disconnect()
    except Exception as error:  # the library raises bare Exceptions; the room is left either way
        logger.warning("leaving the room: %s", type(error).__name__)


def _check_joined(room: rtc.Room, target: egress_pb2.LiveKitTarget) -> None:
    participant = room.local_participant
    if room.name != target.room or participant.identity != target.identity:
        raise _invalid("livekit.token is for another room or another identity than livekit names")
    permissions = participant.permissions
    needed = _GRANTS if engine_publishes(target) else _PUBLISHING | _GRANTS
    missing = [name for field, name in needed.items() if not getattr(permissions, field)]
    if missing:
        raise _invalid(f"livekit.token lacks the grants {', '.join(missing)}")


def _refused(error: rtc.ConnectError) -> StageError:
    """The library's error by kind only: its text quotes the token."""
    if "401" in error.message or "403" in error.message:
        return StageError(
            error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED,
            "the LiveKit server refused livekit.token: wrong key or secret, expired, or without "
            "the grant roomJoin",
        )
    if "parse the url" in error.message:
        return _invalid("livekit.url is not a URL")
    return _unavailable("the connection failed")


def _unavailable(problem: str) -> StageError:
    return StageError(
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        f"the LiveKit server cannot be reached: {problem}; is livekit.url right, and reachable "
        "from egress?",
        code=grpc.StatusCode.UNAVAILABLE,
    )


def _invalid(message: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_INVALID_FIELD, message)
