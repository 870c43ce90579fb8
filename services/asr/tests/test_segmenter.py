"""The state machine by example, and what holds for any sound."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire_asr.backends.whisper.segmenter import (
    Closed,
    Opened,
    PartialDue,
    Segmenter,
    State,
    Tuning,
    TurnCheckDue,
    TurnLimit,
)

FRAME = 512
SPEECH, SILENCE = 0.9, 0.05


def hear(segmenter, *stretches):
    """Feeds (probability, frames) stretches; returns all that followed."""
    return [
        action
        for probability, frames in stretches
        for _ in range(frames)
        for action in segmenter.hear(probability)
    ]


@pytest.fixture
def segmenter():
    return Segmenter(Tuning())


def test_speech_opens_after_two_frames_where_it_began(segmenter):
    assert hear(segmenter, (SILENCE, 5), (SPEECH, 1)) == []
    assert hear(segmenter, (SPEECH, 1)) == [Opened(1, 5 * FRAME)]


def test_a_click_opens_nothing(segmenter):
    assert hear(segmenter, (SILENCE, 5), (SPEECH, 1), (SILENCE, 5)) == []


def test_three_silent_frames_close_it_where_speech_ended(segmenter):
    hear(segmenter, (SPEECH, 5), (SILENCE, 2))
    assert hear(segmenter, (SILENCE, 1)) == [Closed(1, 5 * FRAME)]


def test_a_fading_voice_stays_in_its_utterance(segmenter):
    assert hear(segmenter, (SPEECH, 3), (0.4, 8)) == [Opened(1, 0)]
    assert hear(segmenter, (SILENCE, 3)) == [Closed(1, 11 * FRAME)]


def test_while_the_avatar_speaks_speech_must_be_clearer(segmenter):
    segmenter.avatar_speaking = True
    assert hear(segmenter, (0.6, 20), (SILENCE, 1), (SPEECH, 1)) == []
    assert hear(segmenter, (SPEECH, 1)) == [Opened(1, 21 * FRAME)]


def test_turn_checks_repeat_until_the_limit_and_then_no_more(segmenter):
    hear(segmenter, (SPEECH, 4))
    actions = hear(segmenter, (SILENCE, 200))
    assert actions == [
        Closed(1, 4 * FRAME),
        *(TurnCheckDue(1, frames * FRAME) for frames in (10, 16, 22, 28, 34)),
        TurnLimit(1, 38 * FRAME),
    ]
    assert segmenter.state is State.QUIET


def test_a_resumed_turn_is_not_judged_any_more(segmenter):
    hear(segmenter, (SPEECH, 4), (SILENCE, 12))
    assert segmenter.awaits_turn_end(1)
    assert hear(segmenter, (SPEECH, 2)) == [Opened(2, 16 * FRAME)]
    assert not segmenter.awaits_turn_end(1)


def test_a_taken_turn_is_not_judged_any_more(segmenter):
    hear(segmenter, (SPEECH, 4), (SILENCE, 4))
    segmenter.settle(1)
    assert hear(segmenter, (SILENCE, 100)) == []


def test_a_commit_of_the_past_leaves_the_present_alone(segmenter):
    hear(segmenter, (SPEECH, 4), (SILENCE, 4), (SPEECH, 4), (SILENCE, 4))
    segmenter.settle(1)
    assert segmenter.awaits_turn_end(2)


def test_partials_fall_due_while_speaking_only(segmenter):
    actions = hear(segmenter, (SPEECH, 30), (SILENCE, 60))
    assert [a for a in actions if isinstance(a, PartialDue)] == [PartialDue(1)] * 2


def test_finalize_closes_the_open_utterance_without_judging_the_turn(segmenter):
    hear(segmenter, (SPEECH, 6))
    assert segmenter.finalize() == [Closed(1, 6 * FRAME)]
    assert hear(segmenter, (SILENCE, 100)) == []


def test_finalize_in_silence_opens_and_closes_an_empty_utterance(segmenter):
    hear(segmenter, (SILENCE, 7))
    assert segmenter.finalize() == [Opened(1, 7 * FRAME), Closed(1, 7 * FRAME)]


def test_a_long_utterance_ends_at_its_first_silent_frame(segmenter):
    tuning = Tuning()
    hear(segmenter, (SPEECH, tuning.soft_length + 1))
    assert hear(segmenter, (SILENCE, 1)) == [Closed(1, (tuning.soft_length + 1) * FRAME)]


def test_endless_speech_is_cut_and_goes_on_at_once(segmenter):
    tuning = Tuning()
    actions = hear(segmenter, (SPEECH, tuning.hard_length + 3))
    edges = [a for a in actions if not isinstance(a, PartialDue)]
    cut = tuning.hard_length * FRAME
    assert edges == [Opened(1, 0), Closed(1, cut), Opened(2, cut)]


calls = st.one_of(
    st.tuples(st.just("hear"), st.floats(0, 1), st.integers(1, 60)),
    st.tuples(st.just("finalize"), st.just(0), st.just(0)),
    st.tuples(st.just("hint"), st.booleans(), st.just(0)),
    st.tuples(st.just("settle"), st.integers(1, 5), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(calls, max_size=40))
def test_whatever_is_heard_utterances_open_and_close_in_order(sequence):
    segmenter = Segmenter(Tuning())
    actions = []
    for call, value, times in sequence:
        if call == "hear":
            actions += hear(segmenter, (value, times))
        elif call == "finalize":
            actions += segmenter.finalize()
        elif call == "hint":
            segmenter.avatar_speaking = value
        else:
            segmenter.settle(value)
    edges = [a for a in actions if isinstance(a, Opened | Closed)]
    assert all(isinstance(a, Opened) == (i % 2 == 0) for i, a in enumerate(edges))
    assert [a.utterance for a in edges] == [i // 2 + 1 for i in range(len(edges))]
    samples = [a.sample for a in edges]
    assert samples == sorted(samples)
    assert not samples or samples[-1] <= segmenter.sample
    limits = [a.utterance for a in actions if isinstance(a, TurnLimit)]
    assert len(limits) == len(set(limits))
