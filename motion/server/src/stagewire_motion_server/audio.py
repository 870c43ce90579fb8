"""The speech of one req_id, from bytes in pieces to samples: PCM, and Opus in Ogg (RFC 7845)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import opuslib_next
from stagekit.audio import to_float

from stagewire_motion_server.ogg import Demuxer, Page

Samples = npt.NDArray[np.float32]

PCM_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)

_OPUS_CLOCK = 48_000
_LONGEST_PACKET_MS = 120
_HEAD = struct.Struct("<8sBBHIhB")


class Decoder(Protocol):
    """Turns one req_id's audio into samples, -1 to 1, at the session's rate."""

    def push(self, data: bytes) -> Iterator[Samples]:
        """The samples in the next bytes, in pieces of at most a second.

        Raises:
            ValueError: The bytes are not this encoding.
        """
        ...

    def finish(self) -> None:
        """No more bytes.

        Raises:
            ValueError: The encoding breaks off.
        """
        ...


class Pcm:
    """Signed 16-bit little-endian samples, one channel."""

    def __init__(self, sample_rate: int) -> None:
        """At ``sample_rate`` hertz."""
        self._second = 2 * sample_rate

    def push(self, data: bytes) -> Iterator[Samples]:
        """See ``Decoder``."""
        if len(data) % 2:
            raise ValueError(f"{len(data)} bytes are no whole number of 16-bit samples")
        for begin in range(0, len(data), self._second):
            yield to_float(data[begin : begin + self._second])

    def finish(self) -> None:
        """See ``Decoder``; PCM cannot break off."""


class OggOpus:
    """Opus in one logical Ogg stream: header, tags, then audio; where bytes are cut is free.

    What precedes the speech (pre-skip) and what pads its last packet is left out.
    """

    def __init__(self, sample_rate: int) -> None:
        """Decodes to ``sample_rate`` hertz, one channel, whatever the stream was made from."""
        self._sample_rate = sample_rate
        self._pages = Demuxer()
        self._opus = opuslib_next.Decoder(sample_rate, 1)
        self._headers = 0
        self._gain = 1.0
        self._skip = 0
        self._decoded = 0
        self._start: int | None = None

    def push(self, data: bytes) -> Iterator[Samples]:
        """See ``Decoder``."""
        for page in self._pages.push(data):
            packets = list(page.packets)
            while packets and self._headers < 2:
                self._header(packets.pop(0))
            yield from self._audio(page, packets)

    def finish(self) -> None:
        """See ``Decoder``; a stream without its last page is taken as it is."""
        self._pages.finish()

    def _header(self, packet: bytes) -> None:
        if self._headers == 0:
            if len(packet) < _HEAD.size or not packet.startswith(b"OpusHead"):
                raise ValueError("the Ogg stream does not begin with an Opus header")
            _, version, channels, pre_skip, _, gain, family = _HEAD.unpack_from(packet)
            if version >> 4 or family or channels not in (1, 2):
                raise ValueError("the Opus stream is not mono or stereo of version 1")
            self._gain = 10 ** (gain / (20 * 256))
            self._skip = pre_skip
        elif not packet.startswith(b"OpusTags"):
            raise ValueError("the Opus header is not followed by tags")
        self._headers += 1

    def _audio(self, page: Page, packets: list[bytes]) -> Iterator[Samples]:
        pieces = [self._decode(packet) for packet in packets]
        if not pieces:
            return
        length = sum(map(len, pieces)) * _OPUS_CLOCK // self._sample_rate
        if self._start is None:  # a stream may begin anywhere on the clock (RFC 7845, 4.3)
            self._start = 0 if page.last or page.granule is None else page.granule - length
        samples = np.concatenate(pieces)
        if page.last and page.granule is not None:
            length = min(length, max(0, page.granule - self._start - self._decoded))
        begin = min(self._skip, length)
        self._skip -= begin
        self._decoded += length
        kept = samples[self._at_rate(begin) : self._at_rate(length)] * np.float32(self._gain)
        for first in range(0, len(kept), self._sample_rate):
            yield kept[first : first + self._sample_rate]

    def _decode(self, packet: bytes) -> Samples:
        longest = self._sample_rate * _LONGEST_PACKET_MS // 1000
        try:
            if not packet:
                raise ValueError("an Opus packet is empty")
            return np.frombuffer(self._opus.decode_float(packet, longest), np.float32)
        except opuslib_next.OpusError as error:
            raise ValueError(f"a packet is not Opus: {error}") from None

    def _at_rate(self, ticks: int) -> int:
        return ticks * self._sample_rate // _OPUS_CLOCK
