"""The track that egress publishes the avatar's voice on."""

from __future__ import annotations

import asyncio

import grpc
from livekit import rtc
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_egress.livekit.voice import QUEUE_MILLISECONDS

_PUBLISH_SECONDS = 5.0


class VoiceTrack:
    """A microphone track named `voice`, and the queue in front of it.

    Args:
        participant: Who publishes it.
        rate: The voice's sample rate.

    Attributes:
        source: Takes the voice.
        sid: The track's, once it is published; it changes with a reconnect.
    """

    def __init__(self, participant: rtc.LocalParticipant, rate: int) -> None:
        """Not published yet."""
        self.source = rtc.AudioSource(rate, 1, queue_size_ms=QUEUE_MILLISECONDS)
        self._participant = participant
        self._publication: rtc.LocalTrackPublication | None = None

    @property
    def sid(self) -> str:
        """The track's id in the room; empty before it is published."""
        return "" if self._publication is None else str(self._publication.sid)

    async def publish(self) -> None:
        """Publishes it.

        Raises:
            StageError: BACKEND_FAILED when the server takes no track.
        """
        track = rtc.LocalAudioTrack.create_audio_track("voice", self.source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                self._publication = await self._participant.publish_track(track, options)
        except (TimeoutError, rtc.participant.PublishTrackError):
            raise StageError(
                error_pb2.ERROR_REASON_BACKEND_FAILED,
                "the LiveKit server took no audio track",
                code=grpc.StatusCode.UNAVAILABLE,
            ) from None

    async def close(self) -> None:
        """Releases it."""
        await self.source.aclose()
