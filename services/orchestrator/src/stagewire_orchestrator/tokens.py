"""A client's API token: a JWT for one session, and for nothing else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import jwt
from google.protobuf.timestamp_pb2 import Timestamp
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

_ALGORITHM, _ISSUER = "HS256", "stagewire"


class ApiTokens:
    """Makes and checks them.

    The signing key is made at the start and shared with nobody: sessions do not outlive this
    process either.

    Args:
        seconds: How long a token is valid.
        clock: Seconds since the epoch.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        """Makes the signing key."""
        self._key = secrets.token_bytes(32)
        self._seconds = seconds
        self._clock = clock

    def mint(self, session_id: str) -> tuple[str, Timestamp]:
        """A token for the session, and when it ends."""
        expires = Timestamp(seconds=int(self._clock() + self._seconds))
        claims = {"iss": _ISSUER, "sub": session_id, "exp": expires.seconds}
        return jwt.encode(claims, self._key, _ALGORITHM), expires

    def session_of(self, token: str) -> str:
        """The session that the token is for.

        Raises:
            StageError: UNAUTHENTICATED.
        """
        try:
            claims = jwt.decode(
                token,
                self._key,
                [_ALGORITHM],
                # The expiry is checked below, by the clock that was passed in.
                {"require": ["exp", "iss", "sub"], "verify_exp": False},
                issuer=_ISSUER,
            )
        except jwt.InvalidTokenError:
            raise _refused("this is neither an API key nor a token made here") from None
        if claims["exp"] <= self._clock():
            raise _refused("the token has expired")
        return str(claims["sub"])


def _refused(problem: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_UNAUTHENTICATED, problem)
