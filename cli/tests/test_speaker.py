"""The loudspeaker without sound: its time is an argument."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from stagewire_cli.speaker import Speaker, timeline

RATE = 1_000


def voice(start: int, count: int) -> bytes:
    return (np.arange(start, start + count) % 30_000).astype("<i2").tobytes()


def test_it_plays_at_its_rate_and_falls_silent_at_the_end() -> None:
    speaker = Speaker(RATE)
    speaker.start(1, 0.0)
    speaker.push(1, 0, voice(0, 500), 10.0)
    speaker.advance(10.25)
    assert (speaker.position, speaker.silent) == (250, False)
    speaker.finish(1, 10.3)
    speaker.advance(11.0)
    assert (speaker.position, speaker.silent, speaker.underruns) == (500, True, 0)


def test_it_waits_for_a_little_voice_before_it_begins() -> None:
    speaker = Speaker(RATE)
    speaker.start(1, 0.0)
    speaker.push(1, 0, voice(0, 59), 0.0)
    speaker.advance(1.0)
    assert speaker.position == 0
    speaker.push(1, 59, voice(59, 1), 1.0)
    speaker.advance(1.03125)
    assert speaker.position == 31


def test_it_stops_for_want_of_voice_and_says_so() -> None:
    speaker = Speaker(RATE)
    speaker.start(1, 0.0)
    speaker.push(1, 0, voice(0, 100), 0.0)
    speaker.advance(5.0)
    assert (speaker.position, speaker.underruns) == (100, 1)
    speaker.push(1, 100, voice(100, 100), 5.0)
    speaker.finish(1, 5.0)
    speaker.advance(6.0)
    assert (speaker.position, speaker.underruns) == (200, 1)
    track = np.frombuffer(timeline(speaker.heard, 0.0, RATE), "<i2")
    assert len(track) == 5_100
    assert list(track[:100]) == list(range(100))
    assert not track[100:5_000].any()
    assert list(track[5_000:]) == list(range(100, 200))


def test_an_interrupt_drops_what_has_not_sounded() -> None:
    speaker = Speaker(RATE)
    speaker.start(1, 0.0)
    speaker.push(1, 0, voice(0, 500), 0.0)
    speaker.stop(0.125)
    speaker.push(1, 500, voice(500, 500), 0.2)
    speaker.advance(9.0)
    assert (speaker.position, speaker.silent) == (125, True)
    assert sum(len(heard.pcm) for heard in speaker.heard) == 2 * 125


def test_voice_that_is_sent_again_after_coming_back_sounds_once() -> None:
    speaker = Speaker(RATE)
    speaker.start(1, 0.0)
    speaker.push(1, 0, voice(0, 200), 0.0)
    speaker.start(1, 0.1)
    speaker.push(1, 100, voice(100, 200), 0.1)
    speaker.finish(1, 0.1)
    speaker.advance(9.0)
    assert b"".join(bytes(heard.pcm) for heard in speaker.heard) == voice(0, 300)


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 0.5)), max_size=20))
def test_everything_sounds_once_and_in_order(pieces: list[tuple[int, float]]) -> None:
    speaker, now, sent = Speaker(RATE), 0.0, 0
    speaker.start(1, now)
    for count, pause in pieces:
        speaker.push(1, sent, voice(sent, count), now)
        sent, now = sent + count, now + pause
        speaker.advance(now)
    speaker.finish(1, now)
    speaker.advance(now + 0.001 * sent + 1)
    assert speaker.position == sent
    assert speaker.silent
    assert b"".join(bytes(heard.pcm) for heard in speaker.heard) == voice(0, sent)
    ends = [heard.began + len(heard.pcm) / 2 / RATE for heard in speaker.heard]
    begins = [heard.began for heard in speaker.heard]
    assert all(end <= begin + 0.002 for end, begin in zip(ends, begins[1:], strict=False))
