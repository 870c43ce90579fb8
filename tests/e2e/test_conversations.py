"""Real conversations: recorded human speech, the real models, six processes."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from stagewire_cli import client as c
from stagewire_cli.conversation import Conversation, Question
from stagewire_cli.microphone import HERTZ
from stagewire_cli.transcript import Turn
from support.hearing import transcribe, words
from support.stack import TRANSCRIPTS, Stack, spoken, typed

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]


def answers(conversation: Conversation) -> list[Turn]:
    """The turns that answered something, in order."""
    return [turn for turn in conversation.transcript.turns.values() if turn.asked]


async def test_three_turns_with_a_memory(stack: Stack) -> None:
    conversation = await stack.talk(
        spoken("go-forward"),
        spoken("go-somewhere"),
        typed("What was the first thing I told you to do? How many meters?"),
    )
    first, second, third = answers(conversation)
    assert words(first.asked) == words(TRANSCRIPTS["go-forward.wav"])
    assert words(second.asked) == words(TRANSCRIPTS["go-somewhere.wav"])
    assert {turn.reason for turn in (first, second, third)} == {"COMPLETED"}
    assert "ten" in words(third.text)
    assert conversation.unanswered == 0


async def test_what_is_heard_is_what_the_model_said(stack: Stack) -> None:
    conversation = await stack.talk(spoken("librivox-0880"))
    (turn,) = answers(conversation)
    voice = b"".join(h.pcm for h in conversation.speaker.heard if h.turn == turn.number)
    heard = await transcribe(stack, voice, 24_000)
    said = words(turn.text)
    recognized = sum(word in words(heard) for word in said) / len(said)
    assert recognized >= 0.7, f"said {turn.text!r}, recognized {heard!r}"
    assert turn.heard_characters == len(turn.text)


async def test_motion_covers_the_voice_sample_for_sample(stack: Stack) -> None:
    voice: dict[int, int] = {}
    motion: dict[int, int] = {}
    async with stack.client("greeter") as (_, client), asyncio.timeout(60):
        asked = False
        async for message in client:
            match message:
                case c.Voice():
                    assert message.start_sample == voice.get(message.turn, 0)
                    voice[message.turn] = message.start_sample + len(message.pcm) // 2
                    await client.report(message.turn, voice[message.turn])
                case c.Motion():
                    assert message.start_sample == motion.get(message.turn, 0)
                    motion[message.turn] = message.end_sample
                case c.EndOfTurn():
                    await client.report(message.turn, message.sample_count)
                    if asked:
                        break
                    await client.type_text("Say one short sentence.")
                    asked = True
    assert len(voice) == 2
    for turn, samples in voice.items():
        assert 0 <= motion[turn] - samples < 480, "the last frame may reach beyond the last sample"


async def test_an_interruption_is_silence_and_a_truthful_memory(stack: Stack) -> None:
    conversation = await stack.talk(
        typed("Tell me a long story about a fisherman and the sea."),
        spoken("go-forward"),
        interrupt_after=1.5,
    )
    story, answer = answers(conversation)
    assert story.reason == "INTERRUPTED"
    assert story.heard_characters is not None
    assert story.heard_characters < len(story.text)
    assert story.played_seconds < 4, "the recording begins at once, and stops the story"
    assert words(answer.asked) == words(TRANSCRIPTS["go-forward.wav"])
    assert answer.reason == "COMPLETED"
    # Nothing of the story sounds after the answer began.
    turns = [heard.turn for heard in conversation.speaker.heard]
    assert turns == sorted(turns)


async def test_two_sessions_at_once_share_nothing(stack: Stack) -> None:
    one, two = await asyncio.gather(
        stack.talk(typed("My name is Sam."), typed("What is my name?")),
        stack.talk(typed("My name is Ruth."), typed("What is my name?")),
    )
    assert "sam" in words(answers(one)[-1].text)
    assert "ruth" in words(answers(two)[-1].text)
    for conversation, other in ((one, "ruth"), (two, "sam")):
        assert all(other not in words(turn.text) for turn in answers(conversation))


@pytest.mark.parametrize("kind", ["silence", "noise"])
async def test_nobody_speaking_is_not_answered(stack: Stack, kind: str) -> None:
    rng = np.random.default_rng(1)
    level = 0.0 if kind == "silence" else 0.03
    samples = rng.normal(0, 1, 5 * HERTZ).astype(np.float32) * level
    async with stack.client() as (_, client):
        conversation = Conversation(client, print, answer_seconds=2.0)
        await conversation.run([Question(kind, samples=samples)], None)
        assert conversation.unanswered == 1
        assert not answers(conversation)
