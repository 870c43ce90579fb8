"""What a caller wants of a new session, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stagekit.errors import StageError
from stagekit.streams import check_id
from stagewire.common.v1 import error_pb2
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.avatars import Avatar, find
from stagewire_orchestrator.places import publisher_of
from stagewire_orchestrator.rooms import Rooms, check_name

_MAX_METADATA, _MAX_KEY, _MAX_VALUE = 16, 64, 512


@dataclass(frozen=True)
class Wanted:
    """A request that can be served.

    Attributes:
        request: As it came.
        avatar_id: The profile's id.
        avatar: The profile, with its client at the egress instance that was asked for.
        publisher: Who publishes into the room; unspecified without one.
    """

    request: pb.CreateSessionRequest
    avatar_id: str
    avatar: Avatar
    publisher: pb.Publisher.ValueType


def check(request: pb.CreateSessionRequest, avatars: Mapping[str, Avatar], rooms: Rooms) -> Wanted:
    """Reads a request.

    Raises:
        StageError: UNKNOWN_AVATAR, or INVALID_FIELD; the message names the field.
    """
    avatar_id = find(avatars, request.avatar_id)
    if request.transport not in pb.Transport.values():
        raise _invalid("transport", "this version knows WEBSOCKET and LIVEKIT")
    if request.transport == pb.TRANSPORT_LIVEKIT:
        if rooms.missing:
            raise _invalid("transport", f"LIVEKIT needs {', '.join(rooms.missing)}")
        if request.room:
            check_name(request.room)
    elif request.room:
        raise _invalid("room", "a room needs the transport LIVEKIT")
    publisher = publisher_of(request, avatars[avatar_id])
    if len(request.egress_target) > _MAX_VALUE:
        raise _invalid("egress_target", f"longer than {_MAX_VALUE} characters")
    if request.idempotency_key:
        check_id("idempotency_key", request.idempotency_key)
    if len(request.locale) > _MAX_KEY:
        raise _invalid("locale", f"longer than {_MAX_KEY} characters")
    _check_metadata(request.metadata)
    avatar = _served_by(avatars[avatar_id], request.egress_target)
    return Wanted(request, avatar_id, avatar, publisher)


def _check_metadata(metadata: Mapping[str, str]) -> None:
    too_long = any(
        len(key) > _MAX_KEY or len(value) > _MAX_VALUE for key, value in metadata.items()
    )
    if len(metadata) > _MAX_METADATA or too_long:
        raise _invalid(
            "metadata",
            f"at most {_MAX_METADATA} entries, keys to {_MAX_KEY} and values to {_MAX_VALUE} "
            "characters",
        )


def _served_by(avatar: Avatar, egress_target: str) -> Avatar:
    """The avatar, with its client at this egress instance."""
    if not egress_target:
        return avatar
    stages = avatar.stages.model_copy(update={"egress": egress_target})
    return avatar.model_copy(update={"stages": stages})


def _invalid(field: str, problem: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_INVALID_FIELD, f"{field}: {problem}")
