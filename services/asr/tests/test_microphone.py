"""Sample numbers between the caller and the backend."""

import numpy as np
import pytest
from stagekit.audio import to_pcm
from stagekit.errors import StageError
from stagewire.common.v1 import audio_pb2
from stagewire_asr.microphone import Microphone


def message(samples, start):
    return audio_pb2.Audio(data=to_pcm(samples), start_sample=start)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 24_000, 44_100, 48_000])
def test_a_click_is_reported_where_the_caller_sent_it(rate):
    first, place = 123_456, rate // 2 + 7
    sound = np.zeros(2 * rate, np.float32)
    sound[place] = 1
    microphone = Microphone(rate, 16_000)
    step = rate // 25
    heard = np.concatenate(
        [
            microphone.take(message(sound[i : i + step], first + i))
            for i in range(0, len(sound), step)
        ]
    )
    found = int(np.abs(heard).argmax())
    assert abs(microphone.caller_sample(found) - (first + place)) <= rate / 16_000


def test_a_gap_is_an_error_that_says_what_was_expected():
    microphone = Microphone(16_000, 16_000)
    microphone.take(message(np.zeros(640, np.float32), 1000))
    with pytest.raises(StageError, match="starts at sample 1641; expected 1640"):
        microphone.take(message(np.zeros(640, np.float32), 1641))


def test_the_first_message_starts_anywhere_but_before_zero():
    with pytest.raises(StageError):
        Microphone(16_000, 16_000).take(message(np.zeros(640, np.float32), -1))
