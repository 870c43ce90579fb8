from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagewire_motion_bridge.backends.spatius.errors import Action
from stagewire_motion_bridge.backends.spatius.reconnect import LONGEST_PAUSE, Reconnect, Retry


def policy(regions: int = 1, attempts: int = 5) -> Reconnect:
    return Reconnect(regions, attempts, 30.0, random.Random(1))


def test_pauses_grow_and_end() -> None:
    reconnect = policy()
    pauses = []
    while (retry := reconnect.failed(Action.RETRY)) is not None:
        pauses.append(retry.pause)
    assert len(pauses) == 4
    assert pauses == sorted(pauses)
    assert 0.07 <= pauses[0] <= 0.13


@given(st.lists(st.sampled_from(Action), max_size=30), st.integers(1, 4), st.integers(1, 10))
def test_whatever_fails_is_bounded(actions: list[Action], regions: int, attempts: int) -> None:
    reconnect = policy(regions, attempts)
    in_a_row = 0
    for action in actions:
        retry = reconnect.failed(action)
        if retry is None:
            break
        assert 0 <= retry.region < regions
        if action is Action.WAIT:
            assert retry.pause == 30.0
        else:
            in_a_row += 1
            assert retry.pause <= LONGEST_PAUSE * 1.3
    assert in_a_row < attempts or attempts == 1


def test_the_next_region_is_tried_after_a_failure_and_the_first_with_a_new_turn() -> None:
    reconnect = policy(regions=3)
    regions = [reconnect.failed(Action.RETRY) for _ in range(4)]
    assert [retry.region for retry in regions if retry] == [1, 2, 0, 1]
    assert reconnect.again() == Retry(0.0, 0)


def test_one_fresh_token_and_no_more_until_motion_came() -> None:
    reconnect = policy()
    assert reconnect.failed(Action.FRESH) == Retry(0.0, 0)
    assert reconnect.failed(Action.FRESH) is None
    reconnect.stands()
    assert reconnect.failed(Action.FRESH) == Retry(0.0, 0)


@pytest.mark.parametrize("action", [Action.STOP, Action.REST])
def test_some_failures_are_not_followed_by_a_try(action: Action) -> None:
    assert policy().failed(action) is None


def test_a_full_account_is_asked_after_its_pause_however_often() -> None:
    reconnect = policy(attempts=2)
    assert [reconnect.failed(Action.WAIT) for _ in range(5)] == [Retry(30.0, 0)] * 5


def test_conversations_do_not_come_back_in_step() -> None:
    pauses = {Reconnect(1, 9, 30.0, random.Random(seed)).failed(Action.RETRY) for seed in range(20)}
    assert len(pauses) == 20
