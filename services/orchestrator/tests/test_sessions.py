"""Whole sessions against scripted stages, through the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from orchestrating import first_events, orchestrator, summaries
from scripted import BREAK, until
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2, turn_pb2
from stagewire.common.v1.audio_pb2 import Audio
from stagewire.egress.v1.egress_pb2 import DeliverResponse
from stagewire_orchestrator.http.limits import MAX_BODY_BYTES


async def test_a_session_greets_answers_and_remembers() -> None:
    async with orchestrator() as orch:
        created = await orch.create("echo")
        session_id = created["session"]["session_id"]
        assert created["url"] == "ws://scripted/v1/join"
        assert len(created["client_token"]) >= 16
        assert len(created["session"]["trace_id"]) == 32
        (greeting,) = await summaries(orch, session_id, 1)
        assert greeting.text == "Hello there."
        await orch.sessions.send_text(session_id, "one two three")
        await summaries(orch, session_id, 2)
        await orch.sessions.send_text(session_id, "four")
        *_, last = await summaries(orch, session_id, 3)
        assert last.reason == turn_pb2.TURN_END_REASON_COMPLETED
        assert orch.stages.llm.prompts[-1] == [
            "You repeat.",
            "Hello there.",
            "one two three",
            "one two three",
            "four",
        ]
        arms = [request.WhichOneof("message") for request in orch.stages.egress.received]
        assert {"turn_start", "audio", "motion", "words", "end_of_turn", "event"} <= set(arms)
        assert arms.index("turn_start") < arms.index("audio")


async def test_get_list_end() -> None:
    async with orchestrator() as orch:
        first = (await orch.create())["session"]["session_id"]
        second = (await orch.create())["session"]["session_id"]
        listed = (await orch.http.get("/v1/sessions")).json()["sessions"]
        assert [session["session_id"] for session in listed] == [second, first]
        assert listed[0]["state"] == "SESSION_STATE_ACTIVE"
        ended = (await orch.http.delete(f"/v1/sessions/{first}")).json()["session"]
        assert (ended["state"], ended["end_reason"]) == (
            "SESSION_STATE_ENDED",
            "ended by the caller",
        )
        again = await orch.http.delete(f"/v1/sessions/{first}")
        assert again.status_code == 200, "safe to repeat"
        listed = (await orch.http.get("/v1/sessions")).json()["sessions"]
        assert [session["session_id"] for session in listed] == [second]
        got = await orch.http.get(f"/v1/sessions/{first}")
        assert got.json()["session"]["end_time"]
        await until(lambda: orch.admission.active == 1)
        *_, last = await first_events(orch, first, "session_ended")
        assert last.session_ended.reason == "ended by the caller"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"avatar_id": "nobody"}, 404, "UNKNOWN_AVATAR"),
        ({"avatar_id": "mute", "transport": "livekit"}, 400, "INVALID_FIELD"),
        ({"avatar_id": "mute", "metadata": {"k" * 65: "v"}}, 400, "INVALID_FIELD"),
        ({"avatar_id": "lost"}, 503, "STAGE_UNREACHABLE"),
    ],
)
async def test_what_cannot_be_created_says_why(
    body: dict[str, Any], status: int, reason: str
) -> None:
    async with orchestrator() as orch:
        answer = await orch.http.post("/v1/sessions", json=body)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert error["reason"] == reason
        assert error["message"]
        assert (await orch.http.get("/v1/sessions")).json()["sessions"] == []
        await until(lambda: orch.admission.active == 0)


async def test_malformed_bodies_are_refused() -> None:
    async with orchestrator() as orch:
        post = orch.http.post
        assert (await post("/v1/sessions", content=b"{")).status_code == 422
        assert (await post("/v1/sessions", json={"avatar": "mute"})).status_code == 422
        assert (await post("/v1/sessions", content=b" " * (MAX_BODY_BYTES + 1))).status_code == 413

        async def endless() -> AsyncIterator[bytes]:
            yield b"{}"

        assert (await post("/v1/sessions", content=endless())).status_code == 413
        assert (await orch.http.get("/v1/sessions/nothing")).status_code == 404


async def test_a_full_orchestrator_says_when_to_come_back() -> None:
    async with orchestrator(max_sessions=1) as orch:
        await orch.create()
        answer = await orch.http.post("/v1/sessions", json={})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"


async def test_the_same_key_gives_the_same_session() -> None:
    async with orchestrator() as orch:
        key = {"idempotency-key": "abc"}
        one, two = await asyncio.gather(orch.create(**key), orch.create(**key))
        three = await orch.create(**key)
        assert one["client_token"] == two["client_token"] == three["client_token"]
        assert len((await orch.http.get("/v1/sessions")).json()["sessions"]) == 1


async def test_an_llm_that_breaks_is_asked_again() -> None:
    async with orchestrator() as orch:
        session_id = (await orch.create())["session"]["session_id"]
        gone = StageError(error_pb2.ERROR_REASON_DRAINING, "bye", code=grpc.StatusCode.UNAVAILABLE)
        orch.stages.llm.failures = [gone, gone]
        await orch.sessions.send_text(session_id, "hello")
        (summary,) = await summaries(orch, session_id, 1)
        assert summary.text.strip() == "hello"
        assert len(orch.stages.llm.prompts) == 3


async def test_an_llm_that_refuses_for_good_ends_the_turn_with_a_notice() -> None:
    async with orchestrator() as orch:
        session_id = (await orch.create())["session"]["session_id"]
        orch.stages.llm.failures = [
            StageError(error_pb2.ERROR_REASON_CONTEXT_TOO_LONG, "the text is too long")
        ]
        await orch.sessions.send_text(session_id, "hello")
        (summary,) = await summaries(orch, session_id, 1)
        assert summary.reason == turn_pb2.TURN_END_REASON_FAILED
        events = await first_events(orch, session_id, "notice")
        assert events[-1].notice.message == "llm: the text is too long"
        await orch.sessions.send_text(session_id, "again")
        assert (await summaries(orch, session_id, 2))[1].text.strip() == "hello again"


async def test_text_that_is_nothing_or_too_much_is_refused() -> None:
    async with orchestrator() as orch:
        session_id = (await orch.create())["session"]["session_id"]
        for text in ("", "   ", "x" * 4_001):
            with pytest.raises(StageError) as caught:
                await orch.sessions.send_text(session_id, text)
            assert caught.value.reason == error_pb2.ERROR_REASON_INVALID_FIELD
        await orch.sessions.end(session_id)
        with pytest.raises(StageError, match="has ended"):
            await orch.sessions.send_text(session_id, "late")


async def test_the_longest_time_ends_a_session_and_says_so() -> None:
    async with orchestrator(max_session_seconds=0.3) as orch:
        session_id = (await orch.create())["session"]["session_id"]
        *_, last = await first_events(orch, session_id, "session_ended")
        assert last.session_ended.reason == "the session reached its longest time"
        await until(lambda: orch.admission.active == 0)


async def test_the_microphone_counts_on_when_egress_is_another_process() -> None:
    async with orchestrator() as orch:
        await orch.create()
        egress, asr = orch.stages.egress, orch.stages.asr

        def speak(start_sample: int) -> None:
            audio = Audio(data=bytes(2 * 320), start_sample=start_sample)
            egress.answers.put_nowait(DeliverResponse(user_audio=audio))

        speak(0)
        speak(320)
        await until(lambda: len(asr.heard) == 2)
        egress.answers.put_nowait(BREAK)
        await until(lambda: len(egress.opened) == 2)
        await until(lambda: egress.participants.empty())
        speak(0)  # a new stream's count begins anew
        await until(lambda: len(asr.heard) == 3)
        assert [audio.start_sample for audio in asr.heard] == [0, 320, 640]
        assert asr.streams == 1
