"""Pages and packets, by a muxer of the tests' own."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire_motion_server.ogg import Demuxer, checksum


def page(lacing: bytes, body: bytes, flags: int, granule: int, sequence: int, serial: int) -> bytes:
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, sequence, 0, len(lacing))
    whole = head + lacing + body
    return whole[:22] + struct.pack("<I", checksum(whole)) + whole[26:]


def mux(packets: list[bytes], segments_per_page: int = 3, serial: int = 9) -> bytes:
    """Packets as pages of so many segments: packets run across pages, pages hold several."""
    segments: list[tuple[int, bytes]] = []
    for packet in packets:
        pieces = [packet[i : i + 255] for i in range(0, len(packet) + 1, 255)]
        segments += [(len(piece), piece) for piece in pieces]
    out, continued = b"", False
    for sequence, first in enumerate(range(0, len(segments), segments_per_page)):
        these = segments[first : first + segments_per_page]
        last = first + segments_per_page >= len(segments)
        flags = continued * 1 | (sequence == 0) * 2 | last * 4
        lacing = bytes(length for length, _ in these)
        granule = sequence if any(length < 255 for length in lacing) else -1
        out += page(lacing, b"".join(p for _, p in these), flags, granule, sequence, serial)
        continued = lacing[-1] == 255
    return out


def demux(pieces: Iterable[bytes]) -> list[bytes]:
    demuxer, packets = Demuxer(), []
    for piece in pieces:
        for found in demuxer.push(piece):
            packets += found.packets
    demuxer.finish()
    return packets


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


PACKETS = st.lists(st.binary(min_size=0, max_size=700), min_size=1, max_size=8)
CUTS = st.lists(st.integers(0, 100_000), max_size=20)


@settings(deadline=None)
@given(PACKETS, st.integers(1, 9), CUTS)
def test_packets_come_out_as_they_went_in(
    packets: list[bytes], segments: int, cuts: list[int]
) -> None:
    assert demux(cut(mux(packets, segments), cuts)) == packets


def test_the_checksum_is_oggs() -> None:
    raw = page(b"\x05", b"hello", 2, 0, 0, 9)
    register = 0
    for byte in raw[:22] + bytes(4) + raw[26:]:  # the definition, bit by bit
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x104C11DB7 if register & 1 << 31 else 0)
    assert struct.unpack_from("<I", raw, 22) == (register,)


@settings(max_examples=300, deadline=None)
@given(PACKETS, st.integers(1, 9), st.integers(0, 100_000), st.integers(1, 255))
def test_a_damaged_byte_is_found(packets: list[bytes], segments: int, at: int, flip: int) -> None:
    data = bytearray(mux(packets, segments))
    data[at % len(data)] ^= flip
    with pytest.raises(ValueError, match=r"\S"):
        demux([bytes(data)])


@given(st.binary(max_size=300), CUTS)
def test_any_bytes_are_packets_or_a_value_error(data: bytes, cuts: list[int]) -> None:
    try:
        demux(cut(data, cuts))
    except ValueError:
        return
    assert not data


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (mux([b"a"]) + mux([b"b"]), "after the last one"),
        (page(b"\1", b"a", 0, 0, 0, 9), "must begin once"),
        (page(b"\1", b"a", 2, 0, 0, 9) + page(b"\1", b"a", 2, 0, 1, 9), "must begin once"),
        (page(b"\1", b"a", 2, 0, 0, 9) + page(b"\1", b"a", 0, 0, 1, 8), "more than one"),
        (page(b"\1", b"a", 2, 0, 0, 9) + page(b"\1", b"a", 0, 0, 2, 9), "page 1 is missing"),
        (page(b"\1", b"a", 3, 0, 0, 9), "does not continue"),
        (page(b"\xff", b"a" * 255, 2, -1, 0, 9), "breaks off"),
        (mux([b"a" * 100])[:-1], "breaks off"),
    ],
)
def test_streams_that_are_none(stream: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        demux([stream])


def test_a_packet_without_end_is_refused() -> None:
    pages = [
        page(b"\xff" * 255, bytes(255 * 255), 1 if sequence else 2, -1, sequence, 9)
        for sequence in range(20)
    ]
    with pytest.raises(ValueError, match="longer than"):
        demux(pages)
