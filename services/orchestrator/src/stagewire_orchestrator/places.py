"""Where a session's client is, and who publishes there: what egress and motion_bridge are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.egress.v1.egress_pb2 import LiveKitTarget, WebSocketTarget
from stagewire.motion_bridge.v1.motion_bridge_pb2 import LiveKitRoom
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb

from stagewire_orchestrator.avatars import Avatar

ENGINE = pb.PUBLISHER_MOTION_ENGINE


@dataclass(frozen=True)
class Place:
    """One session's client; both are asked for each new stream, because tokens end.

    Attributes:
        egress: Where egress finds it.
        engine: The room that the motion engine publishes into by itself; None when egress
            publishes, and motion comes back.
    """

    egress: Callable[[], WebSocketTarget | LiveKitTarget]
    engine: Callable[[], LiveKitRoom] | None = None


def publisher_of(request: pb.CreateSessionRequest, avatar: Avatar) -> pb.Publisher.ValueType:
    """Who publishes: the caller's choice, else the avatar's; unspecified without a room.

    Raises:
        StageError: INVALID_FIELD when that cannot be.
    """
    if request.publisher not in pb.Publisher.values():
        raise _invalid("this version knows EGRESS and MOTION_ENGINE")
    if request.transport != pb.TRANSPORT_LIVEKIT:
        if request.publisher:
            raise _invalid("only a LiveKit room has one: ask for the transport LIVEKIT, too")
        return pb.PUBLISHER_UNSPECIFIED
    publisher = request.publisher or pb.Publisher.Value(f"PUBLISHER_{avatar.publisher.upper()}")
    if publisher == ENGINE and not avatar.motion_avatar_id:
        raise _invalid(
            "MOTION_ENGINE needs to know whom to show: give the avatar's profile a "
            "motion_avatar_id, or the default avatar one by SPATIUS_AVATAR_ID"
        )
    return publisher


def _invalid(problem: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_INVALID_FIELD, f"publisher: {problem}")
