"""The breakdown of a turn: contiguous, exact, and true even when a stage is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire.common.v1.session_event_pb2 import LatencyBreakdown
from stagewire.common.v1.timing_pb2 import StageTiming
from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import PARTS, Delivered, Marks, Reported
from stagewire_orchestrator.policy import Policy
from test_machine_orders import STEPS, play

SECONDS = st.floats(-1e3, 1e3)
MOMENT = st.none() | st.floats(0, 1e3)
LIE = st.none() | st.builds(Reported, SECONDS, SECONDS)
DELIVERED = st.none() | st.builds(
    Delivered, st.builds(Reported, SECONDS, SECONDS), st.none() | SECONDS, SECONDS
)
MARKS = st.builds(
    Marks,
    asked=st.floats(0, 1e3),
    silence=MOMENT,
    transcribed=MOMENT,
    committed=MOMENT,
    llm_started=MOMENT,
    llm_retried=MOMENT,
    first_token=MOMENT,
    first_clause=MOMENT,
    tts_retried=MOMENT,
    first_audio=MOMENT,
    first_motion=MOMENT,
    sounded=st.floats(0, 1e3),
    confirmed=MOMENT,
    asr=LIE,
    llm=LIE,
    tts=LIE,
    motion=LIE,
    delivered=DELIVERED,
    moves=st.booleans(),
)


def parts(latency: LatencyBreakdown | None) -> dict[str, int]:
    """Names and whole milliseconds; checks the sum on the way."""
    assert latency is not None
    exact = [part.duration.ToNanoseconds() for part in latency.parts]
    assert sum(exact) == latency.total.ToNanoseconds()
    return {p.name: round(ns / 1e6) for p, ns in zip(latency.parts, exact, strict=True)}


def turn(**changes: object) -> Marks:
    """A turn in which every stage told everything; nothing ran ahead."""
    marks = Marks(
        asked=10.0,
        silence=10.1,
        transcribed=10.4,
        committed=10.5,
        llm_started=10.5,
        first_token=11.0,
        first_clause=11.2,
        first_audio=11.3,
        first_motion=11.35,
        sounded=11.36,
        confirmed=11.6,
        moves=True,
        asr=Reported(0.05, 0.28),
        llm=Reported(0.1, 0.46),
        tts=Reported(0.02, 0.09),
        motion=Reported(0.0, 0.045),
        delivered=Delivered(Reported(0.01, 0.22), 0.08, 0.1),
    )
    for name, value in changes.items():
        setattr(marks, name, value)
    return marks


def test_each_stage_keeps_its_own_and_the_rest_is_the_hops() -> None:
    assert parts(turn().breakdown()) == {
        "silence_detection": 100,
        "asr_network": 20,
        "asr_queue": 50,
        "asr_final": 230,
        "endpointing": 100,
        "llm_network": 40,
        "llm_queue": 100,
        "llm_first_token": 360,
        "first_clause": 200,
        "tts_network": 10,
        "tts_queue": 20,
        "tts_first_audio": 70,
        "motion_network": 5,
        "motion_queue": 0,
        "motion_first_frame": 45,
        "orchestrator": 10,
        "egress_network": 10,  # 240 ms to egress' word, 220 of them at egress and beyond
        "egress": 10,
        "client_network": 15,  # 210 ms to the client's, 80 in its buffer, 100 of sound
        "client_buffer": 80,
    }


def test_a_stage_that_tells_nothing_stays_undivided() -> None:
    silent = turn(asr=None, llm=None, tts=None, motion=None, delivered=None)
    assert parts(silent.breakdown()) == {
        "silence_detection": 100,
        "asr_final": 300,
        "endpointing": 100,
        "llm_first_token": 500,
        "first_clause": 200,
        "tts_first_audio": 100,
        "motion_first_frame": 50,
        "orchestrator": 10,
    }


def test_what_ran_ahead_costs_what_is_left_of_its_end() -> None:
    # Asked for at 10.4, committed at 11.25: the clause was at tts by then.
    ahead = turn(llm_started=10.4, first_token=10.3, first_clause=10.35, committed=11.355)
    told = parts(ahead.breakdown())
    assert told["llm_first_token"] == told["llm_network"] == told["first_clause"] == 0
    assert told["tts_network"] == 900 - 90, "from 10.4 on the user waited for tts"
    assert told["endpointing"] == 5, "the wait that was left when the motion had come"
    # Half of the llm's time had passed when the words were settled.
    half = turn(llm_started=10.2, committed=10.9, first_token=10.7, llm=Reported(0.1, 0.48))
    told = parts(half.breakdown())
    assert (told["llm_network"], told["llm_queue"], told["llm_first_token"]) == (0, 0, 300)


def test_a_broken_try_is_no_network() -> None:
    told = parts(turn(llm_retried=10.7, llm=Reported(0.0, 0.29)).breakdown())
    assert (told["llm_retry"], told["llm_network"], told["llm_first_token"]) == (200, 10, 290)


def test_motion_that_came_too_late_is_a_wait() -> None:
    told = parts(turn(first_motion=12.0).breakdown())
    assert told["motion_wait"] == 60
    assert "motion_first_frame" not in told
    assert parts(turn(moves=False, first_motion=None).breakdown())["orchestrator"] == 60


def test_a_lie_is_cut_to_what_was_observed() -> None:
    told = parts(turn(llm=Reported(0.2, 99.0), tts=Reported(-3.0, -1.0)).breakdown())
    assert (told["llm_network"], told["llm_queue"], told["llm_first_token"]) == (0, 200, 300)
    assert (told["tts_network"], told["tts_queue"], told["tts_first_audio"]) == (100, 0, 0)


def test_a_timing_without_anything_is_none() -> None:
    assert Reported.read(StageTiming()) is None
    timing = StageTiming()
    timing.queue_wait.FromMilliseconds(20)
    timing.compute_to_first_output.FromMilliseconds(30)
    told = Reported.read(timing)
    assert told is not None
    assert (told.queue, told.total) == (0.02, pytest.approx(0.05))


@settings(max_examples=500, deadline=None)
@given(MARKS)
def test_whatever_anybody_says_the_parts_are_contiguous(marks: Marks) -> None:
    latency = marks.breakdown()
    assert latency is not None
    durations = [part.duration.ToNanoseconds() for part in latency.parts]
    assert min(durations) >= 0
    assert sum(durations) == latency.total.ToNanoseconds()
    names = [part.name for part in latency.parts]
    assert len(names) == len(set(names))
    order = list(PARTS)
    if marks.llm_started is None or (marks.committed or 0.0) <= marks.llm_started:
        assert names == sorted(names, key=order.index)
    else:  # the wait for the end of the turn comes when what ran ahead is done
        assert set(names) <= set(order)


@settings(max_examples=500, deadline=None)
@given(MARKS)
def test_the_total_is_the_observed_time(marks: Marks) -> None:
    assert marks.asked is not None
    assert marks.sounded is not None
    latency = marks.breakdown()
    assert latency is not None
    total = latency.total.ToNanoseconds() / 1e9
    sending = max(0.0, marks.sounded - marks.asked)
    assert total >= sending - 1e-6
    if marks.delivered is None or marks.confirmed is None:
        assert total == pytest.approx(sending, abs=1e-6)
    else:  # nothing that egress or the client says reaches beyond the arrival of their word
        assert total <= sending + max(0.0, marks.confirmed - marks.sounded) + 1e-6


# --- in the machine ------------------------------------------------------------------------------


def answered(d: Driver) -> int:
    """A question, answered ahead of its end, up to the sending of the first sound."""
    d.feed(e.SpeechStarted(1))
    d.feed(e.SpeechStopped(1, d.now + 0.4, d.now + 0.45), after=0.5)
    d.feed(e.Final(1, 1, "Hello there.", Reported(0.0, 0.3)), after=0.3)
    number = d.machine.turns
    d.feed(e.LlmDelta(number, "Hi, ", Reported(0.02, 0.18)), after=0.2)
    d.feed(e.LlmDelta(number, "you."), after=0.1)
    d.voice(number, 1)
    d.feed(e.EndOfTurn(1, 0.9), after=0.3)
    return number


def test_it_is_told_when_the_client_plays() -> None:
    d = Driver()
    number = answered(d)
    assert not d.announced("latency"), "nobody knows yet when the sound left for the client"
    delivered = Delivered(Reported(0.004, 0.1))
    d.feed(e.Played(number, 600, delivered), after=0.12)
    d.feed(e.Played(number, 700), after=0.12)
    (told,) = d.announced("latency")
    assert told.event.turn == number
    assert parts(told.event.latency) == {
        "silence_detection": 50,
        "asr_network": 50,
        "asr_queue": 0,
        "asr_final": 300,
        "llm_network": 20,
        "llm_queue": 20,
        "llm_first_token": 160,
        "first_clause": 0,
        "tts_first_audio": 100,
        "motion_first_frame": 0,
        "endpointing": 300,
        "orchestrator": 0,
        "egress_network": 10,
        "egress": 4,
    }


def test_it_is_told_at_the_end_when_the_client_says_nothing() -> None:
    d = Driver()
    number = answered(d)
    d.feed(e.UserInterrupt(), after=0.01)
    d.pass_time(Policy.stop_timeout)
    arms = [a.event.WhichOneof("event") for a in d.all(c.Announce)]
    assert arms.index("latency") + 1 == arms.index("turn_summary")
    assert d.announced("latency")[0].event.turn == number


def test_egress_may_tell_it_with_its_end() -> None:
    d = Driver()
    number = answered(d)
    d.feed(e.LlmDone(number), e.TtsDone(number), e.MotionEnded(number))
    d.feed(e.EgressEnded(number, 1, 1_200, Delivered(Reported(0.003, 0.09))), after=0.1)
    (told,) = d.announced("latency")
    assert parts(told.event.latency)["egress"] == 3


def test_a_greeting_has_none() -> None:
    d = Driver("Hello.")
    d.voice(1, 1)
    d.feed(e.Played(1, 600, Delivered(Reported(0.0, 0.1))))
    assert not d.announced("latency")


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_once_for_each_turn_and_before_its_end(steps: list[tuple[str, int, float]]) -> None:
    d = play(steps, "Hello. ")
    told: set[int] = set()
    ended: set[int] = set()
    for announced in d.all(c.Announce):
        event = announced.event
        if event.WhichOneof("event") == "latency":
            parts(event.latency)
            assert event.turn not in told | ended
            told.add(event.turn)
        if event.WhichOneof("event") == "turn_summary":
            ended.add(event.turn)


def test_docs_name_every_part() -> None:
    page = (Path(__file__).parents[3] / "docs" / "latency.md").read_text("utf-8")
    shown = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", page, re.MULTILINE))
    assert list(shown) == list(PARTS), "names, and their order"
    assert {name: text.strip() for name, text in shown.items()} == PARTS
