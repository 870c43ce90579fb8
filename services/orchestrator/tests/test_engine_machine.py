"""The machine where the motion engine plays by itself: what motion_bridge gets, sounds."""

from __future__ import annotations

import pytest
from driver import CHUNK, HERTZ, Driver
from stagewire.common.v1 import turn_pb2
from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.history import Message
from stagewire_orchestrator.policy import Policy

COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED
INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED
FAILED = turn_pb2.TURN_END_REASON_FAILED
STORY = "Once upon a time there was a fox, who "


@pytest.fixture
def d() -> Driver:
    return Driver(engine_plays=True)


def sounding(d: Driver, chunks: int = 20) -> int:
    """A turn that sounds."""
    turn = d.ask("Tell me a story.")
    d.feed(e.LlmDelta(turn, STORY))
    d.words(turn, STORY, 2 * CHUNK)
    d.voice(turn, chunks, motion=False)
    assert d.all(c.StartPlaying)[-1].turn == turn
    return turn


def reasons(d: Driver) -> list[int]:
    return [a.event.turn_summary.reason for a in d.announced("turn_summary")]


def test_a_prepared_answer_is_not_given_to_the_engine_before_it_may_sound(d: Driver) -> None:
    d.hear("What is the capital of Italy?")
    turn = d.machine.turns
    d.generate(turn, "Rome.")
    d.words(turn, "Rome.", CHUNK)
    d.voice(turn, 4, motion=False)
    d.feed(e.TtsDone(turn))
    assert not d.all(c.StartMotion)
    assert not d.all(c.MoveAudio)
    out = d.feed(e.EndOfTurn(1, 0.8))
    kinds = [type(command) for command in out]
    first = [kind for kind in kinds if kind in (c.StartPlaying, c.StartMotion, c.PlayAudio)]
    assert first[:2] == [c.StartPlaying, c.StartMotion]
    assert kinds.count(c.MoveAudio) == kinds.count(c.PlayAudio) == 4
    assert kinds.index(c.FinishMotion) > kinds.index(c.MoveAudio)
    assert c.FinishPlaying(turn) in out, "egress hears of the end at once: no motion comes"


def test_a_superseded_answer_never_reaches_the_engine(d: Driver) -> None:
    d.hear("What is the capital")
    d.generate(1, "The capital of what?")
    d.voice(1, motion=False)
    d.feed(e.SpeechStarted(2))
    d.pass_time(1.0)
    assert not d.all(c.MoveAudio)


def test_the_end_is_the_engines_word_and_motion_bridges_estimate_ends_nothing(d: Driver) -> None:
    turn = sounding(d, 4)
    d.feed(e.LlmDone(turn), e.TtsDone(turn))
    d.feed(e.MotionEnded(turn), after=2.0)
    assert not reasons(d)
    d.feed(e.EgressEnded(turn, COMPLETED, 4 * CHUNK))
    assert reasons(d) == [COMPLETED]
    assert d.history.messages()[-1] == Message("assistant", STORY.strip())


def test_history_has_what_was_reported_and_the_next_answer_waits_for_it(d: Driver) -> None:
    turn = sounding(d)
    out = d.feed(e.UserText("Go on."), after=0.4)
    assert [x for x in out if isinstance(x, c.InterruptMotion)] == [c.InterruptMotion(turn)]
    assert d.machine.turns == turn + 1
    assert len(d.all(c.StartLlm)) == 1, "what was heard is not known yet"
    d.feed(e.EgressEnded(turn, INTERRUPTED, 6 * CHUNK), after=0.05)
    asked = d.all(c.StartLlm)[-1]
    assert asked.turn == turn + 1
    assert asked.messages[-2:] == (
        Message("assistant", "Once upon a…"),
        Message("user", "Go on."),
    )


def test_without_a_report_nothing_was_heard_and_the_next_answer_comes_all_the_same(
    d: Driver,
) -> None:
    turn = sounding(d)
    d.feed(e.UserText("Go on."), after=0.4)
    d.pass_time(Policy.engine_stop_timeout)
    assert reasons(d) == [INTERRUPTED]
    assert d.all(c.StartLlm)[-1].turn == turn + 1
    assert [m.role for m in d.all(c.StartLlm)[-1].messages] == ["system", "user"]


def test_a_waiting_answer_that_is_superseded_is_never_asked_for(d: Driver) -> None:
    turn = sounding(d)
    d.feed(e.UserText("Go on."))
    out = d.feed(e.UserText("No, stop."))
    assert c.CancelCalls(turn + 1) not in out
    d.feed(e.EgressEnded(turn, INTERRUPTED, 0))
    assert [s.turn for s in d.all(c.StartLlm)] == [turn, turn + 2]


def test_an_engine_that_is_lost_in_mid_turn_costs_that_turn(d: Driver) -> None:
    turn = sounding(d)
    out = d.feed(e.MotionFailed(turn))
    assert c.InterruptPlaying(turn) in out
    assert c.CancelCalls(turn) in out
    d.feed(e.EgressEnded(turn, INTERRUPTED, 2 * CHUNK))
    assert reasons(d) == [FAILED]
    assert d.history.messages()[-1] == Message("assistant", "Once…")
    d.feed(e.SpeechStarted(2))
    turn = d.ask("Again, please.", utterance=3)
    d.generate(turn, "Once.")
    d.voice(turn, 2, motion=False)
    assert d.all(c.StartPlaying)[-1].turn == turn


def test_while_motion_bridge_is_away_answers_wait(d: Driver) -> None:
    d.feed(e.MotionLost())
    turn = d.ask("Hello?")
    d.generate(turn, "Hi.")
    d.voice(turn, 2, motion=False)
    d.pass_time(3.0)
    assert not d.all(c.StartPlaying)
    out = d.feed(e.MotionBack())
    assert [x for x in out if isinstance(x, c.StartMotion)] == [c.StartMotion(turn)]
    assert sum(isinstance(x, c.MoveAudio) for x in out) == 2


def test_a_long_answer_is_read_as_fast_as_it_can_be_played(d: Driver) -> None:
    """Positions come at the end only; time alone bounds how far the voice may be ahead."""
    turn = d.ask("Talk for ever.")
    sent = 0
    for _ in range(60):
        while d.machine.wants_audio(turn, d.now):
            d.feed(e.TtsAudio(turn, bytes(2 * CHUNK), sent))
            sent += CHUNK
        d.pass_time(0.5)
    ahead = sent / HERTZ - 30.0
    assert Policy.max_lead - 1.0 < ahead < Policy.max_lead + 0.1


def test_a_position_that_motion_bridge_reports_is_a_confirmation_too(d: Driver) -> None:
    turn = sounding(d)
    d.feed(e.Played(turn, 4 * CHUNK))
    d.feed(e.UserInterrupt())
    d.pass_time(Policy.engine_stop_timeout)
    assert d.history.messages()[-1] == Message("assistant", "Once upon…")
