"""A running stack as end-to-end tests use it: sessions, questions, whole conversations."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stagewire_cli import api, wav
from stagewire_cli.client import Client, join
from stagewire_cli.conversation import Conversation, Question
from stagewire_cli.microphone import HERTZ
from stagewire_cli.stack import Ports
from stagewire_cli.supervisor import Supervisor
from support.livekit import LiveKitServer

SPEECH = Path(__file__).parent.parent / "data" / "speech"
TRANSCRIPTS: dict[str, str] = json.loads((SPEECH / "transcripts.json").read_text())


@dataclass
class Stack:
    """The running services.

    Attributes:
        supervisor: Their processes.
        ports: Where they listen.
        mirror: Where the avatar ``mirror`` looks for its motion_bridge; nobody is there by itself.
        livekit: The server of its rooms, or None.
    """

    supervisor: Supervisor
    ports: Ports
    mirror: str = ""
    livekit: LiveKitServer | None = None

    @property
    def url(self) -> str:
        """The session API."""
        return f"http://127.0.0.1:{self.ports.orchestrator_http}"

    @asynccontextmanager
    async def client(self, avatar_id: str = "") -> AsyncIterator[tuple[api.Session, Client]]:
        """A session and its joined client."""
        async with (
            api.session(self.url, avatar_id) as session,
            join(session.join_url, session.client_token, HERTZ) as client,
        ):
            yield session, client

    async def talk(
        self, *questions: Question, interrupt_after: float | None = None
    ) -> Conversation:
        """A whole conversation in a session of its own."""
        async with self.client() as (_, client):
            conversation = Conversation(client, print)
            await conversation.run(questions, interrupt_after)
        return conversation


def spoken(name: str) -> Question:
    """A recording of a person, by its file's name without ending."""
    return Question(name, samples=wav.read(SPEECH / f"{name}.wav", HERTZ))


def typed(text: str) -> Question:
    """Typed text."""
    return Question("text", text=text)
