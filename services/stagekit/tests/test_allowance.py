"""How much may come, by a clock that the test moves."""

from stagekit.allowance import Allowance, Allowances


def test_a_burst_and_then_the_rate() -> None:
    allowance = Allowance(rate=2.0, burst=4.0, now=0.0)
    assert [allowance.take(1.0, 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert allowance.take(1.0, 1.0)


def test_callers_have_their_own_and_refusals_cost_nothing() -> None:
    now = [0.0]
    allowances = Allowances(rate=1.0, burst=2.0, clock=lambda: now[0])
    assert [allowances.take("a") for _ in range(9)] == [True, True] + [False] * 7
    assert allowances.take("b")
    now[0] = 1.0
    assert allowances.take("a")
    assert not allowances.take("a")


def test_memory_is_bounded_by_forgetting_who_was_not_seen_for_longest() -> None:
    allowances = Allowances(rate=1.0, burst=1.0, clock=lambda: 0.0, limit=2)
    assert allowances.take("a")
    assert allowances.take("b")
    assert not allowances.take("a")
    assert allowances.take("c")  # forgets b
    assert allowances.take("b")
    assert not allowances.take("c")
