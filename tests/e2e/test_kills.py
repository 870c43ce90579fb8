"""kill -9 of each stage between two turns of one conversation: the next turn works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from stagewire_cli import api
from stagewire_cli.client import Client, JoinError, join
from stagewire_cli.conversation import ConnectionLostError, Conversation, Question
from stagewire_cli.microphone import HERTZ
from support.stack import Stack, spoken, typed

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]


class KilledBetween(list[Question]):
    """Two questions; the stage dies after the first is answered."""

    def __init__(self, stack: Stack, stage: str, *questions: Question) -> None:
        super().__init__(questions)
        self._stack, self._stage = stack, stage

    def __iter__(self) -> Iterator[Question]:
        first, second = self[0], self[1]
        yield first
        self._stack.supervisor.kill(self._stage)
        yield second


@pytest.mark.parametrize("stage", ["asr", "llm", "tts", "motion_bridge"])
async def test_the_next_turn_works(stack: Stack, stage: str) -> None:
    pid = stack.supervisor.pid(stage)
    async with stack.client() as (_, client):
        conversation = Conversation(client, print)
        questions = KilledBetween(stack, stage, typed("Say hello."), spoken("go-forward"))
        await conversation.run(questions, None)
    turns = [turn for turn in conversation.transcript.turns.values() if turn.asked]
    assert conversation.unanswered == 0
    assert turns[-1].reason == "COMPLETED"
    assert "10 meters" in turns[-1].asked or "ten meters" in turns[-1].asked
    await stack.supervisor.ready(stage)
    assert stack.supervisor.pid(stage) != pid, "it really was another process"


async def test_a_client_comes_back_to_a_restarted_egress(stack: Stack) -> None:
    async with api.session(stack.url) as session, AsyncExitStack() as connections:
        client = await connections.enter_async_context(rejoin(session))
        questions = KilledBetween(stack, "egress", typed("Say hello."), typed("And bye."))
        with pytest.raises(ConnectionLostError):
            await Conversation(client, print).run(questions, None)
        await stack.supervisor.ready("egress")
        client = await connections.enter_async_context(rejoin(session))
        again = Conversation(client, print)
        await again.run([typed("What did you say first?")], None)
    assert again.unanswered == 0


@asynccontextmanager
async def rejoin(session: api.Session) -> AsyncIterator[Client]:
    """Joins as soon as the orchestrator has opened the session at egress (again)."""
    async with AsyncExitStack() as connection:
        async with asyncio.timeout(20):
            while True:
                with suppress(JoinError):
                    joining = join(session.join_url, session.client_token, HERTZ)
                    client = await connection.enter_async_context(joining)
                    break
                await asyncio.sleep(0.1)
        yield client


async def test_a_restarted_orchestrator_serves_new_sessions(stack: Stack) -> None:
    stack.supervisor.kill("orchestrator")
    await asyncio.sleep(0.2)
    await stack.supervisor.ready("orchestrator")
    conversation = await stack.talk(typed("Say hello."))
    assert conversation.unanswered == 0
