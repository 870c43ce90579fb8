"""`/ws/agent`, spoken by clients that say exactly what Spatius' demo clients say."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from backend_mode import CHUNK, SPATIUS, keyframes, speaks, until
from demo_clients import DemoClient, VariantA, VariantB
from fake_sessions import AVATARS
from stagewire.common.v1 import session_event_pb2, turn_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent
from websockets.exceptions import ConnectionClosed

# --- a conversation, by both variants -------------------------------------------------------


@pytest.mark.parametrize("kind", [VariantA, VariantB])
async def test_a_turn_arrives_as_voice_and_then_motion(
    backend: Any, kind: type[DemoClient]
) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(kind)
        ready = await client.wait("ready")
        assert ready["sessionId"] == "s1"
        assert ready["avatar"] == {
            "appId": "app",
            "avatarId": AVATARS["ava"],
            "region": "us-west",
            "outputSampleRate": 16_000,
            "inputSampleRate": 16_000,
        }
        await speaks(running.orchestrator, 1)
        await client.wait("avatar_audio", isLast=True)
        await client.wait("avatar_frames", isLast=True)
        assert abs(len(client.controller.audio) // 2 - 5 * CHUNK * 2 // 3) <= 1  # at 16 kHz
        fed = client.controller.fed
        assert fed[0] == ("audio", "c1"), "a client ties motion to the voice before it"
        frames = [what for name, what in fed if name == "frames"]
        assert [conversation for conversation, _ in frames] == ["c1"] * 5
        payloads = [payload for _, batch in frames for payload in batch]
        assert payloads == [keyframes()] * 4 + [keyframes(end=True)], "byte for byte"
        kinds = [(m["type"], m["isLast"]) for m in client.seen if "isLast" in m]
        assert kinds[-2:] == [("avatar_audio", True), ("avatar_frames", True)]
        assert kinds.count(("avatar_audio", True)) == kinds.count(("avatar_frames", True)) == 1
        turn_ids = {m["turnId"] for m in client.seen if "turnId" in m}
        assert turn_ids == {"s1-1"}
        if isinstance(client, VariantA):
            assert client.turns == {}
            assert client.dropped == 0
        ended = await running.orchestrator.wait("turn_ended")
        assert ended.reason == turn_pb2.TURN_END_REASON_COMPLETED
        assert ended.played_samples == 5 * CHUNK


async def test_clients_that_cannot_show_the_motion_get_voice_alone_and_are_told(
    backend: Any,
) -> None:
    async with backend() as running:  # stagewire.arkit52
        client = await running.connect(VariantA)
        told = await client.wait("status")
        assert "stagewire.arkit52" in told["message"]
        await speaks(running.orchestrator, 1)
        await client.wait("avatar_audio", isLast=True)
        assert [m["frames"] for m in client.all("avatar_frames")] == [[]]
        assert client.all("avatar_frames")[0]["isLast"]
        assert client.seen.index(client.all("avatar_audio")[0]) < client.seen.index(
            client.all("avatar_frames")[0]
        )


async def test_a_turn_whose_motion_fails_ends_as_audio_only(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        await speaks(running.orchestrator, 1, motion=False)
        assert (await client.wait("avatar_frames", isLast=True))["frames"] == []
        assert not [m for m in client.all("status") if "audio only" in m["message"]]


async def test_what_is_said_comes_to_both_variants(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        say = running.orchestrator.say
        for text, final in (("what is", False), ("what is the time", True)):
            said = session_event_pb2.UserTranscript(text=text, final=final)
            await say(event=SessionEvent(user_transcript=said))
        for text in ("It is", "It is noon."):
            avatar = session_event_pb2.AvatarTranscript(text=text)
            await say(event=SessionEvent(turn=1, avatar_transcript=avatar))
        await client.wait("transcript")
        await speaks(running.orchestrator, 1)
        assert (await client.wait("transcript", role="assistant"))["text"] == "It is noon."
        assert client.all("transcript", role="user") == [
            {"type": "transcript", "role": "user", "text": "what is the time"}
        ]
        assert [(m["event"], m.get("text")) for m in client.all("agent_event")] == [
            ("asr_interim", "what is"),
            ("asr_final", "what is the time"),
            ("tts_start", None),
            ("tts_end", None),
            ("llm_text", "It is noon."),
        ]
        state = session_event_pb2.StateChanged(state=session_event_pb2.CONVERSATION_STATE_THINKING)
        await say(event=SessionEvent(state_changed=state))
        await client.wait("status", message="thinking")


# --- interruption ---------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["client_interrupt", "barge_in", "agent_interrupt"])
async def test_an_interrupt_says_whose_it_was_and_tells_what_was_heard(
    backend: Any, who: str
) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        await running.orchestrator.say(turn_start={"turn": 1})
        for index in range(100):  # 4 s
            await running.orchestrator.audio(1, index * CHUNK, CHUNK)
        await running.orchestrator.wait("playback")
        if who == "client_interrupt":
            await client.send(type="interrupt")
            await running.orchestrator.wait("user_interrupt")
        elif who == "barge_in":
            await client.speak(bytes(8192))
            await running.orchestrator.wait("user_audio")
        await running.orchestrator.say(interrupt={"turn": 1})
        assert await client.wait("interrupt") == {"type": "interrupt", "reason": who}
        assert client.controller.fed[-1] == ("interrupt", None)
        ended = await running.orchestrator.wait("turn_ended")
        assert ended.reason == turn_pb2.TURN_END_REASON_INTERRUPTED
        assert 0 < ended.played_samples < 100 * CHUNK, "in real time, not as fast as it was sent"
        await speaks(running.orchestrator, 2)
        await client.wait("avatar_frames", isLast=True, turnId="s1-2")


# --- microphone and text --------------------------------------------------------------------


async def test_the_microphone_arrives_and_is_followed_by_silence(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        tone = (np.sin(np.arange(4096)) * 9000).astype("<i2").tobytes()
        for _ in range(3):
            await client.speak(tone)
        await client.send(type="mic_end")

        def heard() -> bytes:
            return b"".join(a.data for a in running.orchestrator.all("user_audio"))

        await until(lambda: len(heard()) == 3 * len(tone) + 2 * 16_000 * 3 // 2)
        assert heard()[: 3 * len(tone)] == 3 * tone
        assert not any(heard()[3 * len(tone) :])
        await client.speak(tone)  # and a microphone that only falls silent
        await until(lambda: len(heard()) == 4 * len(tone) + 2 * 2 * 16_000 * 3 // 2)
        starts = [a.start_sample for a in running.orchestrator.all("user_audio")]
        assert starts == sorted(starts)


@pytest.mark.parametrize("type_", ["text", "text_query"])
async def test_typed_text_arrives(backend: Any, type_: str) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        await client.send(type=type_, text="  Who are you? ")
        assert (await running.orchestrator.wait("user_text")).text == "Who are you?"


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"type":"dance"}',
        '{"type":7}',
        '{"type":"text"}',
        '{"type":"text","text":"   "}',
        '{"type":"text","text":"' + "x" * 4_001 + '"}',
        '{"type":"mic_audio","audio":"?"}',
        '{"type":"mic_audio","audio":"AAA="}x',
        '{"type":"mic_audio","audio":"AA=="}',
        '{"type":"set_avatar","avatarId":"nobody"}',
        '{"type":"set_avatar","avatarId":"' + "x" * 200 + '"}',
        '{"type":"play_sample","clip":"hello"}',
        b"\x00\x01",
    ],
)
async def test_what_is_wrong_is_said_and_the_conversation_goes_on(
    backend: Any, message: str | bytes
) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        await client.ws.send(message)
        told = await client.wait("error")
        assert "xxx" not in told["message"]
        await client.send(type="ping")
        await client.wait("pong")
        await client.send(type="text", text="still here")
        assert (await running.orchestrator.wait("user_text")).text == "still here"
        assert running.sessions.ended == []


async def test_ten_megabytes_of_text_end_the_connection_and_the_session(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        with suppress(ConnectionClosed):
            await client.send(type="text", text="x" * 10_000_000)
        await client.gone()
        assert client.ws.close_code == 1009
        await until(lambda: running.sessions.ended == ["s1"])


async def test_a_flood_ends_the_connection(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        for _ in range(300):
            await client.send(type="ping")
        await client.gone()
        assert client.ws.close_code == 4429
