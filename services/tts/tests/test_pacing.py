from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagewire_tts.backend import Clause, PhonemeTime, WordTime
from stagewire_tts.pacing import LEAD_SECONDS, TAIL_SECONDS, pace, pause_after, rescale

RATE = 24_000


def clause(lead: int, sounds: list[int], tail: int) -> Clause:
    """Sounds of the given lengths between silences, one word."""
    phonemes, at = [], 0
    for symbol, length in [("sil", lead), *(("AA", n) for n in sounds), ("sil", tail)]:
        if length:
            phonemes.append(PhonemeTime(symbol, at, at + length))
            at += length
    samples = np.zeros(at, np.float32)
    samples[lead : at - tail] = 0.5
    return Clause(samples, (WordTime(0, 1, lead, at - tail),), tuple(phonemes))


def assert_contiguous(made: Clause, length: int) -> None:
    assert made.phonemes[0].start == 0
    assert made.phonemes[-1].end == length
    for before, after in zip(made.phonemes, made.phonemes[1:], strict=False):
        assert before.end == after.start
    assert all(phoneme.end > phoneme.start for phoneme in made.phonemes)


@given(
    st.integers(0, 12_000),
    st.lists(st.integers(600, 5_000), min_size=1, max_size=8),
    st.integers(0, 12_000),
    st.sampled_from([0.0, 0.06, 0.15, 0.3]),
)
def test_silences_are_cut_and_offsets_stay_exact(
    lead: int, sounds: list[int], tail: int, pause: float
) -> None:
    made = pace(clause(lead, sounds, tail), RATE, pause)
    assert_contiguous(made, len(made.samples))
    word = made.words[0]
    assert word.end - word.start == sum(sounds)
    # A few milliseconds at an edge may be faded.
    inside = made.samples[word.start + 200 : word.end - 200]
    assert np.all(inside == 0.5)
    outside = np.concatenate([made.samples[: word.start], made.samples[word.end :]])
    assert not np.any(outside)
    if not pause:
        assert word.start <= LEAD_SECONDS * RATE + 1
    assert len(made.samples) - word.end <= TAIL_SECONDS * RATE + 1


@pytest.mark.parametrize(("text", "seconds"), [("Yes,", 0.15), ("Yes. ", 0.3), ("Yes", 0.06)])
def test_the_pause_between_two_clauses(text: str, seconds: float) -> None:
    first = pace(clause(5_000, [3_000], 5_000), RATE, 0.0)
    second = pace(clause(5_000, [3_000], 5_000), RATE, pause_after(text, 1.0))
    silence = len(first.samples) - first.words[0].end + second.words[0].start
    assert silence / RATE == pytest.approx(max(seconds, LEAD_SECONDS + TAIL_SECONDS), abs=0.001)


def test_without_phonemes_loudness_tells_silence() -> None:
    spoken = Clause(clause(9_600, [4_800], 9_600).samples)
    made = pace(spoken, RATE, 0.0)
    assert len(made.samples) == pytest.approx((LEAD_SECONDS + 0.2 + TAIL_SECONDS) * RATE, abs=960)


@given(
    st.lists(st.integers(600, 5_000), min_size=1, max_size=20),
    st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]),
)
def test_rescaled_offsets_stay_contiguous_to_the_last_sample(sounds: list[int], rate: int) -> None:
    made = pace(clause(1_000, sounds, 1_000), RATE, 0.0)
    scaled = rescale(made, RATE, rate)
    length = (2 * len(made.samples) * rate + RATE) // (2 * RATE)
    assert_contiguous(scaled, length)
    assert scaled.words[0].start == scaled.phonemes[1].start
