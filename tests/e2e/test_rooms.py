"""Two people talk to the avatar at the same time, each in a LiveKit room, with the real models."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from stagewire_cli import wav
from support.hearing import transcribe, words
from support.livekit import required
from support.room import VOICE_HERTZ, User
from support.stack import SPEECH, TRANSCRIPTS, Stack

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]


@dataclass
class Talk:
    """What one person experienced.

    Attributes:
        answer: The answer's text, as the session's record has it.
        heard: What asr hears in the track that was received.
        understood: The caption of what the person said.
        caption: The caption of the answer.
        to_ready: Seconds from the API call until the microphone may open.
        to_sound: Seconds from the end of speech to the first sound.
    """

    answer: str
    heard: str
    understood: str
    caption: str
    to_ready: float
    to_sound: float


async def talk(stack: Stack, recording: str) -> Talk:
    """Gets a session, speaks, and listens to the answer."""
    began = time.perf_counter()
    async with httpx.AsyncClient(base_url=stack.url, timeout=30, trust_env=False) as http:
        created = (await http.post("/v1/sessions", json={"transport": "livekit"})).json()
        session_id = created["session"]["session_id"]
        user = User(created["url"], created["client_token"], f"agent-{session_id}")
        await user.join()
        try:
            await user.until_attribute("ready", "1")
            to_ready = time.perf_counter() - began
            async with user.microphone(16_000) as microphone:
                await microphone.silence(0.5)
                await microphone.speak(wav.read(SPEECH / recording, 16_000))
                spoke = time.perf_counter()
                await _listen(user, microphone)
            summary = _summaries(user)[0]
            started = next(
                at for at, pcm in user.voice if at > spoke and np.max(np.abs(pcm)) > 0.03
            )
            voice = (user.heard() * 32767).astype("<i2").tobytes()
            captions = {caption.identity: caption.text for caption in user.captions}
            return Talk(
                answer=summary["turn_summary"]["text"],
                heard=await transcribe(stack, voice, VOICE_HERTZ),
                understood=captions[user.room.local_participant.identity],
                caption=captions[f"agent-{session_id}"],
                to_ready=to_ready,
                to_sound=started - spoke,
            )
        finally:
            await user.leave()
            await http.delete(f"/v1/sessions/{session_id}")


async def _listen(user: User, microphone: Any) -> None:
    """Stays silent until the answer is over and its captions are closed."""

    async def silent() -> None:
        while True:
            await microphone.silence(0.5)

    quiet = asyncio.create_task(silent())
    await user.until(lambda: _summaries(user), seconds=60)
    await user.until(lambda: all(caption.closed for caption in user.captions))
    quiet.cancel()
    await asyncio.wait([quiet])


def _summaries(user: User) -> list[dict[str, Any]]:
    events = [event["event"] for event in user.events if event["type"] == "event"]
    return [
        event
        for event in events
        if event.get("turn_summary", {}).get("reason") == "TURN_END_REASON_COMPLETED"
    ]


async def test_two_people_in_two_rooms_are_answered_in_their_own(stack: Stack) -> None:
    required(stack.livekit)
    recordings = ("go-forward.wav", "go-somewhere.wav")
    talks = await asyncio.gather(*(talk(stack, recording) for recording in recordings))
    for recording, one in zip(recordings, talks, strict=True):
        asked = words(TRANSCRIPTS[recording])
        assert len(set(asked) & set(words(one.understood))) >= 0.7 * len(set(asked))
        said = set(words(one.answer))
        assert len(said & set(words(one.heard))) >= 0.7 * len(said), (one.answer, one.heard)
        assert words(one.caption) == words(one.answer)
        print(
            f"\n{recording}: join to ready {one.to_ready:.2f} s, "
            f"end of recording to first sound {one.to_sound:.2f} s"
        )
