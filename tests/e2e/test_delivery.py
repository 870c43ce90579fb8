"""Rooms into which the Motion Server publishes by itself: real models, SDK and LiveKit server.

The avatar ``engine`` chooses so in its profile. Its motion_bridge hands the local Motion Server a
token for the room; what a person hears comes from that server's own track.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from stagewire_cli import wav
from support.hearing import transcribe, words
from support.livekit import required
from support.motion_server import MotionServer
from support.processes import Service
from support.room import VOICE_HERTZ, User
from support.stack import SPEECH, TRANSCRIPTS, Stack

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]

STORY = "Tell me a long story about a fox and a crow."


class Talk:
    """One person in a session's room."""

    def __init__(self, user: User, http: httpx.AsyncClient, session: dict[str, Any]) -> None:
        self.user, self._http, self.session = user, http, session

    def summaries(self) -> list[dict[str, Any]]:
        """Of the turns that have ended, without those that were superseded."""
        events = [event["event"] for event in self.user.events if event["type"] == "event"]
        ended = [event["turn_summary"] for event in events if "turn_summary" in event]
        return [summary for summary in ended if not summary["reason"].endswith("SUPERSEDED")]

    def notices(self) -> list[str]:
        """What was announced as wrong."""
        events = [event["event"] for event in self.user.events if event["type"] == "event"]
        return [event["notice"]["message"] for event in events if "notice" in event]

    async def summary(self, number: int, seconds: float = 60.0) -> dict[str, Any]:
        """Of the number-th turn that ends, from 1."""
        await self.user.until(lambda: len(self.summaries()) >= number, seconds)
        return self.summaries()[number - 1]

    async def sound(self, since: float, seconds: float = 30.0) -> float:
        """When something is heard next."""

        def loud() -> float | None:
            heard = (at for at, pcm in self.user.voice if at > since and np.abs(pcm).max() > 0.03)
            return next(heard, None)

        return await self.user.until(loud, seconds)

    async def story(self, seconds: float) -> None:
        """Asks for a long answer, and listens so long to it."""
        began = time.perf_counter()
        await self.user.type(STORY)
        await self.sound(began)
        await asyncio.sleep(seconds)

    def recording(self, since: float = 0.0) -> bytes:
        """What was heard since then, as PCM."""
        return (self.user.heard(since) * 32767).astype("<i2").tobytes()

    async def stop(self) -> None:
        """Presses "stop"."""
        await self.user.room.local_participant.perform_rpc(
            destination_identity=f"agent-{self.session['session_id']}",
            method="stagewire.interrupt",
            payload="",
        )


@asynccontextmanager
async def talking(stack: Stack) -> AsyncIterator[Talk]:
    required(stack.livekit)
    async with httpx.AsyncClient(base_url=stack.url, timeout=30, trust_env=False) as http:
        wanted = {"transport": "livekit", "avatar_id": "engine"}
        created = (await http.post("/v1/sessions", json=wanted)).json()
        session = created["session"]
        assert session["publisher"] == "PUBLISHER_MOTION_ENGINE"
        session_id = session["session_id"]
        avatar, engine = f"agent-{session_id}", f"motion-engine-{session_id}"
        user = User(created["url"], created["client_token"], avatar, engine)
        await user.join()
        try:
            await user.until_attribute("ready", "1")
            await user.until(lambda: user.track)
            yield Talk(user, http, session)
        finally:
            await user.leave()
            await http.delete(f"/v1/sessions/{session_id}")


