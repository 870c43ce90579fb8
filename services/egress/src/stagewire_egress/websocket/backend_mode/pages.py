"""What `/ws/agent`'s clients fetch from the same port: `/api/config` and `/healthz`."""

from __future__ import annotations

import http
import json
import re
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from stagewire_egress.settings import EgressSettings
from stagewire_egress.websocket.backend_mode.messages import HERTZ

AGENT_PATH: Final = "/ws/agent"
_MAX_REQUEST_BYTES = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*(?=\r\n|$)", re.IGNORECASE)


def public_config(settings: EgressSettings, avatar_id: str) -> dict[str, Any]:
    """What a client may know: never a key."""
    return {
        "appId": settings.spatius_app_id,
        "avatarId": avatar_id,
        "region": settings.spatius_region.partition(",")[0],  # others are for failing over
        "outputSampleRate": HERTZ,
        "inputSampleRate": HERTZ,
    }


class Pages:
    """Answers plain HTTP requests.

    Args:
        settings: The stage's settings.
    """

    def __init__(self, settings: EgressSettings) -> None:
        """Answers by these."""
        self._settings = settings
        self._origins = [origin for origin in settings.origins() if origin is not None]
        self._missing = [] if settings.spatius_app_id else ["SPATIUS_APP_ID"]

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer; None when there is no such page."""
        match request.path.partition("?")[0], request.method:
            case "/healthz", "GET":
                body = {"ok": not self._missing, "missing": self._missing}
            case "/api/config", "GET":
                body = {
                    **public_config(self._settings, self._settings.spatius_avatar_id),
                    "missing": {"sample": self._missing, "realtime": self._missing},
                    "clips": [],
                    "clipsHint": "this server has no sample clips",
                }
            case "/api/config", "POST":
                # A page that offers to edit settings goes on when they were taken.
                body = {"ok": True, "saved": [], "message": "settings are the environment's"}
            case (("/healthz" | "/api/config"), "OPTIONS"):
                body = {}
            case _:
                return None
        response = connection.respond(http.HTTPStatus.OK, json.dumps(body))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        self._allow(request.headers.get("Origin", ""), response)
        return response

    def _allow(self, origin: str, response: Response) -> None:
        response.headers["Vary"] = "Origin"
        if any(allowed.fullmatch(origin) for allowed in self._origins):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Access-Control-Allow-Headers"] = "Content-Type"


class PageConnection(ServerConnection):
    """Also takes a POST with a small body, which no page reads and the library would refuse."""

    _held: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        """Hands on what comes; of a POST, the head when its body has come too."""
        if self._held is None:
            super().data_received(data)
            return
        self._held += data
        if not b"POST ".startswith(self._held[:5]):
            self._hand_on(self._held)
            return
        head, end, body = self._held.partition(b"\r\n\r\n")
        if len(self._held) > _MAX_REQUEST_BYTES:
            self.transport.abort()
        elif end:
            length = _LENGTH.search(head)
            if length is None or len(body) >= int(length[1]):
                self._hand_on(_LENGTH.sub(b"", head) + end)

    def _hand_on(self, data: bytes) -> None:
        self._held = None
        super().data_received(data)
