"""Recordings of every kind that a user may bring."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from stagewire_cli import wav

RATE = 16_000


def tone(rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 400 * np.arange(int(rate * seconds)) / rate)


def riff(form: bytes, data: bytes, more: bytes = b"") -> bytes:
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + more
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def form(kind: int, channels: int, rate: int, bits: int) -> bytes:
    frame = channels * bits // 8
    plain = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    if kind != 0xFFFE:
        return plain
    return plain + struct.pack("<HHIH", 22, bits, 0, 1) + bytes(14)


def encoded(samples: np.ndarray, kind: int, bits: int) -> bytes:
    if kind == 3:
        return samples.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return (samples * 127 + 128).astype("u1").tobytes()
    integers = (samples * (2 ** (bits - 1) - 1)).astype("<i4")
    return b"".join(int(i).to_bytes(4, "little", signed=True)[: bits // 8] for i in integers)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("kind", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (0xFFFE, 24)]
)
def test_any_rate_width_and_number_of_channels(
    tmp_path: Path, rate: int, channels: int, kind: int, bits: int
) -> None:
    samples = np.repeat(tone(rate), channels)
    path = tmp_path / "question.wav"
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # a chunk of odd size is padded
    path.write_bytes(riff(form(kind, channels, rate, bits), encoded(samples, kind, bits), odd))
    heard = wav.read(path, RATE)
    assert len(heard) == pytest.approx(RATE / 2, rel=0.01)
    spectrum = np.abs(np.fft.rfft(heard[1_000:6_000]))
    assert int(np.argmax(spectrum)) * RATE / 5_000 == pytest.approx(400, abs=4)
    assert np.abs(heard[1_000:6_000]).max() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a RIFF/WAVE file"),
        (b"ID3\x04" + bytes(100), "not a RIFF/WAVE file"),
        (b"RIFF\0\0\0\0WAVE", "without a format"),
        (riff(b"\1", b"ab"), "question.wav"),
        (riff(form(1, 0, RATE, 16), b"ab"), "0 channels"),
        (riff(form(1, 1, 5, 16), b"ab"), "at 5 Hz"),
        (riff(form(7, 1, 8_000, 8), b"ab"), "format 7"),
        (riff(form(1, 1, RATE, 12), b"ab"), "12 bits"),
        (riff(form(1, 1, RATE, 16), b""), "no audio"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_way_out(
    tmp_path: Path, data: bytes, problem: str
) -> None:
    path = tmp_path / "question.wav"
    path.write_bytes(data)
    with pytest.raises(wav.WavError, match=problem) as caught:
        wav.read(path, RATE)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(wav.WavError, match="No such file"):
        wav.read(tmp_path / "nothing.wav", RATE)
    with pytest.raises(wav.WavError, match="directory"):
        wav.read(tmp_path, RATE)


def test_a_cut_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(riff(form(1, 2, RATE, 16), bytes(4_000))[:-1_001])
    assert len(wav.read(path, RATE)) == 2_999 // 4


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    pcm = (tone(24_000) * 32767).astype("<i2")
    wav.write(tmp_path / "reply.wav", pcm.tobytes(), 24_000)
    assert np.allclose(wav.read(tmp_path / "reply.wav", 24_000), pcm / 32768, atol=1e-4)