async def test_a_spoken_question_is_answered_on_the_motion_servers_own_track(
    stack: Stack, bridge: Service
) -> None:
    async with talking(stack) as talk:
        user = talk.user
        assert user.avatar is not None
        assert not user.avatar.track_publications, "egress publishes nothing"
        async with user.microphone(16_000) as microphone:
            await microphone.silence(0.5)
            await microphone.speak(wav.read(SPEECH / "go-forward.wav", 16_000))
            spoke = time.perf_counter()
            listening = asyncio.create_task(microphone.silence(60))
            sounded = await talk.sound(spoke)
            summary = await talk.summary(1)
            listening.cancel()
            await asyncio.wait([listening])
        assert summary["reason"] == "TURN_END_REASON_COMPLETED"
        await user.until(lambda: user.captions and all(c.closed for c in user.captions))
        captions = {caption.identity: caption.text for caption in user.captions}
        asked = set(words(TRANSCRIPTS["go-forward.wav"]))
        understood = set(words(captions[user.room.local_participant.identity]))
        assert len(asked & understood) >= 0.7 * len(asked)
        assert words(captions[f"agent-{talk.session['session_id']}"]) == words(summary["text"])
        heard = await transcribe(stack, talk.recording(), VOICE_HERTZ)
        said = set(words(summary["text"]))
        assert len(said & set(words(heard))) >= 0.7 * len(said), (summary["text"], heard)
        assert not user.packets, "motion is the Motion Server's affair"
        print(f"\nend of recording to first sound {sounded - spoke:.2f} s")


async def test_an_interruption_is_silent_and_history_has_just_what_was_reported(
    stack: Stack, bridge: Service
) -> None:
    async with talking(stack) as talk:
        await talk.story(1.5)
        stopped = time.perf_counter()
        await talk.stop()
        summary = await talk.summary(1, 10)
        answered = time.perf_counter() - stopped
        await asyncio.sleep(2.0)
        assert summary["reason"] == "TURN_END_REASON_INTERRUPTED"
        loud = [at for at, pcm in talk.user.voice if np.abs(pcm).max() > 0.03]
        print(f"\nstop to last sound {loud[-1] - stopped:.2f} s, to the report {answered:.2f} s")
        assert loud[-1] - stopped < 1.0
        assert answered < 2.0, "the Motion Server's own report came, not the timer"
        counted = summary["text"][: summary["heard_characters"]]
        heard = words(await transcribe(stack, talk.recording(), VOICE_HERTZ))
        print(f"heard {heard}, counts as heard: {counted!r}")
        assert 0 < len(words(counted)) < len(words(summary["text"]))
        assert abs(len(heard) - len(words(counted))) <= 3, "the last word is cut, some are misheard"
        assert len(set(heard) & set(words(counted))) >= 0.6 * len(set(words(counted)))
        again = time.perf_counter()
        await talk.user.type("What was my question?")
        await talk.sound(again)
        assert (await talk.summary(2))["reason"] == "TURN_END_REASON_COMPLETED"


async def test_without_a_report_an_interrupted_answer_counts_as_unheard(
    stack: Stack, motion_server: MotionServer, bridge: Service
) -> None:
    async with talking(stack) as talk:
        motion_server.faults(playback="silent")
        try:
            await talk.story(1.0)
            stopped = time.perf_counter()
            await talk.stop()
            summary = await talk.summary(1, 10)
            assert time.perf_counter() - stopped > 1.5
        finally:
            motion_server.faults()
        assert summary["reason"] == "TURN_END_REASON_INTERRUPTED"
        assert not summary.get("played_samples"), "JSON leaves a 0 out"
        assert not summary.get("heard_characters")
        await talk.user.type("Say one short sentence.")
        assert (await talk.summary(2))["reason"] == "TURN_END_REASON_COMPLETED"


async def test_a_motion_server_killed_in_mid_turn_costs_a_pause_not_the_conversation(
    stack: Stack, motion_server: MotionServer, bridge: Service
) -> None:
    async with talking(stack) as talk:
        await talk.story(1.0)
        motion_server.kill()
        summary = await talk.summary(1, 15)
        assert summary["reason"] == "TURN_END_REASON_FAILED"
        assert any("Motion Server" in notice for notice in talk.notices())
        motion_server.start()
        again = time.perf_counter()
        await talk.user.type("Say one short sentence.")
        await talk.sound(again)
        assert (await talk.summary(2))["reason"] == "TURN_END_REASON_COMPLETED"
        print(f"\nlost, and heard again after {await talk.sound(again) - again:.2f} s")
