"""The two tables: every code has one meaning, and none tells a secret."""

from __future__ import annotations

import pytest
from spatius import AvatarSDKError, AvatarSDKErrorCode, SessionTokenError
from stagewire_motion_bridge.backends.spatius.errors import (
    CLOSE_CODES,
    SDK_CODES,
    Action,
    meaning,
    where,
)


def closed(code: int | None) -> AvatarSDKError:
    return AvatarSDKError(AvatarSDKErrorCode.connectionClosed, "closed", close_code=code)


def test_every_code_of_the_sdk_is_in_the_table() -> None:
    assert set(SDK_CODES) == set(AvatarSDKErrorCode)


@pytest.mark.parametrize("code", AvatarSDKErrorCode)
def test_a_code_means_the_same_whoever_raises_it(code: AvatarSDKErrorCode) -> None:
    found = meaning(AvatarSDKError(code, "words"))
    assert found == SDK_CODES[code]
    assert found.error("here").reason_name != "UNSPECIFIED"


@pytest.mark.parametrize(
    ("code", "action", "reason", "status"),
    [
        (1000, Action.REST, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (1001, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (1006, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (1009, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (1011, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (1012, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (None, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (4001, Action.STOP, "BACKEND_EXHAUSTED", "FAILED_PRECONDITION"),
        (4002, Action.FRESH, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (4003, Action.WAIT, "BACKEND_FULL", "RESOURCE_EXHAUSTED"),
        (4010, Action.FRESH, "BACKEND_UNAUTHENTICATED", "FAILED_PRECONDITION"),
        (4044, Action.STOP, "BACKEND_FAILED", "INTERNAL"),
        (4503, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
        (4599, Action.RETRY, "BACKEND_UNAVAILABLE", "UNAVAILABLE"),
    ],
)
def test_close_codes(code: int | None, action: Action, reason: str, status: str) -> None:
    found = meaning(closed(code))
    error = found.error("here")
    assert (found.action, error.reason_name, error.code.name) == (action, reason, status)
    assert code is None or code not in CLOSE_CODES or found == CLOSE_CODES[code]


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_api_key_says_so(status: int) -> None:
    """The SDK reads "unauthorized" as a wrong egress configuration."""
    error = SessionTokenError(
        "no", code=AvatarSDKErrorCode.invalidEgressConfig, http_status=status, raw_body="body"
    )
    found = meaning(error)
    assert found.action is Action.STOP
    assert "SPATIUS_API_KEY" in found.error(where(error)).message


@pytest.mark.parametrize("error", [OSError("x"), ValueError("x"), TimeoutError()])
def test_what_is_not_of_the_sdk_is_a_failed_connection(error: Exception) -> None:
    assert meaning(error) == SDK_CODES[AvatarSDKErrorCode.connectionFailed]


def test_the_vendors_words_are_not_passed_on() -> None:
    error = AvatarSDKError(
        AvatarSDKErrorCode.serverError,
        "said: token abc",
        phase="websocket_runtime",
        http_status=500,
        server_title="token abc",
        server_detail="token abc",
        connection_id="c1",
        req_id="r1",
        raw_body="token abc",
        close_reason="token abc",
    )
    shown = meaning(error).error(where(error)).message
    assert "abc" not in shown
    assert "connection=c1" in shown
    assert "request=r1" in shown
