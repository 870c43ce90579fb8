"""A fake of the orchestrator's SessionService: a session is one `Deliver` stream that a test plays.

It keeps what it was asked, and refuses avatars that it does not know.
"""

from __future__ import annotations

from typing import Any

from stagekit.admission import Admission
from stagekit.errors import StageError
from stagekit.server import Stage
from stagewire.common.v1 import describe_pb2, error_pb2
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb
from stagewire.orchestrator.v1 import orchestrator_pb2_grpc

AVATARS = {"ava": "aed008e4-8ddf-41aa-b5b2-5d7321dd4165", "max": ""}


class FakeSessions(orchestrator_pb2_grpc.SessionServiceServicer):
    """Give it ``bench`` when egress stands."""

    def __init__(self, **opening: Any) -> None:
        self.bench: Any = None
        self.opening = opening
        self.asked: list[pb.CreateSessionRequest] = []
        self.orchestrators: list[Any] = []
        self.ended: list[str] = []
        self.shown: list[str] = []
        self.elsewhere = False

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Any
    ) -> pb.CreateSessionResponse:
        self.asked.append(request)
        self.shown.append(_authorization(context))
        names = {**{name: name for name in AVATARS}, **{v: k for k, v in AVATARS.items() if v}}
        avatar_id = names.get(request.avatar_id or "ava", "")
        if not avatar_id:
            raise StageError(error_pb2.ERROR_REASON_UNKNOWN_AVATAR, "there is no such avatar id")
        session_id = f"s{len(self.asked)}"
        if not self.elsewhere:
            self.orchestrators.append(await self.bench.session(session_id, **self.opening))
        session = pb.Session(
            session_id=session_id,
            avatar_id=avatar_id,
            motion_avatar_id=AVATARS[avatar_id],
            locale=request.locale or "en-US",
        )
        return pb.CreateSessionResponse(
            session=session, client_token=f"token-of-{session_id}-0123456789"
        )

    async def EndSession(
        self, request: pb.EndSessionRequest, context: Any
    ) -> pb.EndSessionResponse:
        self.ended.append(request.session_id)
        self.shown.append(_authorization(context))
        return pb.EndSessionResponse()

    def stage(self) -> Stage:
        return Stage(
            [],
            lambda server: orchestrator_pb2_grpc.add_SessionServiceServicer_to_server(self, server),
            describe_pb2.StageDescription(stage="fake"),
            Admission(100),
        )


def _authorization(context: Any) -> str:
    return str(dict(context.invocation_metadata()).get("authorization", ""))
