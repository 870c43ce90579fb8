"""What is told to a room beside its voice: one thing after another, each with a deadline."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from livekit import rtc

from stagewire_egress.livekit import packets

logger = logging.getLogger(__name__)

_DEADLINE_SECONDS = 5.0
_MAX_JOBS, _MAX_PACKETS = 256, 1_024

Job = Callable[[], Awaitable[None]]


class Teller:
    """Attributes, transcriptions and events, in order.

    The library's calls wait for the server, and for ever while it is away: here they hold up
    nobody else. What cannot be told in time is dropped; the newest of each key is kept.
    """

    def __init__(self) -> None:
        """Nothing to tell."""
        self._jobs: dict[str, Job] = {}
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._count = 0

    def post(self, job: Job, key: str = "") -> None:
        """Queues a job; one that waits under the same key is replaced."""
        self._count += 1
        self._jobs[key or str(self._count)] = job
        if len(self._jobs) > _MAX_JOBS:
            del self._jobs[next(iter(self._jobs))]
            logger.warning("the room takes nothing; the oldest of %d notices is lost", _MAX_JOBS)
        self._idle.clear()
        self._news.set()

    async def idle(self) -> None:
        """Waits until everything was told."""
        await self._idle.wait()

    async def run(self) -> None:
        """Does the jobs. Runs until cancelled."""
        while True:
            while self._jobs:
                job = self._jobs.pop(next(iter(self._jobs)))
                await attempt(job)
            self._idle.set()
            self._news.clear()
            await self._news.wait()


class PacketSender:
    """Data packets, in order; a new turn's never wait for an old one's.

    Args:
        participant: Who sends them.
    """

    def __init__(self, participant: rtc.LocalParticipant) -> None:
        """Nothing to send."""
        self._participant = participant
        self._packets: deque[bytes] = deque(maxlen=_MAX_PACKETS)
        self._news = asyncio.Event()

    def post(self, packet: bytes) -> None:
        """Queues a packet; while the room takes none, the oldest are lost."""
        if len(self._packets) == _MAX_PACKETS:
            logger.warning("the room takes no data; the oldest of %d packets is lost", _MAX_PACKETS)
        self._packets.append(packet)
        self._news.set()

    def clear(self) -> None:
        """Forgets what waits."""
        self._packets.clear()

    async def run(self) -> None:
        """Sends. Runs until cancelled."""
        while True:
            while self._packets:
                packet = self._packets.popleft()

                async def send(packet: bytes = packet) -> None:
                    await self._participant.publish_data(packet, topic=packets.TOPIC)

                await attempt(send)
            self._news.clear()
            await self._news.wait()


async def attempt(job: Job) -> None:
    """Runs a call into the library; that it failed is logged, without what it said."""
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            await job()
    except Exception as error:  # the library raises bare Exceptions; its texts hold content
        logger.warning("the room did not take something: %s", type(error).__name__)
