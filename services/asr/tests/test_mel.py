"""The log-mel spectrogram against its definition; the model tests show it is Whisper's."""

import numpy as np
import pytest
from stagewire_asr.backends.whisper.mel import BANDS, SAMPLE_RATE, log_mel


def tone(hertz, seconds=1.0, level=0.5):
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def test_one_column_for_each_10_ms():
    assert log_mel(np.zeros(SAMPLE_RATE + 159, np.float32)).shape == (BANDS, 100)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 3000.0, 7000.0])
def test_a_tone_is_loudest_in_the_band_of_its_mel(hertz):
    mel = hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)
    highest = 15 + 27 * np.log(8) / np.log(6.4)
    expected = mel / highest * (BANDS + 1) - 1
    found = log_mel(tone(hertz))[:, 50].argmax()
    assert abs(found - expected) <= 1


def test_ten_times_the_level_is_half_a_unit_more():
    quiet, loud = log_mel(tone(1000, level=0.05)), log_mel(tone(1000, level=0.5))
    assert np.allclose(loud.max() - quiet.max(), 0.5, atol=1e-4)


def test_nothing_is_more_than_80_db_below_the_loudest():
    spectrogram = log_mel(tone(1000))
    assert np.isclose(spectrogram.max() - spectrogram.min(), 2.0)


def test_silence_is_flat():
    assert np.allclose(log_mel(np.zeros(SAMPLE_RATE, np.float32)), -1.5)
