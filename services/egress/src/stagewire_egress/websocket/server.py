"""The WebSocket server: who may connect, and whose session it joins."""

from __future__ import annotations

import asyncio
import hmac
import http
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from stagekit import log
from stagekit.errors import StageError
from stagekit.tracing import trace_id_of
from stagewire.common.v1 import error_pb2
from stagewire.egress.v1 import egress_pb2
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from stagewire_egress.delivery import Delivery, Uplink
from stagewire_egress.settings import EgressSettings
from stagewire_egress.websocket import frames
from stagewire_egress.websocket.backend_mode import messages
from stagewire_egress.websocket.backend_mode.pages import AGENT_PATH, PageConnection, Pages
from stagewire_egress.websocket.backend_mode.sessions import SessionApi
from stagewire_egress.websocket.backend_mode.visit import Visit
from stagewire_egress.websocket.client import WebSocketClient
from stagewire_egress.websocket.connection import close
from stagewire_egress.websocket.frames import Close, Join
from stagewire_egress.websocket.native import NativeWire

logger = logging.getLogger(__name__)

JOIN_PATH = "/v1/join"
_MIN_TOKEN, _MAX_TOKEN = 16, 512
_WRITE_LIMIT_BYTES = 1 << 14
# Connections that have not shown a token yet; more are sent away.
_MAX_STRANGERS = 256


