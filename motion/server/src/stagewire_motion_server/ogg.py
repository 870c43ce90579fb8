"""Ogg pages as they arrive, and the packets in them (RFC 3533). One logical stream."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("<4sBBqIIIB")
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_NO_PACKET_ENDS = -1
_PACKET_AT_MOST = 1 << 20


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        register = byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
        table.append(register & 0xFFFFFFFF)
    return tuple(table)


_CRC = _crc_table()


def checksum(page: bytes) -> int:
    """The CRC of a page whose checksum field is zero (RFC 3533, 6)."""
    register = 0
    for byte in page:
        register = (register << 8 & 0xFFFFFFFF) ^ _CRC[register >> 24 ^ byte]
    return register


@dataclass(frozen=True)
class Page:
    """What one page completes.

    Attributes:
        packets: Those that end on it.
        granule: The codec's position after them; None when no packet ends on it.
        last: Whether the stream ends with it.
    """

    packets: tuple[bytes, ...]
    granule: int | None
    last: bool


class Demuxer:
    """Takes bytes in pieces of any size, gives pages in order."""

    def __init__(self) -> None:
        """Before the first page."""
        self._unread = bytearray()
        self._packet = bytearray()
        self._inside_packet = False
        self._serial: int | None = None
        self._sequence = 0
        self._over = False

    def push(self, data: bytes) -> Iterator[Page]:
        """The pages that are complete now.

        Raises:
            ValueError: The bytes are no Ogg, are damaged, or belong to a second stream.
        """
        self._unread += data
        while (size := self._page_size()) is not None:
            raw = bytes(self._unread[:size])
            del self._unread[:size]
            yield self._page(raw)

    def finish(self) -> None:
        """No more bytes.

        Raises:
            ValueError: The stream breaks off inside a page or a packet.
        """
        if self._unread or self._inside_packet:
            raise ValueError("the Ogg stream breaks off inside a page")

    def _page_size(self) -> int | None:
        if not b"OggS".startswith(bytes(self._unread[:4])):
            raise ValueError("no Ogg page begins where one should")
        if len(self._unread) < _HEADER.size:
            return None
        lacing_end = _HEADER.size + self._unread[_HEADER.size - 1]
        size = lacing_end + sum(self._unread[_HEADER.size : lacing_end])
        return size if len(self._unread) >= max(size, lacing_end) else None

    def _page(self, raw: bytes) -> Page:
        _, version, flags, granule, serial, sequence, crc, segments = _HEADER.unpack_from(raw)
        if version != 0:
            raise ValueError(f"version {version} of Ogg is not 0")
        if checksum(raw[:22] + bytes(4) + raw[26:]) != crc:
            raise ValueError("an Ogg page is damaged: its checksum is wrong")
        self._follow(flags, serial, sequence)
        lacing = raw[_HEADER.size : _HEADER.size + segments]
        packets = tuple(self._packets(lacing, raw[_HEADER.size + segments :]))
        self._over = bool(flags & _LAST)
        return Page(packets, None if granule == _NO_PACKET_ENDS else granule, self._over)

    def _follow(self, flags: int, serial: int, sequence: int) -> None:
        if self._over:
            raise ValueError("an Ogg page comes after the last one of the stream")
        if (self._serial is None) != bool(flags & _FIRST):
            raise ValueError("a req_id's Ogg stream must begin once, with its first page")
        if self._serial not in (None, serial):
            raise ValueError("a req_id has more than one Ogg stream")
        if sequence != self._sequence:
            raise ValueError(f"Ogg page {self._sequence} is missing: {sequence} came instead")
        if bool(flags & _CONTINUED) != self._inside_packet:
            raise ValueError("an Ogg page does not continue the one before it")
        self._serial, self._sequence = serial, sequence + 1

    def _packets(self, lacing: bytes, body: bytes) -> Iterator[bytes]:
        begin = 0
        for length in lacing:
            self._packet += body[begin : begin + length]
            begin += length
            if len(self._packet) > _PACKET_AT_MOST:
                raise ValueError(f"an Ogg packet is longer than {_PACKET_AT_MOST} bytes")
            self._inside_packet = length == 255
            if not self._inside_packet:
                yield bytes(self._packet)
                self._packet.clear()
