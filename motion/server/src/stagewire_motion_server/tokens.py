"""Session tokens: opaque, short-lived, single-use unless told otherwise."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from stagewire_motion_server import refusals
from stagewire_motion_server.refusals import Refusal

LONGEST_SECONDS = 24 * 3600
"""A token's life ends less than this after it is made."""

_AT_MOST = 10_000


class Tokens:
    """The tokens that are good now.

    Args:
        now: The time, in Unix seconds.
        reusable: Whether a token opens more than one session.
    """

    def __init__(self, now: Callable[[], float], reusable: bool = False) -> None:
        """None yet."""
        self._now = now
        self._reusable = reusable
        self._expiries: dict[str, float] = {}

    def __len__(self) -> int:
        """How many are held, expired ones too until they are in the way."""
        return len(self._expiries)

    def issue(self, expire_at: object) -> str:
        """A new token.

        Args:
            expire_at: Unix seconds, as the client gave it.

        Raises:
            ValueError: ``expire_at`` is no integer, or not within the next 24 hours.
            OverflowError: Too many tokens are held.
        """
        if not isinstance(expire_at, int) or isinstance(expire_at, bool):
            raise ValueError("expireAt must be an integer: Unix time in seconds")
        if not 0 < expire_at - self._now() < LONGEST_SECONDS:
            raise ValueError("expireAt must be in the future, by less than 24 hours")
        if len(self._expiries) >= _AT_MOST:
            self._forget_expired()
        if len(self._expiries) >= _AT_MOST:
            raise OverflowError(f"{_AT_MOST} session tokens are unused; none is made until some go")
        token = secrets.token_urlsafe(32)
        self._expiries[token] = float(expire_at)
        return token

    def check(self, token: str) -> float | Refusal:
        """When the token expires, or why it opens nothing."""
        expiry = self._expiries.get(token)
        if expiry is None:
            return refusals.INVALID_TOKEN
        if expiry <= self._now():
            return refusals.EXPIRED_TOKEN
        return expiry

    def use(self, token: str) -> None:
        """A session opens with it."""
        if not self._reusable:
            self._expiries.pop(token, None)

    def _forget_expired(self) -> None:
        now = self._now()
        self._expiries = {token: expiry for token, expiry in self._expiries.items() if expiry > now}
