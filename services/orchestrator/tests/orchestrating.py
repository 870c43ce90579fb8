"""An orchestrator with scripted stages, served over HTTP on a free port of loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from scripted import ScriptedStages
from stagekit.admission import Admission
from stagewire_orchestrator import avatars
from stagewire_orchestrator.http.app import build_app
from stagewire_orchestrator.http.server import HttpServer
from stagewire_orchestrator.rooms import Rooms
from stagewire_orchestrator.sessions import Sessions
from stagewire_orchestrator.settings import OrchestratorSettings
from stagewire_orchestrator.stages.channels import Channels
from stagewire_orchestrator.tokens import ApiTokens

PROFILES = {
    "echo": avatars.Avatar(name="Echo", persona="You repeat.", greeting="Hello there."),
    "mute": avatars.Avatar(name="Mute", persona="You repeat."),
    "lost": avatars.Avatar(
        name="Lost", persona="-", stages=avatars.Stages(motion_bridge="127.0.0.1:1")
    ),
    "face": avatars.Avatar(
        name="Face", persona="You repeat.", motion_avatar_id="aed008e4-8ddf-41aa-b5b2-5d7321dd4165"
    ),
}


@dataclass
class Orchestrator:
    sessions: Sessions
    http: httpx.AsyncClient
    stages: ScriptedStages
    admission: Admission
    rooms: Rooms
    url: str

    async def create(self, avatar_id: str = "mute", **headers: str) -> Any:
        body = {"avatar_id": avatar_id}
        answer = await self.http.post("/v1/sessions", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()


@asynccontextmanager
async def orchestrator(max_sessions: int = 4, **more: Any) -> AsyncIterator[Orchestrator]:
    stages = ScriptedStages()
    async with stages.serving() as target:
        names = ("asr", "llm", "tts", "motion_bridge", "egress")
        settings = OrchestratorSettings(**{f"{name}_target": target for name in names}, **more)
        admission, channels = Admission(max_sessions), Channels(settings)
        rooms, tokens = Rooms(settings), ApiTokens(settings.token_seconds)
        sessions = Sessions(settings, PROFILES, channels, admission, rooms, tokens)
        app = build_app(settings, sessions, rooms, tokens)
        try:
            async with (
                _serving(app) as url,
                httpx.AsyncClient(base_url=url, trust_env=False) as http,
            ):
                yield Orchestrator(sessions, http, stages, admission, rooms, url)
        finally:
            await sessions.close()
            await rooms.close()
            await channels.close()


@asynccontextmanager
async def _serving(app: FastAPI) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(app)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True


async def summaries(orch: Orchestrator, session_id: str, count: int) -> list[Any]:
    """The first ``count`` turn summaries of a session."""
    found: list[Any] = []
    async with asyncio.timeout(10):
        async for event in orch.sessions.events(session_id):
            if event.WhichOneof("event") == "turn_summary":
                found.append(event.turn_summary)
                if len(found) == count:
                    break
    return found


async def first_events(orch: Orchestrator, session_id: str, arm: str) -> list[Any]:
    """The session's events up to the first of an arm."""
    found: list[Any] = []
    async with asyncio.timeout(10):
        async for event in orch.sessions.events(session_id):
            found.append(event)
            if event.WhichOneof("event") == arm:
                break
    return found
