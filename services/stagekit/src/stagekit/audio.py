"""PCM between the wire (16-bit little-endian) and models (float32), and between sample rates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]


def to_float(pcm: bytes) -> Samples:
    """16-bit little-endian PCM to float32 in -1..1."""
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0


def to_pcm(samples: npt.NDArray[np.floating]) -> bytes:
    """Float samples to 16-bit little-endian PCM; what is louder than full scale is clipped."""
    pcm: npt.NDArray[np.int16] = (np.clip(samples, -1.0, 32767 / 32768) * 32768.0).astype("<i2")
    return pcm.tobytes()


class Resampler:
    """Changes the sample rate of a stream of float32 chunks without seams (soxr, LGPL-2.1).

    Args:
        source_hertz: Rate of what comes in.
        target_hertz: Rate of what goes out.
    """

    def __init__(self, source_hertz: int, target_hertz: int) -> None:
        """Begins a stream."""
        self._stream = (
            None
            if source_hertz == target_hertz
            else soxr.ResampleStream(source_hertz, target_hertz, 1, dtype="float32")
        )

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """Takes a chunk and returns what is ready; ``last`` also returns what was held back."""
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples, last=last), dtype=np.float32)
