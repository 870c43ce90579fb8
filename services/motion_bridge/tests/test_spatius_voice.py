"""Whatever is sent, answered and sent again: the voice goes up whole, in order, with one end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagewire_motion_bridge.backends.spatius.voice import RATES, Voice, engine_rate

HERTZ = 16_000
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 3_000)),
        st.tuples(st.just("take"), st.integers(2, 2_000).map(lambda n: n & ~1)),
        st.tuples(st.just("answered"), st.integers(0, 30)),
        st.tuples(st.just("again"), st.just(0)),
    ),
    max_size=40,
)


def drain(voice: Voice, most: int = 1_000) -> tuple[bytes, int]:
    sent, ends = b"", 0
    while (piece := voice.take(most)) is not None:
        sent += piece[0]
        ends += piece[1]
    return sent, ends


@given(STEPS)
def test_another_session_is_sent_all_that_had_no_answer(steps: list[tuple[str, int]]) -> None:
    voice = Voice(HERTZ, HERTZ)
    said, sent, answered = b"", 0, 0.0
    for step, number in steps:
        if step == "add":
            piece = np.arange(len(said) // 2, len(said) // 2 + number).astype("<i2").tobytes()
            said += piece
            voice.add(piece)
        elif step == "take" and (taken := voice.take(number)) is not None:
            assert taken == (said[sent : sent + len(taken[0])], False)
            sent += len(taken[0])
        elif step == "answered":
            # An honest server answers what it was sent.
            answered = max(answered, min(number / 25, sent / 2 / HERTZ))
            voice.answered(answered)
        elif step == "again":
            voice.again()
            sent = 2 * round(answered * HERTZ)
    voice.finish()
    voice.again()
    rest, ends = drain(voice)
    assert rest == said[2 * round(answered * HERTZ) :]
    assert ends == 1
    assert voice.take(1_000) is None


def test_an_answer_to_more_than_was_sent_takes_nothing_away() -> None:
    voice = Voice(HERTZ, HERTZ)
    voice.add(bytes(2_000))
    voice.take(1_000)
    voice.answered(10.0)
    voice.finish()
    assert len(drain(voice)[0]) == 1_000


def test_no_audio_at_all_is_still_an_end() -> None:
    voice = Voice(HERTZ, HERTZ)
    assert voice.take(100) is None
    voice.finish()
    assert voice.take(100) == (b"", True)
    assert voice.take(100) is None


@pytest.mark.parametrize("hertz", [8_000, 11_025, 12_000, 22_050, 44_100])
def test_resampled_without_a_seam(hertz: int) -> None:
    target = engine_rate(hertz, "opus")
    tone = (8_000 * np.sin(2 * np.pi * 200 * np.arange(hertz) / hertz)).astype("<i2")
    voice = Voice(hertz, target)
    for begin in range(0, hertz, 333):
        voice.add(tone[begin : begin + 333].tobytes())
    voice.finish()
    sent = np.frombuffer(drain(voice)[0], "<i2").astype(float)
    assert abs(len(sent) - target) <= 2
    wanted = 8_000 * np.sin(2 * np.pi * 200 * np.arange(len(sent)) / target)
    assert np.abs(sent - wanted)[500:-500].max() < 80


@pytest.mark.parametrize("audio", RATES)
def test_rates_go_up_to_the_next_that_is_taken(audio: str) -> None:
    for hertz in range(8_000, 48_001, 25):
        rate = engine_rate(hertz, audio)
        assert rate in RATES[audio]
        assert rate >= hertz
        assert rate % 25 == 0
