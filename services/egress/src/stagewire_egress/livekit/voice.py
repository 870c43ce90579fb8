"""The avatar's voice as a track: paced by the track's own queue, with its motion on one clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from livekit import rtc
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_egress.delivery import Media, Uplink
from stagewire_egress.livekit import packets
from stagewire_egress.livekit.pace import Pace
from stagewire_egress.livekit.score import Score
from stagewire_egress.livekit.telling import PacketSender

QUEUE_MILLISECONDS = 60
"""The native queue: long enough for a busy event loop, and an interrupt empties it. It adds no
delay to a turn's first sound (tests/bench/room.py)."""
_FRAME_SECONDS, _GRAIN_SECONDS = 0.020, 0.010
_CLOCK_SECONDS = 0.2
_REPORT_SECONDS = 0.1
_MOTION_LEAD_SECONDS = 0.5
_CAPTURE_SECONDS = 5.0


class Captions(Protocol):
    """Who is told which words have sounded."""

    def spoken(self, turn: int, text_end: int) -> None:
        """The turn's text was spoken up to ``text_end``, in code points."""


class Voice:
    """Plays turns into a track.

    Args:
        source: The track's source, with a queue of ``QUEUE_MILLISECONDS``.
        rate: The voice's sample rate.
        sender: Takes the data packets.
        captions: Told what was spoken.
        uplink: Told what was played.
        lips_seconds: How long a turn's voice waits for its first motion; 0 for not at all.
        max_bytes: Voice and motion held at most.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        source: rtc.AudioSource,
        rate: int,
        sender: PacketSender,
        captions: Captions,
        uplink: Uplink,
        lips_seconds: float,
        max_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        """Nothing to play, and nobody to hear it."""
        self._source = source
        self._rate = rate
        self._sender = sender
        self._captions = captions
        self._uplink = uplink
        self._lips_seconds = lips_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._pace = Pace(QUEUE_MILLISECONDS / 1000)
        self._score: Score | None = None
        self._silenced = 0
        self._cut: tuple[int, int] | None = None
        self._heard = False
        self._reported = 0
        self._epoch = 0
        self._clock_due = 0.0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, message: Media) -> None:
        """Queues media; waits while too much is held. Drops what belongs to a silenced turn."""
        while message.turn > self._silenced and self._full():
            self._room.clear()
            await self._room.wait()
        if message.turn <= self._silenced:
            return
        if self._score is None or message.turn > self._score.turn:
            self._score = Score(message.turn, round(_GRAIN_SECONDS * self._rate))
            self._reported = 0
        self._score.add(message, self._clock())
        self._news.set()

    def silence(self, turn: int) -> None:
        """Makes this turn and older ones inaudible now."""
        self._silenced = max(self._silenced, turn)
        score = self._score
        if score is not None and score.turn <= turn:
            played = self._stop(score)
            self._score = None
            self._cut = score.turn, played
            self._sender.clear()
            self._sender.post(packets.interrupt(score.turn, played))
        self._news.set()
        self._room.set()

    def audience(self, present: bool) -> None:
        """Whether somebody hears. While nobody does, the turn stands where it was heard last."""
        if self._heard and not present and self._score is not None:
            played = self._stop(self._score)
            self._spoken(self._score, played)
            self._score.rewind()
            self._sender.clear()
        self._heard = present
        self._news.set()

    async def run(self) -> None:
        """Plays. Runs until cancelled.

        Raises:
            StageError: BACKEND_FAILED when the track takes nothing.
        """
        while True:
            self._news.clear()
            score = self._score
            pcm = self._next(score) if score is not None else b""
            if score is not None and pcm:
                await self._play(score, pcm)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._wait_seconds()):
                        await self._news.wait()
            await self._report()

    def _next(self, score: Score) -> bytes:
        """The voice to play now; empty when there is none, or it may not sound yet."""
        if not self._heard:
            return b""
        lead = round(_MOTION_LEAD_SECONDS * self._rate)
        for message in score.motion(score.cursor + lead):
            for packet in packets.motion(message):
                self._sender.post(packet)
        if self._awaits_lips(score):
            return b""
        return score.take(round(_FRAME_SECONDS * self._rate))

    def _awaits_lips(self, score: Score) -> bool:
        if score.cursor or score.has_motion or score.whole or score.first_audio is None:
            return False
        return self._clock() < score.first_audio + self._lips_seconds

    async def _play(self, score: Score, pcm: bytes) -> None:
        samples = len(pcm) // 2
        now = self._clock()
        if self._pace.idle(now):  # whatever sounded before, this begins a new stretch of voice
            self._epoch += 1
            self._clock_due = now
        self._uplink.handed_over(score.turn, score.cursor)
        self._pace.push(samples / self._rate, now)
        try:
            async with asyncio.timeout(_CAPTURE_SECONDS):
                await self._source.capture_frame(rtc.AudioFrame(pcm, self._rate, 1, samples))
        except TimeoutError:
            raise StageError(
                error_pb2.ERROR_REASON_BACKEND_FAILED,
                f"the room's audio track took nothing for {_CAPTURE_SECONDS:g} s",
            ) from None
        now = self._clock()
        if self._score is not score or not self._heard:
            return  # cut, or stopped, while the frame was handed over
        self._pace.returned(now)
        if now >= self._clock_due:
            self._clock_due = now + _CLOCK_SECONDS
            leaving = score.cursor - round(self._pace.expected(now) * self._rate)
            self._sender.post(packets.clock(score.turn, leaving, self._epoch))

    def _position(self, score: Score) -> int:
        """How far the turn has left the queue, at least."""
        queued = math.ceil(self._pace.queued(self._clock()) * self._rate)
        return max(score.left, score.cursor - queued)

    def _stop(self, score: Score) -> int:
        """Empties the queue; returns what of the turn had left it."""
        played = self._position(score)
        self._source.clear_queue()
        self._pace.clear()
        return played

    async def _report(self) -> None:
        """Says how far playback has come, at least ten times per second."""
        if self._cut is not None:
            (turn, played), self._cut = self._cut, None
            await self._uplink.played(turn, played, True)
        score = self._score
        if score is None:
            return
        self._spoken(score, self._position(score))
        done, news = score.finished, score.left - self._reported
        if done or news >= _REPORT_SECONDS * self._rate or (news and not self._heard):
            self._reported = score.left
            if done:
                self._score = None
                self._sender.post(packets.end(score.turn, score.left))
            await self._uplink.played(score.turn, score.left, False)

    def _spoken(self, score: Score, left: int) -> None:
        text_end = score.advance(left)
        if text_end:
            self._captions.spoken(score.turn, text_end)
        self._room.set()

    def _wait_seconds(self) -> float | None:
        """When something is due although nothing new comes; None for never."""
        now, score = self._clock(), self._score
        if score is None or not self._heard:
            return None
        times = [self._pace.queued(now)] if score.cursor > score.left else []
        if self._awaits_lips(score) and score.first_audio is not None:
            times.append(score.first_audio + self._lips_seconds - now)
        return max(0.001, min(times)) if times else None

    def _full(self) -> bool:
        return self._score is not None and self._score.held_bytes >= self._max_bytes
