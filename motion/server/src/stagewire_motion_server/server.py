"""The two routes that the SDK needs, and the server around them.

aiohttp, because it refuses before the upgrade, closes with any code and cuts a connection without
more ado; and whoever uses the SDK has it already.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Callable

from aiohttp import web

from stagewire_motion_server import faults, refusals
from stagewire_motion_server.faces import Faces
from stagewire_motion_server.options import Options
from stagewire_motion_server.refusals import Refusal
from stagewire_motion_server.session import Client, Session
from stagewire_motion_server.tokens import Tokens

logger = logging.getLogger(__name__)

CONSOLE, INGRESS = "/v1/console", "/v2/driveningress"

_CREDITS_PER_SECOND = 10 / 60  # of each session
_TICK_SECONDS = 0.2
_PING_SECONDS = 30.0
_BODY_BYTES = 4096


class MotionServer:
    """All sessions, and what they share.

    Args:
        options: What it was told.
        faces: Who performs.
        now: The time, in Unix seconds.

    Raises:
        ValueError: ``options.fault`` names an unknown fault, or a value out of range.
    """

    def __init__(self, options: Options, faces: Faces, now: Callable[[], float]) -> None:
        """No session yet."""
        self.options = options
        self.tokens = Tokens(now, options.reusable_tokens)
        self.faults = faults.FaultBox(faults.parse(options.fault))
        self.credits = options.credits
        self.sessions: set[Session] = set()
        self._faces = faces
        self._now = now
        self._stopping = False

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_BODY_BYTES)
        app.router.add_post(f"{CONSOLE}/session-tokens", self._issue)
        app.router.add_get(f"{INGRESS}/websocket", self._connect)
        return app

    async def spend(self) -> None:
        """Takes credits while sessions run; without any left they end."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self.credits is None:
                continue
            cost = len(self.sessions) * _TICK_SECONDS * _CREDITS_PER_SECOND
            self.credits = max(0.0, self.credits - cost)
            if not self.credits:
                for session in self.sessions:
                    session.end(refusals.OUT_OF_CREDITS)

    async def stop(self) -> None:
        """Lets nobody in any more and closes every session."""
        self._stopping = True
        for session in self.sessions:
            session.end(refusals.STOPPING)
        for session in list(self.sessions):
            await session.closed.wait()  # each closes within a bounded time

    async def _issue(self, request: web.Request) -> web.Response:
        if (status := self.faults.current.token_status) is not None:
            self.faults.strike()
            return _console_error(status, "injected", "Injected", "a rehearsed failure")
        key = request.headers.get("X-Api-Key", "")
        if not any(hmac.compare_digest(key.encode(), k.encode()) for k in self.options.api_keys()):
            return _console_error(401, "unauthorized", "Unauthorized", "the API key is not known")
        try:
            body = json.loads(await request.read())
            expire_at = body.get("expireAt") if isinstance(body, dict) else None
            return web.json_response({"sessionToken": self.tokens.issue(expire_at)})
        except json.JSONDecodeError:
            return _console_error(400, "invalid_request", "Bad Request", "the body is not JSON")
        except ValueError as error:
            return _console_error(400, "invalid_request", "Bad Request", str(error))
        except OverflowError as error:
            return _console_error(503, "unavailable", "Service Unavailable", str(error))

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=_PING_SECONDS,
            max_msg_size=self.options.max_message_bytes,
            compress=False,  # what it would save on loopback costs more than it saves
            autoclose=False,
        )
        if not socket.can_prepare(request).ok:
            return web.json_response({"message": "expected a WebSocket"}, status=426)
        admitted = self._admit(request)
        if isinstance(admitted, Refusal):
            logger.info("refused: %d %s", admitted.status, admitted.message)
            return web.json_response({"message": admitted.message}, status=admitted.status)
        await socket.prepare(request)
        if self._stopping or len(self.sessions) >= self.options.max_sessions:
            ending = refusals.STOPPING if self._stopping else refusals.FULL
            await socket.close(code=ending.close_code or 1013, message=ending.reason.encode())
            return socket
        session = Session(
            socket, _abort(request), admitted, self.options, self.faults, self._faces.new
        )
        self.sessions.add(session)
        try:
            await session.run()
        finally:
            self.sessions.discard(session)
        return socket

    def _admit(self, request: web.Request) -> Client | Refusal:
        """Who may open a session; uses the token up."""
        if (status := self.faults.current.connect_status) is not None:
            self.faults.strike()
            return refusals.INJECTED.get(status, Refusal(status, "injected"))
        if self._stopping:
            return Refusal(503, "the server stops")
        app_id = request.headers.get("X-App-ID") or request.query.get("appId", "")
        token = request.headers.get("X-Session-Key") or request.query.get("sessionKey", "")
        avatar_id = request.query.get("id", "")
        expiry = self.tokens.check(token)
        if isinstance(expiry, Refusal):
            return expiry
        if not app_id:
            return refusals.APP_ID_MISSING
        if self.options.app_id and app_id not in self.options.app_id:
            return refusals.APP_ID_MISMATCH
        if not avatar_id or (self.options.avatar_id and avatar_id not in self.options.avatar_id):
            return refusals.AVATAR_NOT_FOUND
        if self.credits == 0:
            return refusals.NO_CREDITS
        self.tokens.use(token)
        return Client(app_id, avatar_id, expiry - self._now())


def _console_error(status: int, code: str, title: str, detail: str) -> web.Response:
    error = {"status": status, "code": code, "title": title, "detail": detail}
    return web.json_response({"errors": [error]}, status=status)


def _abort(request: web.Request) -> Callable[[], None]:
    transport = request.transport

    def abort() -> None:
        if transport is not None:
            transport.abort()

    return abort
