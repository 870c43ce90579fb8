"""The messages of the wire that are not motion."""

from __future__ import annotations

from importlib.util import find_spec

from google.protobuf.message import DecodeError
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as pb

from stagewire_motion_server import refusals
from stagewire_motion_server.audio import OPUS_RATES, PCM_RATES
from stagewire_motion_server.refusals import Ending

_RATES: dict[pb.AudioFormat.ValueType, tuple[int, ...]] = {
    pb.AUDIO_FORMAT_UNSPECIFIED: PCM_RATES,
    pb.AUDIO_FORMAT_OGG_OPUS: OPUS_RATES,
}


def parse(data: bytes) -> pb.Message:
    """A message from the client.

    Raises:
        ValueError: The bytes are none.
    """
    try:
        return pb.Message.FromString(data)
    except DecodeError:
        raise ValueError("invalid protobuf payload") from None


def confirmation(connection_id: str) -> bytes:
    """The session stands."""
    message = pb.Message(type=pb.MESSAGE_TYPE_SERVER_CONFIRM_SESSION)
    message.confirm_session.connection_id = connection_id
    return message.SerializeToString()


def error(connection_id: str, req_id: str, code: int, text: str) -> bytes:
    """Something failed: the session, or one req_id."""
    message = pb.Message(type=pb.MESSAGE_TYPE_SERVER_ERROR)
    message.server_error.connection_id = connection_id
    message.server_error.req_id = req_id
    message.server_error.code = code
    message.server_error.message = text
    return message.SerializeToString()


def objection(asked: pb.ConfigureSession) -> Ending | None:
    """Why a configuration cannot be served; None when it can."""
    rates = _RATES.get(asked.audio_format)
    if rates is None:
        return refusals.configuration(
            refusals.INVALID_ARGUMENT, f"unsupported audio format: {asked.audio_format}"
        )
    if asked.sample_rate not in rates:
        supported = ", ".join(map(str, rates))
        return refusals.configuration(
            refusals.FAILED_PRECONDITION,
            f"unsupported sample rate: {asked.sample_rate}; supported are {supported}",
        )
    if asked.transport_compression:
        return refusals.configuration(
            refusals.INVALID_ARGUMENT,
            f"unsupported transport compression: {asked.transport_compression}",
        )
    return _egress_objection(asked)


def _egress_objection(asked: pb.ConfigureSession) -> Ending | None:
    """As the real server: credentials are looked at first."""
    if asked.egress_type == pb.EGRESS_TYPE_UNSPECIFIED:
        return None
    if asked.egress_type != pb.EGRESS_TYPE_LIVEKIT:
        return refusals.NO_EGRESS
    room = asked.livekit_egress
    if not (room.api_token or (room.api_key and room.api_secret)):
        return refusals.configuration(
            refusals.UNAUTHENTICATED,
            "missing livekit credentials: provide api_token or both api_key and api_secret",
        )
    if not (room.url and room.room_name):
        return refusals.configuration(
            refusals.INVALID_ARGUMENT, "livekit_egress: url and room_name must not be empty"
        )
    if not room.api_token:
        return refusals.configuration(
            refusals.INVALID_ARGUMENT, "livekit_egress: this server takes api_token only"
        )
    return None if find_spec("livekit") else refusals.NO_EGRESS
