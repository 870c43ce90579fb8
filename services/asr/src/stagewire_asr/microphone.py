"""The caller's microphone as the backend wants it: checked, resampled, counted from zero."""

from __future__ import annotations

from stagekit.audio import Resampler, Samples, to_float
from stagekit.streams import AudioTrack
from stagewire.common.v1 import audio_pb2


class Microphone:
    """One stream of audio messages.

    Args:
        caller_hertz: Sample rate of the messages.
        backend_hertz: Sample rate of what :meth:`take` returns.
    """

    def __init__(self, caller_hertz: int, backend_hertz: int) -> None:
        """Nothing heard yet; the first message may start anywhere, after a restart of the stage."""
        self._caller_hertz = caller_hertz
        self._backend_hertz = backend_hertz
        self._track = AudioTrack(next_sample=None)
        self._resampler = Resampler(caller_hertz, backend_hertz)
        self._first: int | None = None

    def take(self, audio: audio_pb2.Audio) -> Samples:
        """The samples of the next message that the resampler has ready; may be none.

        Raises:
            StageError: MALFORMED_AUDIO, MESSAGE_TOO_LARGE or DISCONTINUITY.
        """
        self._track.accept(audio)
        if self._first is None:
            self._first = audio.start_sample
        return self._resampler.push(to_float(audio.data))

    def caller_sample(self, backend_sample: int) -> int:
        """The caller's number of a sample that the backend counted from its first one."""
        caller_samples = backend_sample * self._caller_hertz / self._backend_hertz
        return (self._first or 0) + round(caller_samples)

    def seconds(self, backend_samples: int) -> float:
        """How long so many of the backend's samples last."""
        return backend_samples / self._backend_hertz
