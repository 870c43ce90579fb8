"""What a room is told: state, transcriptions, events."""

from __future__ import annotations

import asyncio
from typing import Any

from support.livekit_turns import speak, tone


async def _event(orchestrator: Any, sequence: int, **event: Any) -> None:
    await orchestrator.say(event={"session_id": "s", "sequence": sequence, **event})


async def test_the_avatars_state_is_an_attribute(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await user.until_attribute("lk.agent.state", "initializing")
    for number, state in enumerate(("LISTENING", "THINKING", "SPEAKING", "LISTENING"), start=1):
        await _event(orchestrator, number, state_changed={"state": f"CONVERSATION_STATE_{state}"})
        await user.until_attribute("lk.agent.state", state.lower())
    assert user.avatar is not None
    assert user.avatar.attributes["ready"] == "1"
    await user.until(lambda: len(user.events) == 5)
    events = [event for event in user.events if event["type"] == "event"]
    (joined,) = (event for event in user.events if event["type"] == "joined")
    assert joined["voice"] == {"sample_rate_hertz": 24_000}
    assert joined["motion"] == {
        "codec": "stagewire.arkit52",
        "frame_rate": 25,
        "idle": ["aWRsZQ=="],
    }
    assert [event["event"]["sequence"] for event in events] == ["1", "2", "3", "4"]


async def test_words_are_shown_as_they_sound_and_stay_as_they_were_heard(
    stage: Any, room: str
) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await orchestrator.wait("participant", seconds=10)
    text = "Rome is the capital of Italy."
    await _event(orchestrator, 1, turn=1, avatar_transcript={"text": text})
    words, at = [], 0
    for number, word in enumerate(text.split()):
        start = text.index(word, at)
        at = start + len(word)
        begin = number * 12_000
        span = {"start_sample": begin, "end_sample": begin + 12_000}
        words.append({"text": word, "text_start": start, "text_end": at, **span})
    await orchestrator.say(turn_start={"turn": 1})
    await orchestrator.say(words={"turn": 1, "words": words})
    await orchestrator.audio(1, 0, 36_000, tag=3)
    await orchestrator.audio(1, 36_000, 36_000, tag=3)
    await user.until(lambda: user.captions and user.captions[0].text == "Rome is")
    (caption,) = user.captions
    assert not caption.closed
    await user.until(lambda: caption.text == "Rome is the")
    await orchestrator.say(interrupt={"turn": 1})
    await orchestrator.wait("turn_ended")
    summary = {"text": text, "heard_characters": 11, "reason": "TURN_END_REASON_INTERRUPTED"}
    await _event(orchestrator, 2, turn=1, turn_summary=summary)
    await user.until(lambda: caption.closed)
    assert caption.text in ("Rome is the", "Rome is the capital")
    assert caption.identity == "avatar"
    assert caption.attributes["lk.transcription_final"] == "true"
    assert caption.attributes["lk.segment_id"] == "turn-1"
    assert user.avatar is not None
    assert caption.attributes["lk.transcribed_track_id"] in user.avatar.track_publications


async def test_a_completed_turn_is_shown_whole(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    await orchestrator.wait("participant", seconds=10)
    await _event(orchestrator, 1, turn=1, avatar_transcript={"text": "Yes."})
    await speak(orchestrator, 1, tone(440, 0.3))  # a tts without words
    await orchestrator.wait("turn_ended")
    await _event(orchestrator, 2, turn=1, turn_summary={"text": "Yes.", "heard_characters": 4})
    await user.until(lambda: user.captions and user.captions[0].closed)
    assert user.captions[0].text == "Yes."


async def test_the_users_words_are_theirs(stage: Any, room: str) -> None:
    orchestrator = await stage.session(room)
    user = await stage.user(room)
    async with user.microphone() as microphone:
        await microphone.tone(1000, 0.4)
        for text, final in (("What", False), ("What is", False), ("What is it?", True)):
            await _event(orchestrator, 1, user_transcript={"text": text, "final": final})
            await asyncio.sleep(0.1)
        await _event(orchestrator, 2, user_transcript={"text": "And then?", "final": True})
        await user.until(lambda: len(user.captions) == 4 and all(c.closed for c in user.captions))
    assert [c.text for c in user.captions] == ["What", "What is", "What is it?", "And then?"]
    assert {c.identity for c in user.captions} == {"ann"}
    assert [c.attributes["lk.transcription_final"] for c in user.captions] == [
        "false",
        "false",
        "true",
        "true",
    ]
    segments = [c.attributes["lk.segment_id"] for c in user.captions]
    assert len(set(segments[:3])) == 1
    assert segments[3] != segments[0]
