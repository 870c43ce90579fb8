"""Who may call: API keys for callers, a token of its own session for a client."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Annotated

import grpc
from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_orchestrator.tokens import ApiTokens

_HASHED = "sha256:"

_api_key = HTTPBearer(
    scheme_name="ApiKey",
    description="A key of STAGEWIRE_ORCHESTRATOR_API_KEYS; not asked for when there are none.",
    auto_error=False,
)
_session_token = HTTPBearer(
    scheme_name="SessionToken",
    bearerFormat="JWT",
    description="The `api_token` of one session: for this session only.",
    auto_error=False,
)
ApiKey = Annotated[HTTPAuthorizationCredentials | None, Security(_api_key)]
SessionToken = Annotated[HTTPAuthorizationCredentials | None, Security(_session_token)]


class ApiKeys:
    """The keys, by their hashes: what is kept opens nothing.

    Args:
        setting: As ``STAGEWIRE_ORCHESTRATOR_API_KEYS`` has them.
    """

    def __init__(self, setting: str) -> None:
        """Reads the setting, and the file that it names.

        Raises:
            SystemExit: When the file cannot be read or a hash is none; never quotes a key.
        """
        entries = [entry.strip() for entry in setting.split(",")]
        for path in [entry[1:] for entry in entries if entry.startswith("@")]:
            try:
                entries += [line.strip() for line in Path(path).read_text("utf-8").splitlines()]
            except OSError as error:
                raise SystemExit(
                    f"STAGEWIRE_ORCHESTRATOR_API_KEYS: {path}: {error.strerror}"
                ) from error
        keys = [entry for entry in entries if entry and not entry.startswith(("@", "#"))]
        if setting.strip() and not keys:
            raise SystemExit("STAGEWIRE_ORCHESTRATOR_API_KEYS names no key")
        self._digests = [_digest_of(key) for key in keys]

    @property
    def required(self) -> bool:
        """Whether there are keys, so that one must be shown."""
        return bool(self._digests)

    def match(self, key: str) -> str:
        """A name for the key, for limits; empty for a wrong key. As slow for any wrong one."""
        shown = hashlib.sha256(key.encode()).digest()
        found = ""
        for digest in self._digests:
            if hmac.compare_digest(digest, shown):
                found = f"key {digest.hex()[:16]}"
        return found


class Guard:
    """Decides about each request.

    Args:
        keys: The callers' keys.
        tokens: The clients' tokens.
    """

    def __init__(self, keys: ApiKeys, tokens: ApiTokens) -> None:
        """Guards with these."""
        self._keys = keys
        self._tokens = tokens

    def caller(self, key: ApiKey) -> None:
        """Lets a caller through.

        Raises:
            StageError: UNAUTHENTICATED without a right key; PERMISSION_DENIED for a client's token.
        """
        if not self._keys.required or (key and self._keys.match(key.credentials)):
            return
        if key is None:
            raise _unauthenticated("send `Authorization: Bearer KEY`")
        session_id = self._tokens.session_of(key.credentials)
        raise _forbidden(f"this token is a client's, for session {session_id} alone")

    def participant(self, session_id: str, key: ApiKey, token: SessionToken) -> None:
        """Lets a caller through, or the client of this session.

        Raises:
            StageError: UNAUTHENTICATED, or PERMISSION_DENIED for another session's token.
        """
        shown = key or token
        if not self._keys.required or (shown and self._keys.match(shown.credentials)):
            return
        if shown is None:
            raise _unauthenticated("send `Authorization: Bearer KEY`, or the session's `api_token`")
        if self._tokens.session_of(shown.credentials) != session_id:
            raise _forbidden("the token is another session's")


def bearer(request_headers: dict[bytes, bytes]) -> str:
    """What was shown in ``Authorization: Bearer``; empty for nothing."""
    scheme, _, shown = request_headers.get(b"authorization", b"").partition(b" ")
    return shown.decode("latin-1").strip() if scheme.lower() == b"bearer" else ""


def _digest_of(key: str) -> bytes:
    if not key.startswith(_HASHED):
        return hashlib.sha256(key.encode()).digest()
    try:
        digest = bytes.fromhex(key.removeprefix(_HASHED))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise SystemExit("STAGEWIRE_ORCHESTRATOR_API_KEYS: 64 hexadecimal digits follow sha256:")
    return digest


def _unauthenticated(message: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_UNAUTHENTICATED, message)


def _forbidden(message: str) -> StageError:
    return StageError(
        error_pb2.ERROR_REASON_UNAUTHENTICATED, message, code=grpc.StatusCode.PERMISSION_DENIED
    )
