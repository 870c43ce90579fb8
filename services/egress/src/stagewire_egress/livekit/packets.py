"""The data packets that bring a face into a room: docs/livekit.md has their table.

Each is the 24-byte little-endian header of the WebSocket's binary messages, with three of its
reserved fields used, and a payload::

    u8 kind, u8 version, u8 part, u8 parts, u32 turn, i64 start_sample, u32 sample_count, u32 epoch
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from stagewire.egress.v1 import egress_pb2

TOPIC: Final = "stagewire.motion"
EVENTS_TOPIC: Final = "stagewire.events"
HEADER: Final = struct.Struct("<BBBBIqII")
VERSION: Final = 1
MAX_PART_BYTES: Final = 14_000
"""LiveKit's advice is to keep a reliable packet, with its envelope, within 15 KiB."""


class Kind(IntEnum):
    """What a packet says."""

    MOTION = 3
    CLOCK = 4
    END = 5
    INTERRUPT = 6


def motion(message: egress_pb2.TurnMotion) -> Iterator[bytes]:
    """A payload in as many packets as it needs."""
    payload = message.payload
    parts = -(-len(payload) // MAX_PART_BYTES)
    span = message.end_sample - message.start_sample
    for part in range(parts):
        header = HEADER.pack(
            Kind.MOTION, VERSION, part, parts, message.turn, message.start_sample, span, 0
        )
        yield header + payload[part * MAX_PART_BYTES : (part + 1) * MAX_PART_BYTES]


def clock(turn: int, sample: int, epoch: int) -> bytes:
    """Sample ``sample`` of the turn's voice enters the room now; ``epoch`` counts breaks."""
    return HEADER.pack(Kind.CLOCK, VERSION, 0, 1, turn, sample, 0, epoch)


def end(turn: int, length: int) -> bytes:
    """All of the turn's voice, ``length`` samples, is in the room."""
    return HEADER.pack(Kind.END, VERSION, 0, 1, turn, length, 0, 0)


def interrupt(turn: int, played: int) -> bytes:
    """The turn is cut; no sample from ``played`` on enters the room."""
    return HEADER.pack(Kind.INTERRUPT, VERSION, 0, 1, turn, played, 0, 0)
