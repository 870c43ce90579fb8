"""How large a request may be, and how many may come."""

from __future__ import annotations

from collections.abc import Callable

from stagekit.allowance import Allowances
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from starlette.types import ASGIApp, Receive, Scope, Send

from stagewire_orchestrator.http.auth import ApiKeys, bearer
from stagewire_orchestrator.http.problems import respond

MAX_BODY_BYTES = 64 * 1024
# A page that loads asks for a few things at once.
_BURST_SECONDS = 6.0
# A probe that is refused would have the service restarted when it is most needed.
_PROBES = frozenset({"/healthz", "/health"})


class Limits:
    """Middleware: refuses what is too large or too much, before anything reads it.

    Args:
        app: What comes after.
        keys: A caller with a key has an allowance of its own; others have one for each address.
        per_minute: Requests taken for ever.
        clock: Monotonic seconds.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, per_minute: float, clock: Callable[[], float]
    ) -> None:
        """Nobody has called yet."""
        self._app = app
        self._keys = keys
        rate = per_minute / 60.0
        self._allowances = Allowances(rate, max(1.0, rate * _BURST_SECONDS), clock)
        self._wait = 1.0 / rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one request."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            status = 413 if refusal.reason == error_pb2.ERROR_REASON_MESSAGE_TOO_LARGE else None
            await respond(refusal, status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> StageError | None:
        headers = dict(scope["headers"])
        if scope["path"] not in _PROBES:
            shown = bearer(headers)
            client = scope["client"]
            caller = (shown and self._keys.match(shown)) or (client[0] if client else "")
            if not self._allowances.take(caller):
                return StageError(
                    error_pb2.ERROR_REASON_PEER_TOO_SLOW,
                    "too many requests from this key or address",
                    retry_after=self._wait,
                )
        # Without a length the body would have to be read to be measured.
        length = headers.get(b"content-length", b"0")
        unmeasured = b"transfer-encoding" in headers
        if unmeasured or not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return StageError(
                error_pb2.ERROR_REASON_MESSAGE_TOO_LARGE,
                f"the body needs a content-length of at most {MAX_BODY_BYTES} bytes",
            )
        return None
