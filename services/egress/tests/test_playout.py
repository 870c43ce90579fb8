"""The turns' state machine: no sockets, and time as an argument."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagekit.errors import StageError
from stagewire.common.v1 import audio_pb2, turn_pb2
from stagewire.egress.v1 import egress_pb2
from stagewire_egress.playout import FAREWELL_SECONDS, PATIENCE_SECONDS, Playout, Report

RATE = 24_000


def audio(turn: int, start: int, samples: int) -> egress_pb2.TurnAudio:
    return egress_pb2.TurnAudio(
        turn=turn, audio=audio_pb2.Audio(data=bytes(2 * samples), start_sample=start)
    )


def playing(seconds: int = 2) -> Playout:
    """Turn 1 has been sent to a client that is present."""
    playout = Playout(RATE, return_seconds=10)
    playout.presence(True, 0)
    playout.start(1, 0)
    playout.audio(audio(1, 0, seconds * RATE), 0)
    playout.handed_over(1, seconds * RATE, 0.1)
    return playout


def reason(reports: list[Report]) -> str:
    (ended,) = (r for r in reports if isinstance(r, egress_pb2.TurnEnded))
    return turn_pb2.TurnEndReason.Name(ended.reason).removeprefix("TURN_END_REASON_")


def test_the_deadline_counts_from_the_last_progress() -> None:
    playout = playing(seconds=2)
    assert playout.due() == 2 + PATIENCE_SECONDS
    playout.report(1, RATE, False, 3.0)
    assert playout.due() == 3 + 1 + PATIENCE_SECONDS
    assert playout.expire(8.9) == []
    assert reason(playout.expire(9.0)) == "DEADLINE"
    assert playout.due() is None


def test_the_first_report_tells_how_long_the_voice_waited_here() -> None:
    playout = playing()
    (first,) = playout.report(1, 2_400, False, 0.35)
    assert first.timing.queue_wait.ToMilliseconds() == 100, "until the connection took it"
    assert first.timing.since_trigger.ToMilliseconds() == 350
    (second,) = playout.report(1, 4_800, False, 0.45)
    assert not second.HasField("timing")


def test_a_stalled_voice_is_not_the_clients_fault() -> None:
    playout = playing(seconds=1)
    playout.report(1, RATE, False, 1.0)
    assert playout.due() is None
    playout.audio(audio(1, RATE, RATE), 60.0)
    assert playout.due() == 60 + 1 + PATIENCE_SECONDS


def test_an_interrupt_waits_for_the_last_report_but_not_long() -> None:
    playout = playing()
    assert playout.interrupt(egress_pb2.Interrupt(turn=1), 5.0) == []
    assert playout.due() == 5 + FAREWELL_SECONDS
    assert playout.report(1, 100, False, 5.1) == []
    (ended,) = playout.expire(5.25)
    assert isinstance(ended, egress_pb2.TurnEnded)
    assert ended.played_samples == 100
    assert playout.interrupt(egress_pb2.Interrupt(turn=1), 6.0) is None  # twice does no harm
    assert playout.report(1, 200, True, 6.0) == []


def test_an_interrupt_of_what_nobody_has_got_ends_at_once() -> None:
    playout = Playout(RATE, return_seconds=10)
    playout.presence(True, 0)
    playout.start(1, 0)
    playout.audio(audio(1, 0, 10), 0)
    assert reason(playout.interrupt(egress_pb2.Interrupt(turn=1), 1) or []) == "INTERRUPTED"


def test_an_absent_client_has_time_to_return() -> None:
    playout = playing()
    assert playout.presence(False, 1) == []
    assert playout.due() == 11
    playout.presence(True, 5)
    assert playout.due() == 5 + 2 + PATIENCE_SECONDS
    playout.presence(False, 6)
    assert reason(playout.expire(16)) == "FAILED"
    playout.start(2, 20)
    assert reason(playout.expire(20)) == "FAILED"


@pytest.mark.parametrize("samples", [-1, 99, 48_001, 10**40])
def test_a_position_that_cannot_be_true_is_refused(samples: int) -> None:
    playout = playing(seconds=2)
    playout.report(1, 100, False, 1)
    with pytest.raises(StageError, match="playback of turn 1"):
        playout.report(1, samples, False, 1)


def test_media_after_the_end_is_refused() -> None:
    playout = playing()
    playout.finish(egress_pb2.EndOfTurn(turn=1), 1)
    with pytest.raises(StageError, match="after its end_of_turn"):
        playout.audio(audio(1, 2 * RATE, 10), 1)


def test_timing_is_measured_from_the_first_audio() -> None:
    playout = playing()
    playout.finish(egress_pb2.EndOfTurn(turn=1), 1)
    ended = playout.report(1, 2 * RATE, False, 3.5)[-1]
    assert isinstance(ended, egress_pb2.TurnEnded)
    assert ended.timing.since_trigger.ToMilliseconds() == 3_500
    assert ended.timing.queue_wait.ToMilliseconds() == 100


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 2)),
        st.tuples(st.just("audio"), st.integers(-1, 3)),
        st.tuples(st.just("hand over"), st.integers(0, 400)),
        st.tuples(st.just("report"), st.integers(-10, 400)),
        st.tuples(st.just("stopped"), st.integers(-10, 400)),
        st.tuples(st.just("finish"), st.just(0)),
        st.tuples(st.just("interrupt"), st.integers(-1, 1)),
        st.tuples(st.just("presence"), st.booleans()),
        st.tuples(st.just("wait"), st.integers(0, 12)),
    ),
    max_size=60,
)


@given(_STEPS)
def test_every_turn_ends_once_and_never_past_what_was_confirmed(
    steps: list[tuple[str, Any]],
) -> None:
    playout, now, newest, sent = Playout(RATE, return_seconds=10), 0.0, 0, 0
    started: list[int] = []
    confirmed: dict[int, int] = {}
    reports: list[Report] = []

    def apply(step: str, value: Any) -> list[Report] | None:
        nonlocal newest, sent
        match step:
            case "start":
                ended = playout.start(newest + value, now)
                newest, sent = newest + value, 0
                started.append(newest)
                return ended
            case "audio":
                start = playout.length(newest) if playout.open_turn else 0
                playout.audio(audio(newest, start + max(0, value - 2), 100), now)
            case "hand over":
                if playout.open_turn:
                    sent = min(value, playout.length(newest))
                    playout.handed_over(newest, sent, now)
            case "report" | "stopped":
                result = playout.report(newest, value, step == "stopped", now)
                confirmed[newest] = max(confirmed.get(newest, 0), value)
                return result
            case "finish":
                return playout.finish(egress_pb2.EndOfTurn(turn=max(newest, 0)), now)
            case "interrupt":
                return playout.interrupt(egress_pb2.Interrupt(turn=max(newest + value, 0)), now)
            case "presence":
                return playout.presence(value, now)
        return []

    for step, value in steps:
        now += value if step == "wait" else 0.01
        try:
            reports += apply(step, value) or []
        except StageError:
            continue
        reports += playout.expire(now)
    reports += playout.close(now)

    ended = [r for r in reports if isinstance(r, egress_pb2.TurnEnded)]
    assert sorted(r.turn for r in ended) == started
    for report in ended:
        assert 0 <= report.played_samples <= confirmed.get(report.turn, 0)
    positions: dict[int, int] = {}
    for report in reports:
        assert report.played_samples >= positions.get(report.turn, 0)
        positions[report.turn] = report.played_samples
    assert playout.due() is None
