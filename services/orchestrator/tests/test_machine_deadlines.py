"""What is waited for, and for how long: nothing hangs, and nothing is cut off too early."""

from __future__ import annotations

from driver import CHUNK, HERTZ, Driver
from stagewire.common.v1 import turn_pb2
from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.policy import Policy

COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED


def all_of_a_turn(d: Driver, chunks: int) -> int:
    """A turn whose media are complete, and of which nothing has been played."""
    turn = d.ask("Hello.")
    d.generate(turn, "Hi.")
    d.voice(turn, chunks)
    d.feed(e.TtsDone(turn), e.MotionEnded(turn))
    return turn


def test_silence_from_every_stage_ends_the_turn() -> None:
    d = Driver()
    d.ask("Hello.")
    d.pass_time(Policy.answer_timeout)
    assert d.announced("turn_summary")[-1].event.turn_summary.reason == (
        turn_pb2.TURN_END_REASON_DEADLINE
    )
    assert d.machine.idle


def test_egress_that_never_confirms_the_end_does_not_hang_the_session() -> None:
    d = Driver()
    all_of_a_turn(d, 4)
    d.pass_time(4 * CHUNK / HERTZ + Policy.playback_grace + 0.1)
    assert d.machine.idle
    assert d.history.messages()[-1].role == "user", "nothing was confirmed, nothing was heard"


def test_a_turn_may_take_as_long_as_its_voice_lasts() -> None:
    d = Driver()
    chunks = round(3 * Policy.playback_grace * HERTZ / CHUNK)
    turn = all_of_a_turn(d, chunks)
    for k in range(chunks):
        d.feed(e.Played(turn, k * CHUNK))
        d.pass_time(CHUNK / HERTZ)
    assert not d.announced("turn_summary")
    d.feed(e.EgressEnded(turn, COMPLETED, chunks * CHUNK))
    assert d.announced("turn_summary")[-1].event.turn_summary.reason == COMPLETED


def test_a_turn_waits_for_a_client_that_is_away_as_long_as_egress_does() -> None:
    d = Driver()
    turn = all_of_a_turn(d, 4)
    d.feed(e.ClientLeft())
    d.pass_time(Policy.leave_grace - 1)
    d.feed(e.ClientJoined())
    d.pass_time(Policy.playback_grace)
    assert not d.announced("turn_summary")
    d.feed(e.EgressEnded(turn, COMPLETED, 4 * CHUNK))
    assert d.announced("turn_summary")[-1].event.turn_summary.reason == COMPLETED


def test_a_session_without_client_ends() -> None:
    d = Driver()
    d.feed(e.ClientLeft())
    d.pass_time(Policy.leave_grace)
    assert d.all(c.EndSession)
