"""PCM and Opus to samples; the Opus streams are made by libopus and by the SDK's own encoder."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import opuslib_next
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spatius.audio_encoder import OggOpusStreamEncoder
from stagewire_motion_server.audio import OPUS_RATES, OggOpus, Pcm

from .test_ogg import cut, mux, page

HEAD = b"OpusHead\x01\x01" + struct.pack("<HIhB", 312, 48_000, 0, 0)
TAGS = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)


def heard(decoder: Any, *pieces: bytes) -> np.ndarray:
    samples = [block for piece in pieces for block in decoder.push(piece)]
    decoder.finish()
    return np.concatenate([np.zeros(0, np.float32), *samples])


def tone(seconds: float, rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 300 * np.arange(int(seconds * rate)) / rate)


def encoded(samples: np.ndarray, rate: int, frame_ms: int = 20) -> bytes:
    encoder = OggOpusStreamEncoder(
        sample_rate=rate,
        bitrate=0,
        frame_duration_ms=frame_ms,
        application="audio",
        collect_encoded_output=False,
    )
    return encoder.encode((samples * 32767).astype("<i2").tobytes(), end=True).payload


@pytest.mark.parametrize("rate", OPUS_RATES)
def test_opus_is_heard_where_it_was_spoken(rate: int) -> None:
    spoken = tone(1.013, rate)
    got = heard(OggOpus(rate), encoded(spoken, rate))
    assert len(got) == len(spoken)  # pre-skip and padding are gone
    middle = slice(rate // 10, -rate // 10)
    lags = range(-rate // 400, rate // 400 + 1)
    match = [float(np.dot(np.roll(got, lag)[middle], spoken[middle])) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= rate * 0.0005
    assert float(np.abs(got[middle] - spoken[middle]).max()) < 0.2


@pytest.fixture(scope="module")
def stream() -> bytes:
    return encoded(tone(0.5, 16_000), 16_000, 60)


@given(cuts=st.lists(st.integers(0, 100_000), max_size=20))
@settings(max_examples=40, deadline=None)
def test_where_the_bytes_are_cut_is_free(stream: bytes, cuts: list[int]) -> None:
    whole = heard(OggOpus(16_000), stream)
    assert np.array_equal(heard(OggOpus(16_000), *cut(stream, cuts)), whole)


@given(at=st.integers(0, 100_000), flip=st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_stream_is_a_value_error(stream: bytes, at: int, flip: int) -> None:
    damaged = bytearray(stream)
    damaged[at % len(damaged)] ^= flip
    with pytest.raises(ValueError, match=r"\S"):
        heard(OggOpus(16_000), bytes(damaged))


def test_many_packets_on_a_page_stereo_and_any_start_of_the_clock() -> None:
    encoder = opuslib_next.Encoder(48_000, 2, "audio")
    pcm = np.repeat((tone(0.2, 48_000) * 32767).astype("<i2"), 2)
    packets = [encoder.encode(pcm[i : i + 1920].tobytes(), 960) for i in range(0, len(pcm), 1920)]
    head = HEAD[:9] + b"\x02" + HEAD[10:]
    begin = 1_000_000
    pages = [
        page(bytes([len(head)]), head, 2, 0, 0, 9),
        page(bytes([len(TAGS)]), TAGS, 0, 0, 1, 9),
    ]
    for number in range(2):
        five = packets[5 * number : 5 * number + 5]
        lacing = b"".join(
            b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in five
        )
        granule = begin + 4800 * (number + 1) - 500 * number  # the last page leaves 500 out
        pages.append(page(lacing, b"".join(five), 4 * number, granule, 2 + number, 9))
    assert len(heard(OggOpus(48_000), *pages)) == 9_600 - 312 - 500


def test_a_gain_is_applied() -> None:
    stream = encoded(tone(0.3, 48_000), 48_000)
    head = bytearray(HEAD)
    struct.pack_into("<h", head, 16, -6 * 256)  # in 1/256 dB
    first = page(bytes([len(head)]), bytes(head), 2, 0, 0, struct.unpack_from("<I", stream, 14)[0])
    quiet = heard(OggOpus(48_000), first + stream[len(first) :])
    loud = heard(OggOpus(48_000), stream)
    assert quiet == pytest.approx(loud * 10 ** (-6 / 20), abs=1e-6)


@pytest.mark.parametrize(
    ("packets", "said"),
    [
        ([b"OpusHead"], "does not begin with an Opus header"),
        ([b"\x80theora" + bytes(20)], "does not begin with an Opus header"),
        ([HEAD[:9] + b"\x06" + HEAD[10:]], "mono or stereo"),
        ([HEAD[:18] + b"\x01"], "mono or stereo"),
        ([HEAD[:8] + b"\x10" + HEAD[9:]], "mono or stereo"),
        ([HEAD, HEAD], "not followed by tags"),
        ([HEAD, TAGS, b""], "empty"),
        ([HEAD, TAGS, b"\xff\xff\xff\xff"], "not Opus"),
    ],
)
def test_what_is_no_opus(packets: list[bytes], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        heard(OggOpus(48_000), mux(packets, 1))


def test_a_stream_without_its_last_page_is_taken_as_it_is() -> None:
    stream = encoded(tone(0.5, 16_000), 16_000)
    last = stream.rindex(b"OggS")
    assert len(heard(OggOpus(16_000), stream[:last])) > 7_000


def test_nothing_is_nothing() -> None:
    assert len(heard(OggOpus(16_000))) == 0
    assert len(heard(Pcm(16_000))) == 0


@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2]))
def test_pcm(data: bytes) -> None:
    assert np.array_equal(heard(Pcm(8_000), data) * 32768, np.frombuffer(data, "<i2"))


def test_pcm_comes_in_bounded_pieces() -> None:
    assert [len(piece) for piece in Pcm(8_000).push(bytes(40_000))] == [8_000, 8_000, 4_000]


def test_odd_pcm() -> None:
    with pytest.raises(ValueError, match="16-bit"):
        heard(Pcm(8_000), bytes(3))
