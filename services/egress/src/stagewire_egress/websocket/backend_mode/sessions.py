"""The orchestrator, as egress asks it for sessions: the client is here already."""

from __future__ import annotations

import logging

import grpc
from stagekit.channel import connect
from stagekit.errors import from_rpc_error
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb
from stagewire.orchestrator.v1 import orchestrator_pb2_grpc

logger = logging.getLogger(__name__)

_CREATE_SECONDS, _END_SECONDS = 20.0, 5.0


class SessionApi:
    """Begins and ends sessions.

    Args:
        target: The orchestrator, host:port.
        instance_target: Where it reaches this instance of egress; empty: as it does anyway.
        key: What to show it; empty where it asks for none.
    """

    def __init__(self, target: str, instance_target: str, key: str) -> None:
        """Connects when it is first needed."""
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self._channel = connect(target)
        self._stub = orchestrator_pb2_grpc.SessionServiceStub(self._channel)
        self._instance_target = instance_target

    async def create(self, avatar_id: str, locale: str) -> pb.CreateSessionResponse:
        """A session whose client this instance serves.

        Raises:
            StageError: What the orchestrator answered.
        """
        request = pb.CreateSessionRequest(
            avatar_id=avatar_id,
            transport=pb.TRANSPORT_WEBSOCKET,
            locale=locale,
            egress_target=self._instance_target,
        )
        try:
            return await self._stub.CreateSession(
                request, metadata=self._metadata, timeout=_CREATE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def end(self, session_id: str) -> None:
        """Ends a session; if nobody hears it, it ends by itself for want of its client."""
        try:
            await self._stub.EndSession(
                pb.EndSessionRequest(session_id=session_id),
                metadata=self._metadata,
                timeout=_END_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            logger.warning("session %s was not ended: %s", session_id, error.code().name)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()
