import numpy as np
import pytest
from stagekit.audio import Resampler, to_float, to_pcm


def test_pcm_and_back_is_exact() -> None:
    every = np.arange(-32768, 32768, dtype="<i2").tobytes()
    assert to_pcm(to_float(every)) == every


def test_pcm_is_little_endian_whatever_the_machine() -> None:
    assert to_float(b"\x00\x40").tolist() == [0.5]
    assert to_pcm(np.array([0.5], np.float32)) == b"\x00\x40"


def test_louder_than_full_scale_is_clipped_not_wrapped() -> None:
    pcm = to_pcm(np.array([2.0, -2.0, 1.0], np.float32))
    assert np.frombuffer(pcm, "<i2").tolist() == [32767, -32768, 32767]


@pytest.mark.parametrize(
    ("source", "target"), [(48_000, 16_000), (16_000, 24_000), (8_000, 16_000)]
)
def test_resampling_in_chunks_equals_resampling_at_once(source: int, target: int) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(source) / source).astype(np.float32)
    at_once = Resampler(source, target).push(tone, last=True)
    stream = Resampler(source, target)
    chunks = [stream.push(tone[start : start + 960]) for start in range(0, source, 960)]
    chunks.append(stream.push(np.zeros(0, np.float32), last=True))
    in_chunks = np.concatenate(chunks)
    assert abs(len(in_chunks) - target) <= 1
    np.testing.assert_allclose(in_chunks, at_once, atol=1e-4)
    crossings = np.count_nonzero(np.diff(np.signbit(in_chunks)))
    assert abs(crossings - 880) <= 4  # 440 Hz is still 440 Hz


def test_equal_rates_pass_through() -> None:
    samples = np.ones(7, np.float32)
    assert Resampler(16_000, 16_000).push(samples) is samples
