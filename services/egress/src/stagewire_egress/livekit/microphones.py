"""The users' microphones: each a stream at the session's rate, one of them on the air."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from livekit import rtc

from stagewire_egress.delivery import Uplink
from stagewire_egress.livekit.floor import Floor

logger = logging.getLogger(__name__)

_FRAME_MILLISECONDS = 20
_STREAM_FRAMES = 100
"""What is held while the orchestrator is behind: 2 s, then the oldest is lost."""
_PREROLL_FRAMES = 15
"""What is held of a microphone that is not on the air: 300 ms, so that whoever takes the floor is
heard from their first sound."""
_TAIL_FRAMES = 50
"""Silence after a microphone is gone: 1 s, so that the recognizer settles what was said."""


class Microphones:
    """Reads every user's microphone and passes on the one that has the floor.

    The library decodes, mixes stereo down and resamples, once, from 48 kHz to the session's rate;
    a muted microphone is silence.

    Args:
        rate: The session's microphone rate.
        floor: Who is on the air.
        uplink: Takes the audio.
        clock: Monotonic seconds.
    """

    def __init__(self, rate: int, floor: Floor, uplink: Uplink, clock: Callable[[], float]) -> None:
        """No microphone."""
        self._rate = rate
        self._floor = floor
        self._uplink = uplink
        self._clock = clock
        self._streams: dict[str, rtc.AudioStream] = {}
        self._sids: dict[str, str] = {}

    @property
    def speaker(self) -> tuple[str, str]:
        """Who is heard, and their track's sid; empty for nobody."""
        identity = self._floor.holder
        return identity, self._sids.get(identity, "")

    async def read(self, identity: str, sid: str, track: rtc.Track) -> None:
        """Reads one microphone until its track ends."""
        stream = rtc.AudioStream(
            track,
            capacity=_STREAM_FRAMES,
            sample_rate=self._rate,
            num_channels=1,
            frame_size_ms=_FRAME_MILLISECONDS,
        )
        self._streams[sid], self._sids[identity] = stream, sid
        try:
            await self._pass_on(identity, stream)
            if self._floor.holder == identity:
                await self._tail()
        finally:
            if self._streams.pop(sid, None) is not None:
                await stream.aclose()
            if self._sids.get(identity) == sid:
                del self._sids[identity]
                self._floor.silent(identity)

    async def stop(self, sid: str) -> None:
        """The track is gone."""
        stream = self._streams.pop(sid, None)
        if stream is not None:
            await stream.aclose()

    async def _pass_on(self, identity: str, stream: rtc.AudioStream) -> None:
        before: deque[bytes] = deque(maxlen=_PREROLL_FRAMES)
        late = False
        async for event in stream:
            pcm = bytes(event.frame.data)
            seconds = event.frame.samples_per_channel / self._rate
            now = self._clock()
            before.append(pcm)
            if not self._floor.hear(identity, pcm, seconds, now):
                continue
            while before:
                await self._uplink.user_audio(before.popleft())
            behind = self._clock() - now > _STREAM_FRAMES * _FRAME_MILLISECONDS / 1000
            if behind and not late:
                logger.warning("the orchestrator reads too slowly; some of the microphone is lost")
            late = behind

    async def _tail(self) -> None:
        silence = bytes(2 * self._rate * _FRAME_MILLISECONDS // 1000)
        for _ in range(_TAIL_FRAMES):
            await self._uplink.user_audio(silence)


def is_microphone(publication: rtc.RemoteTrackPublication) -> bool:
    """Whether a track is somebody's voice: audio, and not that of a shared screen."""
    return (
        publication.kind == rtc.TrackKind.KIND_AUDIO
        and publication.source != rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO
    )
