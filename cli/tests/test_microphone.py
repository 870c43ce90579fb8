"""The microphone that is always on."""

from __future__ import annotations

import numpy as np
from stagewire_cli.microphone import HERTZ, Microphone, first_speech, last_speech


def test_it_never_stops_and_is_never_quite_silent() -> None:
    microphone = Microphone()
    heard = np.frombuffer(b"".join(microphone.frame() for _ in range(100)), "<i2")
    assert len(heard) == 2 * HERTZ
    assert 0 < np.abs(heard).max() <= 3
    assert microphone.sample == 2 * HERTZ


def test_recordings_are_said_whole_and_one_after_another() -> None:
    microphone = Microphone()
    microphone.frame()
    first = microphone.say(np.full(1_000, 0.25, np.float32))
    second = microphone.say(np.full(500, -0.5, np.float32))
    assert (first.first_sample, first.end_sample) == (320, 1_320)
    assert (second.first_sample, second.end_sample) == (1_320, 1_820)
    heard = np.frombuffer(b"".join(microphone.frame() for _ in range(10)), "<i2")
    assert np.allclose(heard[:1_000], 0.25 * 32768, atol=4)
    assert np.allclose(heard[1_000:1_500], -0.5 * 32768, atol=4)
    assert np.abs(heard[1_500:]).max() <= 3


def test_speech_is_what_is_loud_and_long_enough() -> None:
    speech = np.zeros(HERTZ, np.float32)
    speech[800:960] = 0.5  # a click
    speech[1_600:8_000] = 0.5
    speech[9_600:10_400] = 0.5 * 10 ** (-23 / 20)  # quiet, and still speech
    speech[12_800:] = 0.5 * 10 ** (-30 / 20)  # the room
    assert first_speech(speech) == 1_600
    assert last_speech(speech) == 10_400
    assert last_speech(np.zeros(HERTZ, np.float32)) == HERTZ
    assert last_speech(np.zeros(5, np.float32)) == 5
    assert first_speech(np.zeros(5, np.float32)) == 0
