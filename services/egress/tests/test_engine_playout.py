"""What a motion engine that plays by itself reports: which turn it is of, and what may be true."""

from __future__ import annotations

import pytest
from stagekit.errors import StageError
from stagewire.common.v1 import audio_pb2, turn_pb2
from stagewire.egress.v1 import egress_pb2
from stagewire_egress.playout import ENGINE_FAREWELL_SECONDS, PATIENCE_SECONDS, Playout, Report

RATE = 24_000


def started(playout: Playout, turn: int, seconds: float, now: float, whole: bool = True) -> None:
    samples = int(seconds * RATE)
    playout.start(turn, now)
    voice = audio_pb2.Audio(data=bytes(2 * samples), start_sample=0)
    playout.audio(egress_pb2.TurnAudio(turn=turn, audio=voice), now)
    playout.handed_over(turn, samples, now)
    if whole:
        playout.finish(egress_pb2.EndOfTurn(turn=turn), now)


@pytest.fixture
def playout() -> Playout:
    """Somebody is there."""
    playout = Playout(RATE, return_seconds=10, engine=True)
    playout.presence(True, 0)
    return playout


def cut(playout: Playout, turn: int, now: float) -> list[Report]:
    return playout.interrupt(egress_pb2.Interrupt(turn=turn), now) or []


def told(reports: list[Report]) -> tuple[int, str, int]:
    (ended,) = (r for r in reports if isinstance(r, egress_pb2.TurnEnded))
    reason = turn_pb2.TurnEndReason.Name(ended.reason).removeprefix("TURN_END_REASON_")
    return ended.turn, reason, ended.played_samples


def test_the_beginning_is_told_once_with_how_long_it_took(playout: Playout) -> None:
    assert playout.began(0.0) == []
    started(playout, 1, 2.0, 1.0)
    (begun,) = playout.began(1.3)
    assert isinstance(begun, egress_pb2.Playback)
    assert (begun.turn, begun.played_samples) == (1, 0)
    assert begun.timing.queue_wait.ToMilliseconds() == 300
    assert playout.began(1.4) == []


def test_a_turn_that_was_played_to_its_end(playout: Playout) -> None:
    started(playout, 1, 2.0, 0.0)
    assert told(playout.finished(2 * RATE, False, 2.1)) == (1, "COMPLETED", 2 * RATE)
    with pytest.raises(StageError, match="no turn"):
        playout.finished(2 * RATE, False, 2.2)  # twice


@pytest.mark.parametrize(
    ("position", "reason", "played"),
    [(1.9, "COMPLETED", 1.9), (2.3, "COMPLETED", 2.0), (1.0, "FAILED", 1.0), (0.0, "FAILED", 0.0)],
)
def test_an_end_that_is_not_quite_the_end(
    playout: Playout, position: float, reason: str, played: float
) -> None:
    started(playout, 1, 2.0, 0.0)
    assert told(playout.finished(int(position * RATE), False, 9.0)) == (
        1,
        reason,
        int(played * RATE),
    )


def test_an_interrupted_turn_ends_where_the_engine_says(playout: Playout) -> None:
    started(playout, 1, 8.0, 0.0, whole=False)
    assert cut(playout, 1, 3.0) == []
    assert told(playout.finished(int(2.9 * RATE), True, 3.1)) == (
        1,
        "INTERRUPTED",
        int(2.9 * RATE),
    )


def test_the_engine_s_report_counts_though_nobody_is_known_to_listen() -> None:
    playout = Playout(RATE, 5.0, engine=True)  # LiveKit may announce a silent user seconds later
    started(playout, 1, 8.0, 0.0, whole=False)
    assert cut(playout, 1, 3.0) == []
    assert told(playout.finished(2 * RATE, True, 3.1)) == (1, "INTERRUPTED", 2 * RATE)


def test_without_a_report_an_interrupted_turn_was_not_heard(playout: Playout) -> None:
    started(playout, 1, 8.0, 0.0)
    cut(playout, 1, 3.0)
    assert playout.due() == 3.0 + ENGINE_FAREWELL_SECONDS
    assert told(playout.expire(5.0)) == (1, "INTERRUPTED", 0)


def test_a_report_that_crossed_the_interrupt_counts(playout: Playout) -> None:
    started(playout, 1, 2.0, 0.0)
    cut(playout, 1, 2.0)
    assert told(playout.finished(2 * RATE, False, 2.1)) == (1, "INTERRUPTED", 2 * RATE)


def test_a_late_report_is_not_taken_for_the_next_turns(playout: Playout) -> None:
    started(playout, 1, 8.0, 0.0)
    cut(playout, 1, 3.0)
    playout.expire(5.0)
    started(playout, 2, 6.0, 5.1)
    with pytest.raises(StageError, match="was interrupted"):
        playout.finished(3 * RATE, True, 5.2)
    with pytest.raises(StageError, match="cannot have been played"):
        playout.finished(3 * RATE, False, 5.2)  # it began a tenth of a second ago
    assert playout.open_turn == 2


def test_a_report_that_comes_before_the_interrupt_waits_for_it(playout: Playout) -> None:
    started(playout, 1, 8.0, 0.0, whole=False)
    playout.began(0.1)
    assert playout.finished(int(2.9 * RATE), True, 3.0) == []
    assert playout.open_turn == 1
    assert told(cut(playout, 1, 3.01)) == (1, "INTERRUPTED", int(2.9 * RATE))


def test_a_report_without_an_interrupt_soon_after_counts_for_nothing(playout: Playout) -> None:
    started(playout, 1, 8.0, 0.0, whole=False)
    playout.began(0.1)
    assert playout.finished(2 * RATE, True, 3.0) == []
    assert cut(playout, 1, 5.0) == []
    assert playout.due() == 5.0 + ENGINE_FAREWELL_SECONDS


def test_a_report_that_came_early_is_of_the_turn_that_played_then(playout: Playout) -> None:
    started(playout, 1, 2.0, 0.0)
    playout.began(0.1)
    assert playout.finished(RATE, True, 1.9) == []
    assert told(playout.finished(2 * RATE, False, 2.0)) == (1, "COMPLETED", 2 * RATE)
    started(playout, 2, 8.0, 2.0, whole=False)
    playout.began(2.05)
    assert cut(playout, 2, 2.1) == []


def test_of_two_interrupted_turns_the_older_is_told_first(playout: Playout) -> None:
    started(playout, 1, 8.0, 0.0)
    cut(playout, 1, 1.0)
    started(playout, 2, 8.0, 1.1)
    cut(playout, 2, 2.0)
    assert told(playout.finished(RATE, True, 2.1)) == (1, "INTERRUPTED", RATE)
    assert told(playout.finished(RATE // 2, True, 2.2)) == (2, "INTERRUPTED", RATE // 2)


def test_a_turn_whose_end_was_not_sent_cannot_have_ended(playout: Playout) -> None:
    started(playout, 1, 2.0, 0.0, whole=False)
    with pytest.raises(StageError, match="come to its end"):
        playout.finished(2 * RATE, False, 2.0)
    assert playout.due() is None  # its voice may still come


def test_a_turn_of_which_nothing_is_told_ends_with_patience(playout: Playout) -> None:
    started(playout, 1, 2.0, 0.0)
    assert playout.due() == 2.0 + PATIENCE_SECONDS
    assert told(playout.expire(7.0)) == (1, "DEADLINE", 0)


def test_nothing_was_started(playout: Playout) -> None:
    for interrupted in (True, False):
        with pytest.raises(StageError):
            playout.finished(0, interrupted, 1.0)