class WebSocketServer:
    """Serves the clients of the sessions that are open. A delivery target.

    Args:
        settings: The stage's settings.
        clock: Monotonic seconds.
    """

    features = WebSocketClient.features

    def __init__(
        self, settings: EgressSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Makes the server; ``start`` listens."""
        self._settings = settings
        self._clock = clock
        self._clients: dict[bytes, tuple[WebSocketClient, str]] = {}
        self._opened = asyncio.Event()  # set by the next session that opens, then a new one
        self._strangers = 0
        self._server: Server | None = None
        self._join_url = settings.public_url
        self._pages = Pages(settings)
        self._sessions = (
            SessionApi(
                settings.session_target,
                settings.instance_target,
                settings.session_key.get_secret_value(),
            )
            if settings.session_target
            else None
        )

    async def start(self) -> None:
        """Listens."""
        # At level debug the library logs what it receives, and that begins with the token.
        library = logging.getLogger(f"{__name__}.library")
        library.setLevel(logging.CRITICAL)
        settings = self._settings
        try:
            self._server = await serve(
                self._handle,
                settings.websocket_host,
                settings.websocket_port,
                origins=settings.origins(),
                process_request=self._admit,
                create_connection=PageConnection,
                compression=None,  # voice does not shrink, and inflating can exhaust memory
                max_size=frames.MAX_UPLINK_BYTES,
                write_limit=_WRITE_LIMIT_BYTES,
                open_timeout=settings.join_seconds,
                ping_interval=settings.ping_seconds,
                ping_timeout=settings.ping_seconds,
                close_timeout=1.0,
                server_header=None,
                logger=library,
            )
        except OSError as error:
            raise SystemExit(
                f"cannot listen on {settings.websocket_host}:{settings.websocket_port} "
                f"(STAGEWIRE_EGRESS_WEBSOCKET_HOST, _PORT): {error.strerror or error}"
            ) from error
        if not self._join_url:
            port = next(iter(self._server.sockets)).getsockname()[1]
            self._join_url = f"ws://{_reachable(settings.websocket_host)}:{port}{JOIN_PATH}"
        logger.info("websocket clients join at %s", self._join_url)

    async def stop(self) -> None:
        """Closes every connection."""
        if self._server is not None:
            self._server.close(code=Close.COME_BACK, reason="this instance stops; come back")
            await self._server.wait_closed()
        if self._sessions is not None:
            await self._sessions.close()

    @asynccontextmanager
    async def open(self, opening: egress_pb2.Open, uplink: Uplink) -> AsyncIterator[Delivery]:
        """Lets the session's client in while the block runs.

        Raises:
            StageError: INVALID_FIELD for a token of a wrong length, or one in use.
        """
        token = opening.web_socket.join_token
        if not _MIN_TOKEN <= len(token) <= _MAX_TOKEN:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"web_socket.join_token has {len(token)} characters; {_MIN_TOKEN} to {_MAX_TOKEN} "
                "are allowed",
            )
        key = token.encode()
        if key in self._clients:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                "web_socket.join_token is another session's; make a random one for each session",
            )
        client = WebSocketClient(opening, uplink, self._join_url, self._settings)
        self._clients[key] = client, trace_id_of(opening.trace.traceparent)
        opened, self._opened = self._opened, asyncio.Event()
        opened.set()
        try:
            yield client
        except BaseException:
            del self._clients[key]
            await client.close(Close.COME_BACK, "the session's stream broke; come back")
            raise
        del self._clients[key]
        await client.close(Close.ENDED, "the session ended")

    async def _handle(self, ws: ServerConnection) -> None:
        """One connection, from its opening to its close."""
        if self._strangers >= _MAX_STRANGERS:
            await close(ws, Close.TRY_LATER, "too many connections wait to join; try again")
            return
        if self._sessions is not None and _path(ws.request) == AGENT_PATH:
            await self._host(ws, self._sessions)
            return
        self._strangers += 1
        try:
            join = await self._await_join(ws)
            found = await self._await_session(join.token) if join is not None else None
        finally:
            self._strangers -= 1
        if join is None:
            return
        if found is None:
            await close(ws, Close.WRONG_TOKEN, "the token opens no session here")
            return
        client, trace_id = found
        log.session_id.set(client.session_id)
        log.trace_id.set(trace_id)
        logger.info("client joins")
        with suppress(ConnectionClosed):
            await client.serve(
                ws, lambda opening, uplink, _: NativeWire(opening, uplink, join, self._clock)
            )
        logger.info("client gone")

    async def _host(self, ws: ServerConnection, sessions: SessionApi) -> None:
        """A client that shows nothing, and gets a session."""
        visit = Visit(self._settings, sessions, self._client, self._clock)
        try:
            self._strangers += 1
            try:
                await visit.begin()
            finally:
                self._strangers -= 1
            await visit.serve(ws)
        except StageError as error:
            logger.info("no session for a client: %s: %s", error.reason_name, error.message)
            with suppress(ConnectionClosed):
                await ws.send(messages.error(error.message))
            await close(ws, Close.TRY_LATER, error.message)
        except ConnectionClosed:
            pass
        finally:
            await visit.leave()

    async def _await_join(self, ws: ServerConnection) -> Join | None:
        """The client's `join`; None when the connection was closed for want of a correct one."""
        try:
            async with asyncio.timeout(self._settings.join_seconds):
                message = await ws.recv()
            return frames.parse_join(message)
        except TimeoutError:
            await close(ws, Close.TIMEOUT, "no `join` came in time")
        except frames.MalformedError as error:
            await close(ws, Close.MALFORMED, error.message)
        except ConnectionClosed:
            pass
        return None

    async def _await_session(self, token: str) -> tuple[WebSocketClient, str] | None:
        """The session that the token opens; None when there is none, nor comes back in time.

        What cut the client off (a restart of egress, or of a proxy) may have cut off the
        orchestrator as well, and the client may be the first to come back.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.join_seconds):
                while (found := self._find(token)) is None:
                    await self._opened.wait()
                return found
        return None

    def _client(self, token: str) -> WebSocketClient | None:
        found = self._find(token)
        return found[0] if found is not None else None

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to what is no client's opening handshake; None for one that is."""
        path = _path(request)
        if path == JOIN_PATH or (path == AGENT_PATH and self._sessions is not None):
            return None
        if self._sessions is not None:
            page = self._pages.answer(connection, request)
            if page is not None:
                return page
        return connection.respond(http.HTTPStatus.NOT_FOUND, f"clients join at {JOIN_PATH}\n")

    def _find(self, token: str) -> tuple[WebSocketClient, str] | None:
        """The session that the token opens. Takes the same time for every wrong token."""
        shown = token.encode()
        found = None
        for key, entry in self._clients.items():
            if hmac.compare_digest(key, shown):
                found = entry
        return found


def _reachable(host: str) -> str:
    """A listening address as a client on this machine writes it in a URL."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _path(request: Request | None) -> str:
    return request.path.partition("?")[0] if request is not None else ""
