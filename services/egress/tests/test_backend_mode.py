"""`/ws/agent`, spoken by clients that say exactly what Spatius' demo clients say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import numpy as np
import pytest
from demo_clients import DemoClient, VariantA, VariantB
from fake_sessions import AVATARS, FakeSessions
from stagekit.server import serving
from stagewire.common.v1 import session_event_pb2, turn_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent
from stagewire_motion_codec import spatius
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

SPATIUS: dict[str, Any] = {"motion_codec": "spatius.message", "motion_frame_rate": 25}
CHUNK = 960  # 40 ms at the voice's 24 kHz


def keyframes(end: bool = False) -> bytes:
    return spatius.pack(spatius.Animation("r", (spatius.Keyframe(),), end=end))


class Backend:
    """One egress that serves `/ws/agent`, and the fake that gives it sessions."""

    def __init__(self, sessions: FakeSessions, url: str) -> None:
        self.sessions = sessions
        self.url = url
        self.clients: list[DemoClient] = []

    @property
    def http(self) -> str:
        """As the clients find it: the URL without `/ws/agent`, with http for ws."""
        return self.url.removesuffix("/ws/agent").replace("ws:", "http:")

    async def connect(self, kind: type[DemoClient], **options: Any) -> Any:
        client = kind(await connect(self.url, **options))
        self.clients.append(client)
        return client

    @property
    def orchestrator(self) -> Any:
        return self.sessions.orchestrators[-1]


@pytest.fixture
def backend(egress_with: Any) -> Any:
    @asynccontextmanager
    async def running(settings: dict[str, Any] | None = None, **opening: Any) -> Any:
        sessions = FakeSessions(**opening)
        async with serving(sessions.stage()) as port:
            target = {"session_target": f"127.0.0.1:{port}", "spatius_app_id": "app"}
            async with egress_with(**{**target, **(settings or {})}) as bench:
                sessions.bench = bench
                probe = await bench.session("probe")
                url = probe.join_url.replace("/v1/join", "/ws/agent")
                backend = Backend(sessions, url)
                try:
                    yield backend
                finally:
                    for client in backend.clients:
                        if client.ws.state is not State.CLOSED:
                            client.ws.transport.abort()

    return running


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def speaks(orchestrator: Any, turn: int, chunks: int = 5, motion: bool = True) -> None:
    """A turn of the avatar: a motion message with every chunk, the last one says so."""
    await orchestrator.say(turn_start={"turn": turn})
    for index in range(chunks):
        start = index * CHUNK
        if motion:
            payload = keyframes(end=index == chunks - 1)
            span = {"start_sample": start, "end_sample": start + CHUNK}
            await orchestrator.say(motion={"turn": turn, "payload": payload, **span})
        await orchestrator.audio(turn, start, CHUNK, 1)
    await orchestrator.say(end_of_turn={"turn": turn})


@pytest.mark.parametrize(("key", "shown"), [("", ""), ("a-key", "Bearer a-key")])
async def test_egress_shows_the_orchestrator_its_key(backend: Any, key: str, shown: str) -> None:
    async with backend(settings={"session_key": key}) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        client.ws.transport.abort()
        await until(lambda: running.sessions.ended)
        assert running.sessions.shown == [shown, shown]


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


# --- sessions -------------------------------------------------------------------------------


async def test_the_avatar_that_is_there_stays_when_a_client_sets_it(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)  # sets its character when it is ready
        await client.wait("status", message="the avatar is set")
        await client.send(type="set_avatar", avatarId="")
        await client.wait("status", 2, message="the avatar is set")
        assert len(running.sessions.asked) == 1


async def test_another_avatar_is_another_session_on_the_same_connection(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        first = running.orchestrator
        await first.say(turn_start={"turn": 1})
        for index in range(50):
            await first.audio(1, index * CHUNK, CHUNK)
        await client.wait("avatar_audio")
        await client.send(type="set_avatar", avatarId="max")
        assert (await client.wait("interrupt"))["reason"] == "agent_interrupt"
        await until(lambda: running.sessions.ended == ["s1"])
        assert running.sessions.asked[-1].avatar_id == "max"
        await speaks(running.orchestrator, 1)
        await client.wait("avatar_frames", isLast=True, turnId="s2-1")
        await client.send(type="text", text="hello max")
        assert (await running.orchestrator.wait("user_text")).text == "hello max"
        assert not first.all("user_text")


async def test_start_agent_is_answered_and_another_language_is_another_session(
    backend: Any,
) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantB)
        await client.wait("ready")
        await client.send(type="start_agent", language="en")
        await client.wait("agent_ready")
        assert len(running.sessions.asked) == 1
        await client.send(type="start_agent", language="zh")
        await client.wait("agent_ready", 2)
        assert running.sessions.asked[-1].locale == "zh"
        await until(lambda: running.sessions.ended == ["s1"])


async def test_a_client_that_goes_ends_its_session(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        one, other = [await running.connect(VariantA) for _ in range(2)]
        await one.wait("ready")
        await other.wait("ready")
        one.ws.transport.abort()
        await until(lambda: len(running.sessions.ended) == 1)
        await other.send(type="ping")
        await other.wait("pong")


async def test_no_session_is_said_and_the_connection_closes(backend: Any) -> None:
    async with backend(settings={"session_target": "127.0.0.1:1"}) as running:
        client = await running.connect(VariantA)
        await client.gone()
        assert client.all("error")
        assert client.ws.close_code == 1013
    async with backend() as running:
        running.sessions.elsewhere = True
        client = await running.connect(VariantA)
        await client.gone()
        assert "INSTANCE_TARGET" in client.all("error")[0]["message"]
        await until(lambda: running.sessions.ended == ["s1"])


async def test_the_session_is_asked_to_come_to_this_instance(backend: Any) -> None:
    async with backend(settings={"instance_target": "egress-7:50055"}) as running:
        await (await running.connect(VariantA)).wait("ready")
        assert running.sessions.asked[0].egress_target == "egress-7:50055"


async def test_the_session_that_ends_closes_the_connection(backend: Any) -> None:
    async with backend(**SPATIUS) as running:
        client = await running.connect(VariantA)
        await client.wait("ready")
        await running.orchestrator.hang_up()
        await client.gone()
        assert client.ws.close_code == 1000


# --- the pages on the same port -------------------------------------------------------------


@pytest.fixture
async def page() -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Origin": "http://localhost:5173"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
        yield client


async def test_configuration_and_health_are_beside_the_socket(
    backend: Any, page: httpx.AsyncClient
) -> None:
    async with backend(settings={"spatius_avatar_id": "face", "spatius_app_id": ""}) as running:
        config = await page.get(f"{running.http}/api/config")
        assert config.headers["content-type"] == "application/json"
        assert config.headers["access-control-allow-origin"] == "http://localhost:5173"
        assert config.json() == {
            "appId": "",
            "avatarId": "face",
            "region": "us-west",
            "outputSampleRate": 16_000,
            "inputSampleRate": 16_000,
            "missing": {"sample": ["SPATIUS_APP_ID"], "realtime": ["SPATIUS_APP_ID"]},
            "clips": [],
            "clipsHint": "this server has no sample clips",
        }
        health = (await page.get(f"{running.http}/healthz")).json()
        assert health == {"ok": False, "missing": ["SPATIUS_APP_ID"]}
        foreign = await page.get(f"{running.http}/healthz", headers={"Origin": "https://evil"})
        assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize("size", [0, 100, 40_000])
async def test_a_page_that_saves_its_configuration_goes_on(
    backend: Any, page: httpx.AsyncClient, size: int
) -> None:
    async with backend() as running:
        url = f"{running.http}/api/config"
        asking = await page.options(url, headers={"Access-Control-Request-Method": "POST"})
        assert "POST" in asking.headers["access-control-allow-methods"]
        saved = await page.post(url, json={"SPATIUS_API_KEY": "k" * size})
        assert saved.status_code == 200
        assert saved.json()["saved"] == []
        with pytest.raises(httpx.TransportError):
            await page.post(url, content=b" " * 100_000)
        assert (await page.post(f"{running.http}/ws/agent", content=b"x")).status_code >= 400


async def test_there_is_no_such_path_unless_it_is_wanted(egress: Any) -> None:
    url = (await egress.session()).join_url.replace("/v1/join", "/ws/agent")
    with pytest.raises(InvalidStatus, match="404"):
        await connect(url)


async def test_pages_of_other_origins_get_no_session(backend: Any) -> None:
    async with backend() as running:
        with pytest.raises(InvalidStatus, match="403"):
            await running.connect(VariantA, origin="https://evil.example")
        assert running.sessions.asked == []
