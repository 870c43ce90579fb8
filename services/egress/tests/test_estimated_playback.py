"""The estimate of what a silent client has played, by a clock that the test moves."""

from stagewire_egress.websocket.backend_mode.playback import START_SECONDS, EstimatedPlayback


def test_it_moves_in_real_time_and_never_beyond_what_was_sent() -> None:
    playback = EstimatedPlayback(1000)
    assert playback.progress(0.0) is None
    playback.sent(1, 500, 0.0)
    playback.sent(1, 1000, 0.0)
    assert playback.progress(START_SECONDS) is None
    assert playback.progress(START_SECONDS + 0.25) == (1, 250)
    assert playback.progress(START_SECONDS + 0.25) is None
    assert playback.progress(99.0) == (1, 1000)


def test_it_stands_still_while_nothing_is_there_to_be_played() -> None:
    playback = EstimatedPlayback(1000)
    playback.sent(1, 100, 0.0)
    assert playback.progress(10.0) == (1, 100)
    playback.sent(1, 1000, 10.0)
    assert playback.progress(10.5) == (1, 600)


def test_a_stop_says_how_far_it_had_come_once() -> None:
    playback = EstimatedPlayback(1000)
    playback.sent(3, 1000, 0.0)
    assert playback.stop(2, 0.5) is None
    assert playback.stop(3, START_SECONDS + 0.5) == (3, 500)
    assert playback.stop(3, 9.0) is None
    assert playback.progress(9.0) is None


def test_a_new_turn_begins_at_zero() -> None:
    playback = EstimatedPlayback(1000)
    playback.sent(1, 1000, 0.0)
    playback.progress(5.0)
    playback.sent(2, 400, 5.0)
    assert playback.progress(5.0 + START_SECONDS + 0.1) == (2, 100)
