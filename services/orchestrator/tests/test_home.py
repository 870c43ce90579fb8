"""Which instance of egress a session stays at."""

from __future__ import annotations

from stagewire_orchestrator.stages.home import PATIENCE_SECONDS, Home


def test_a_stream_goes_back_to_the_instance_that_the_client_knows() -> None:
    home = Home()
    assert home.accept("at=a", 0.0)
    assert not home.accept("at=b", 10.0)
    assert home.accept("at=a", 10.5)
    assert not home.accept("at=b", 20.0)  # the patience is whole again
    assert not home.accept("at=b", 20.0 + PATIENCE_SECONDS - 0.1)


def test_an_instance_that_stays_away_is_done_without() -> None:
    home = Home()
    assert home.accept("at=a", 0.0)
    assert not home.accept("at=b", 10.0)
    assert home.accept("at=b", 10.0 + PATIENCE_SECONDS)
    assert not home.accept("at=a", 20.0)  # the client has moved by now


def test_after_a_drain_another_instance_will_do_at_once() -> None:
    home = Home()
    assert home.accept("at=a", 0.0)
    home.leave()
    assert home.accept("at=b", 0.1)


def test_a_room_is_home_anywhere() -> None:
    home = Home()
    assert home.accept("", 0.0)
    assert home.accept("", 1.0)
