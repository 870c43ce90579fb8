"""The orchestrator's session API over HTTP, as a client needs it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

KEY_VARIABLE = "STAGEWIRE_API_KEY"
"""Holds the caller's API key, where the orchestrator asks for one."""
_TIMEOUT_SECONDS = 30.0


class SessionError(Exception):
    """No session could be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Session:
    """A created session: its ids, and how to join it. The token is a secret."""

    session_id: str
    trace_id: str
    join_url: str
    client_token: str


@asynccontextmanager
async def session(url: str, avatar_id: str = "", locale: str = "") -> AsyncIterator[Session]:
    """Creates a session and ends it after the block.

    Args:
        url: The orchestrator, such as ``http://127.0.0.1:8080``.
        avatar_id: The avatar; empty for the default.
        locale: The language, BCP 47; empty for the avatar's own.

    Raises:
        SessionError: When the orchestrator cannot be reached, or refuses.
    """
    wanted = {"avatar_id": avatar_id, "transport": "websocket", "locale": locale}
    async with _client(url) as http:
        given = {key: value for key, value in wanted.items() if value}
        body = await _answer(http.post("/v1/sessions", json=given), url)
        try:
            created = Session(
                session_id=body["session"]["session_id"],
                trace_id=body["session"].get("trace_id", ""),
                join_url=body["url"],
                client_token=body["client_token"],
            )
        except (KeyError, TypeError) as error:
            raise SessionError(f"{url} is not an orchestrator: its answer lacks {error}") from error
        try:
            yield created
        finally:
            # It may be over by itself, or the server gone: nothing is left to be done about either.
            with suppress(httpx.HTTPError):
                await http.delete(f"/v1/sessions/{created.session_id}")


async def timelines(url: str) -> list[dict[str, Any]]:
    """The sessions that the orchestrator keeps a timeline of, newest first.

    Raises:
        SessionError: When the orchestrator cannot be reached, or refuses.
    """
    async with _client(url) as http:
        listed: list[dict[str, Any]] = (await _answer(http.get("/v1/timelines"), url))["sessions"]
        return listed


async def timeline(url: str, session_id: str) -> dict[str, Any]:
    """One session's timeline, as docs/openapi.json describes it.

    Raises:
        SessionError: When the orchestrator cannot be reached, or refuses.
    """
    async with _client(url) as http:
        path = f"/v1/sessions/{quote(session_id, safe='')}/timeline"
        return await _answer(http.get(path), url)


def _client(url: str) -> httpx.AsyncClient:
    key = os.environ.get(KEY_VARIABLE, "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(
        base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False, headers=headers
    )


async def _answer(asked: Awaitable[httpx.Response], url: str) -> dict[str, Any]:
    try:
        response = await asked
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise SessionError(f"{url} is not an http:// address") from error
    except httpx.ConnectError as error:
        raise SessionError(f"nothing answers at {url}: is `make demo` running?") from error
    except httpx.HTTPError as error:
        raise SessionError(f"{url} does not answer: {error or type(error).__name__}") from error
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    problem = body.get("error") if isinstance(body, dict) else None
    if isinstance(problem, dict):
        reason, message = problem.get("reason", "refused"), problem.get("message", "")
        if response.status_code == 401:
            message += f" (the key goes into {KEY_VARIABLE})"
        raise SessionError(f"the orchestrator refuses: {reason}: {message}")
    raise SessionError(f"{url} answers {response.status_code}: is that the orchestrator?")
