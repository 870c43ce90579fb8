"""The record of recent sessions: true, bounded, and silent about what was said unless told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from driver import CHUNK, Driver
from hypothesis import given, settings
from orchestrating import orchestrator, summaries
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import Delivered, Reported
from stagewire_orchestrator.timeline import recording as recording_module
from stagewire_orchestrator.timeline.recording import Recording
from stagewire_orchestrator.timeline.shelf import Shelf
from stagewire_orchestrator.timeline.sound import Peaks, Playback
from test_machine_orders import STEPS, play

LOUD = (8_192).to_bytes(2, "little", signed=True) * CHUNK


def conversation(*, content: bool = True) -> Driver:
    """A question, its answer, and an interruption after 0.15 s of it."""
    d = Driver(content=content)
    d.feed(e.SpeechStarted(1, d.now + 0.9), after=1.0)
    d.recording.hear(LOUD, d.now)
    d.feed(e.SpeechStopped(1, d.now + 0.9, d.now + 0.95), after=1.0)
    d.feed(e.Final(1, 1, "Hello there.", Reported(0.0, 0.2)), after=0.25)
    turn = d.machine.turns
    d.feed(e.LlmDelta(turn, "Hi, you."), after=0.2)
    d.feed(e.LlmDone(turn), after=0.05)
    d.words(turn, "Hi, you.", 2 * CHUNK)
    d.feed(e.TtsAudio(turn, LOUD, 0), after=0.1)
    d.feed(e.MotionFrames(turn, b"m", 0, CHUNK), after=0.02)
    d.feed(e.EndOfTurn(1, 0.9), after=0.03)
    d.voice(turn, 5, start=1)
    d.feed(e.Played(turn, CHUNK, Delivered(Reported(0.0, 0.09))), after=0.1)
    d.feed(e.Played(turn, 3 * CHUNK), after=0.1)
    d.feed(e.SpeechStarted(2, d.now - 0.05))
    d.feed(e.EgressEnded(turn, 2, 3 * CHUNK), after=0.02)
    d.recording.end("ended by the caller", d.now)
    return d


def test_lanes_say_what_each_stage_did_and_when() -> None:
    told = conversation().recording.timeline()
    spans = {span.lane: span for span in reversed(told.spans)}
    assert (spans["user"].start, spans["user"].end) == (900, 1900)
    assert (spans["asr"].start, spans["asr"].end) == (1950, 2250)
    assert (spans["llm"].start, spans["llm"].first, spans["llm"].end) == (2250, 2450, 2500)
    assert (spans["tts"].start, spans["tts"].first) == (2450, 2600)
    assert (spans["motion"].start, spans["motion"].first) == (2600, 2620)
    assert spans["egress"].start == 2650
    assert (spans["avatar"].start, spans["avatar"].end) == (2700, 2850)
    assert all(span.end is not None for span in told.spans)
    assert [m.kind for m in told.moments] == ["joined", "interruption"]
    (turn,) = told.turns
    assert turn.reason == "INTERRUPTED"
    assert (turn.user, turn.avatar) == ("Hello there.", "Hi, you.")
    assert turn.asked_at == 1900
    assert turn.total == pytest.approx(sum(part.milliseconds for part in turn.parts), abs=0.01)
    assert told.session.median_total == pytest.approx(turn.total, abs=0.1)
    assert told.session.end_reason == "ended by the caller"


def test_words_and_sound_stand_where_they_were_played() -> None:
    told = conversation().recording.timeline()
    assert [(w.text, w.start, w.end, w.heard) for w in told.words] == [
        ("Hi,", 2700, 2800, True),
        ("you.", 2800, 2900, False),
    ]
    user, avatar = told.waveforms
    assert user.peaks[20] == 64, "a quarter of full scale, in the second second"
    assert sum(user.peaks) == 64
    assert (avatar.turn, avatar.start, avatar.heard) == (1, 2700, 150)
    assert avatar.peaks == [64, 0, 0, 0, 0, 0]


def test_without_content_nothing_that_was_said_is_kept() -> None:
    told = conversation(content=False).recording.timeline()
    assert not told.waveforms
    assert not told.words
    said = told.model_dump_json()
    assert "Hello" not in said
    assert "Hi" not in said
    assert len(told.turns[0].parts) > 5, "but when it happened is"


def test_faults_are_moments() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    fault = error_pb2.Fault(code=14, reason=1, message="llm: gone")
    d.feed(e.StageFailed(turn, "llm", fault))
    (told,) = [m for m in d.recording.timeline().moments if m.kind == "fault"]
    assert told.turn == turn
    assert told.text.endswith(": llm: gone")


def test_reasons_that_are_newer_than_this_version_harm_nothing() -> None:
    d = Driver()
    newer: Any = 999
    d.feed(e.Noticed(error_pb2.Fault(code=14, reason=newer, message="asr: new")))
    turn = d.ask("Hello.")
    d.generate(turn, "Hi.")
    d.voice(turn, 1)
    d.feed(e.EgressEnded(turn, newer, 0))
    told = d.recording.timeline()
    assert [m.text for m in told.moments if m.kind == "fault"] == ["UNKNOWN: asr: new"]
    assert told.turns[0].reason == "UNKNOWN"


def test_what_a_stage_floods_is_not_kept() -> None:
    d = Driver()
    turn = d.ask("x" * 100_000)
    d.words(turn, "a " * 5_000, 10)
    d.feed(e.LlmDelta(turn, "y" * 100_000 + ". "), e.LlmDone(turn))
    d.voice(turn, 1)
    d.feed(e.Played(turn, 100), e.EgressEnded(turn, 1, CHUNK))
    d.recording.end("over", d.now)
    told = d.recording.timeline()
    assert len(told.words) == 2_000
    assert max(map(len, (told.turns[0].user, told.turns[0].avatar, told.spans[0].text))) == 4_000
    assert d.recording.size < 1_000_000


def test_a_pause_of_the_loudspeaker_moves_later_words() -> None:
    playback = Playback(1_000)
    assert playback.at(0) is None
    playback.report(100, 10.1)
    playback.report(500, 10.5)
    playback.report(500, 11.0)  # it ran dry for 1 s
    playback.report(900, 11.9)
    assert playback.began == pytest.approx(10.0)
    assert playback.at(50) == pytest.approx(10.05)
    assert playback.at(1_000) == pytest.approx(12.0)
    assert playback.at(499) == pytest.approx(10.5, abs=0.01)
    assert playback.at(700) == pytest.approx(11.7)
    voice = Peaks()
    for step in range(18):
        voice.put_peak(step * 0.05, 100)
    played = playback.spread(voice)
    assert played == bytes([100] * 10 + [0] * 20 + [100] * 8)


def test_an_engine_that_reports_only_its_beginning_and_its_end() -> None:
    playback = Playback(1_000)
    playback.report(0, 10.0)
    assert (playback.began, playback.ended) == (10.0, 10.0)
    assert playback.at(500) == pytest.approx(10.5)
    playback.report(2_000, 12.0)
    assert playback.at(500) == pytest.approx(10.5)
    assert playback.ended == 12.0


def test_one_session_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "MAX_ENTRIES", 10)
    recording = Recording("s-1", "ava", content=True, now=0.0)
    for k in range(100):
        recording.note(e.SpeechStarted(k), [], float(k))
        recording.note(e.ClientJoined(), [], float(k))
        recording.hear(LOUD, 1e9)
    told = recording.timeline()
    assert len(told.spans) == len(told.moments) == 10
    assert told.dropped == 180
    recording.end("over", 100.0)
    assert 0 < recording.size < 10_000


def test_the_shelf_is_bounded_by_number_and_size() -> None:
    shelf = Shelf(3, 1 << 20)
    for k in range(5):
        shelf.put(Recording(f"s-{k}", "ava", content=True, now=0.0))
    assert [kept.session_id for kept in shelf.all()] == ["s-4", "s-3", "s-2"]
    big = Recording("s-9", "ava", content=True, now=0.0)
    shelf.put(big)
    big.hear(LOUD, 1_000.0)
    big.end("over", 1_001.0)
    assert big.size > 10_000
    small = Shelf(3, 10_000)
    small.put(Recording("s-0", "ava", content=True, now=0.0))
    small.put(big)
    assert small.all() == []
    with pytest.raises(StageError, match="too old"):
        shelf.get("s-0")
    with pytest.raises(StageError, match="TIMELINE_SESSIONS is 0"):
        Shelf(0, 1).get("s-0")


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_any_order_of_events_makes_a_timeline(steps: list[tuple[str, int, float]]) -> None:
    d = play(steps, "Hello. ")
    told = json.loads(d.recording.timeline().model_dump_json())
    for span in told["spans"]:
        assert span["end"] is None or span["end"] >= span["start"] >= 0
    for turn in told["turns"]:
        assert all(part["milliseconds"] >= 0 for part in turn["parts"])


# --- over HTTP -----------------------------------------------------------------------------------


async def finished(orch: Any, text: str = "one two") -> str:
    session_id = str((await orch.create())["session"]["session_id"])
    await orch.sessions.send_text(session_id, text)
    await summaries(orch, session_id, 1)
    return session_id


async def test_the_route_outlives_the_session() -> None:
    async with orchestrator(timeline_content=True) as orch:
        session_id = await finished(orch)
        await orch.http.delete(f"/v1/sessions/{session_id}")
        answer = await orch.http.get(f"/v1/sessions/{session_id}/timeline")
        told = answer.json()
        assert told["session"]["end_reason"] == "ended by the caller"
        assert told["turns"][0]["user"] == "one two"
        assert {span["lane"] for span in told["spans"]} >= {"llm", "tts", "motion", "egress"}
        listed = (await orch.http.get("/v1/timelines")).json()["sessions"]
        assert [row["session_id"] for row in listed] == [session_id]
        assert len(listed[0]["trace_id"]) == 32


async def test_what_was_said_is_not_kept_by_default() -> None:
    async with orchestrator() as orch:
        session_id = await finished(orch, "xylophone")
        answer = await orch.http.get(f"/v1/sessions/{session_id}/timeline")
        assert answer.json()["content"] is False
        assert "xylophone" not in answer.text


async def test_only_its_client_and_callers_see_it() -> None:
    async with orchestrator(api_keys="a-key") as orch:
        key = {"Authorization": "Bearer a-key"}
        mine = await orch.create(**key)
        other = await orch.create(**key)
        path = f"/v1/sessions/{mine['session']['session_id']}/timeline"
        own = {"Authorization": f"Bearer {mine['api_token']}"}
        theirs = {"Authorization": f"Bearer {other['api_token']}"}
        statuses = [
            (await orch.http.get(path, headers=shown)).status_code
            for shown in ({}, theirs, own, key)
        ]
        assert statuses == [401, 403, 200, 200]
        listing = [
            (await orch.http.get("/v1/timelines", headers=shown)).status_code
            for shown in ({}, own, key)
        ]
        assert listing == [401, 403, 200]


async def test_an_unknown_session_and_none_kept() -> None:
    async with orchestrator(timeline_sessions=0) as orch:
        session_id = await finished(orch)
        answer = await orch.http.get(f"/v1/sessions/{session_id}/timeline")
        assert answer.status_code == 404
        assert "TIMELINE_SESSIONS is 0" in answer.json()["error"]["message"]
        assert (await orch.http.get("/v1/timelines")).json() == {"sessions": []}
