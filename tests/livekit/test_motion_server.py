"""The local Motion Server in a room: the unmodified SDK speaks, users hear, the agent is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
import spatius
from livekit import rtc
from spatius import AvatarSDKError, AvatarSDKErrorCode
from stagewire_motion_server.faults import Faults
from stagewire_motion_server.options import Options
from stagewire_motion_server.running import Running, serving
from support.livekit import LiveKitServer
from support.livekit_turns import tone
from support.processes import free_port
from support.room import User, dominant

pytestmark = pytest.mark.slow

RATE = 24_000
ENGINE, AGENT = "motion-engine", "avatar"
BEHALF = {"lk.publish_on_behalf": AGENT, "livekit_agent_identity": AGENT}


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    spatius.configure_telemetry("")
    options = Options.model_validate({"port": 0, "admin_port": 0, "loudness_only": True})
    async with serving(options) as running:
        yield running


def engine_token(server: LiveKitServer, room: str, **changed: Any) -> str:
    """As the orchestrator grants it."""
    options = {
        "kind": "agent",
        "can_publish": True,
        "can_publish_sources": ["camera", "microphone"],
        "can_publish_data": True,
        "can_subscribe": False,
        **changed,
    }
    return server.token(options.pop("identity", ENGINE), room, **options)


class Rig:
    """One SDK session, the agent that it reports to, and somebody who listens."""

    def __init__(self, running: Running, server: LiveKitServer, room: str) -> None:
        self.running, self.server, self.room = running, server, room
        self.calls: list[tuple[str, Any]] = []
        self.errors: list[Any] = []
        self.frames = 0
        self.agent = rtc.Room()
        self.stack = AsyncExitStack()

    async def sdk(
        self, token: str = "", url: str = "", idle_timeout: int = 0, **config: Any
    ) -> spatius.AvatarSession:
        """A session that stands; raises what the SDK raises."""
        egress = spatius.LiveKitEgressConfig(
            url=url or self.server.url,
            api_token=token or engine_token(self.server, self.room),
            room_name=self.room,
            publisher_id=ENGINE,
            extra_attributes=BEHALF,
            idle_timeout=idle_timeout,
        )
        session = spatius.new_avatar_session(
            avatar_id="av",
            api_key="local",
            app_id="app",
            sample_rate=RATE,
            console_endpoint_url=self.running.console,
            ingress_endpoint_url=self.running.ingress,
            transport_frames=self._frame,
            on_error=self.errors.append,
            livekit_egress=egress,
            **config,
        )
        await session.init()
        await session.start()
        self.stack.push_async_callback(session.close)
        return session

    def _frame(self, payload: bytes, last: bool) -> None:
        self.frames += 1

    async def join(self) -> User:
        """Somebody who listens to the engine."""
        user = User(self.server.url, self.server.token("ann", self.room), ENGINE)
        await user.join()
        self.stack.push_async_callback(user.leave)
        return user

    def finished(self) -> list[dict[str, Any]]:
        return [json.loads(p) for method, p in self.calls if method == "lk.playback_finished"]

    def started(self) -> int:
        return sum(method == "lk.playback_started" for method, _ in self.calls)

    async def until(self, true: Callable[[], Any], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.01)

    def faults(self, **faults: Any) -> None:
        self.running.server.faults.replace(Faults(**faults))


@pytest.fixture
async def rig(running: Running, server: LiveKitServer, room: str) -> AsyncIterator[Rig]:
    rig = Rig(running, server, room)
    await rig.agent.connect(server.url, server.agent_token(room, AGENT))
    rig.stack.push_async_callback(rig.agent.disconnect)

    async def called(call: rtc.RpcInvocationData) -> str:
        assert call.caller_identity == ENGINE
        rig.calls.append((call.method, call.payload))
        return "ok"

    for method in ("lk.playback_started", "lk.playback_finished"):
        rig.agent.local_participant.register_rpc_method(method, called)
    async with rig.stack:
        yield rig


async def test_a_voice_is_heard_in_the_room_and_its_end_is_told(rig: Rig) -> None:
    session = await rig.sdk()
    user = await rig.join()
    await user.until(lambda: user.avatar and len(user.avatar.track_publications) == 2)
    assert user.avatar is not None
    assert user.avatar.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    kinds = sorted(track.kind for track in user.avatar.track_publications.values())
    assert kinds == [rtc.TrackKind.KIND_AUDIO, rtc.TrackKind.KIND_VIDEO]
    await user.until(lambda: user.track)
    for turn in (1, 2):
        await session.send_audio(tone(440, 1.5))
        await session.send_audio(b"", end=True)
        await rig.until(lambda turn=turn: len(rig.finished()) == turn)
        assert rig.started() == turn
        assert rig.finished()[-1] == {"playback_position": 1.5, "interrupted": False}
    heard = user.heard()
    begin = np.argmax(np.abs(heard) > 0.05)
    frequency, level = dominant(heard[begin : begin + RATE], RATE)
    assert abs(frequency - 440) < 5
    assert level > 0.1
    assert rig.frames == 0, "in a room no motion comes back"
    assert not rig.errors


async def test_an_interrupt_silences_and_tells_how_far_it_came(rig: Rig) -> None:
    session = await rig.sdk()
    user = await rig.join()
    await user.until(lambda: user.track)
    await session.send_audio(tone(440, 20.0))
    await rig.until(rig.started)
    await asyncio.sleep(1.0)
    await session.interrupt()
    await rig.until(rig.finished)
    (told,) = rig.finished()
    assert told["interrupted"] is True
    await asyncio.sleep(1.5)
    # Nine tenths of the sine are loud. On a busy machine the receiver stretches what it lacks.
    loud = np.count_nonzero(np.abs(user.heard()) > 0.05) / RATE
    assert 0.8 * told["playback_position"] - 0.2 < loud < told["playback_position"] + 0.6
    assert 0.2 < told["playback_position"] < 5.0
    quiet = user.heard()[-RATE // 4 :]
    assert np.max(np.abs(quiet)) < 0.01
    await session.send_audio(tone(880, 0.5), end=True)
    await rig.until(lambda: len(rig.finished()) == 2)
    assert rig.finished()[1] == {"playback_position": 0.5, "interrupted": False}


async def test_opus_is_heard_too(rig: Rig) -> None:
    session = await rig.sdk(
        bitrate=32_000,
        audio_format=spatius.AudioFormat.OGG_OPUS,
        ogg_opus_encoder=spatius.OggOpusEncoderConfig(),
    )
    await session.send_audio(tone(440, 1.0), end=True)
    await rig.until(rig.finished)
    assert abs(rig.finished()[0]["playback_position"] - 1.0) < 0.1


Refused = Callable[[LiveKitServer, str], dict[str, Any]]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (
            lambda s, r: {"token": engine_token(s, r, secret="x" * 40)},
            AvatarSDKErrorCode.invalidEgressConfig,
        ),
        (
            lambda s, r: {"token": engine_token(s, r, seconds=-600)},
            AvatarSDKErrorCode.invalidEgressConfig,
        ),
        (
            lambda s, r: {"token": engine_token(s, "another")},
            AvatarSDKErrorCode.invalidEgressConfig,
        ),
        (
            lambda s, r: {"token": engine_token(s, r, identity="somebody")},
            AvatarSDKErrorCode.invalidEgressConfig,
        ),
        (
            lambda s, r: {"token": engine_token(s, r, can_publish=False)},
            AvatarSDKErrorCode.invalidEgressConfig,
        ),
        (
            lambda s, r: {"url": f"ws://127.0.0.1:{free_port()}"},
            AvatarSDKErrorCode.egressUnavailable,
        ),
    ],
    ids=["secret", "expired", "room", "identity", "publish", "unreachable"],
)
async def test_a_room_that_cannot_be_published_into(
    rig: Rig, changed: Refused, code: AvatarSDKErrorCode
) -> None:
    with pytest.raises(AvatarSDKError) as raised:
        await rig.sdk(**changed(rig.server, rig.room))
    assert raised.value.code == code
    await rig.until(lambda: not rig.running.server.sessions)
    await rig.until(lambda: ENGINE not in rig.agent.remote_participants)


async def test_a_late_join_and_a_playback_that_is_never_told(rig: Rig) -> None:
    rig.faults(join_delay=1.0)
    session = await rig.sdk()
    assert ENGINE not in rig.agent.remote_participants
    rig.faults(playback="silent")
    await session.send_audio(tone(440, 0.5), end=True)
    await rig.until(rig.started)
    await asyncio.sleep(1.0)
    assert not rig.finished()
    rig.faults()
    await session.send_audio(tone(440, 0.5), end=True)
    await rig.until(rig.finished)


@pytest.mark.parametrize(("how", "payload"), [("malformed", "all of it"), ("beyond", "3600.")])
async def test_a_playback_that_is_told_wrongly(rig: Rig, how: str, payload: str) -> None:
    rig.faults(playback=how)
    session = await rig.sdk()
    await session.send_audio(tone(440, 0.2), end=True)
    await rig.until(lambda: len(rig.calls) == 2)
    assert payload in rig.calls[1][1]


async def test_it_leaves_when_nothing_is_said_for_long_and_when_the_session_ends(rig: Rig) -> None:
    session = await rig.sdk(idle_timeout=1)
    await session.send_audio(tone(440, 1.5), end=True)
    await rig.until(rig.finished)
    assert not rig.errors, "while it speaks it is not idle"
    await rig.until(lambda: rig.errors)
    assert rig.errors[0].code == AvatarSDKErrorCode.idleTimeout
    await rig.until(lambda: ENGINE not in rig.agent.remote_participants)
    again = await rig.sdk()
    await rig.until(lambda: ENGINE in rig.agent.remote_participants)
    await again.close()
    await rig.until(lambda: ENGINE not in rig.agent.remote_participants)


async def test_what_it_shows_of_a_room_holds_no_token(rig: Rig) -> None:
    token = engine_token(rig.server, rig.room)
    await rig.sdk(token)
    (session,) = rig.running.server.sessions
    assert session.status()["room"] == rig.room
    assert token not in json.dumps(session.status())
