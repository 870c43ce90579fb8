"""The last seconds of a microphone."""

from __future__ import annotations

import numpy as np
from stagekit.audio import Samples


class Recording:
    """A ring of samples that are addressed by their place in the stream.

    Args:
        length: Samples kept; the memory never grows.
    """

    def __init__(self, length: int) -> None:
        """Nothing recorded."""
        self._ring: Samples = np.zeros(length, np.float32)
        self.end_sample = 0

    def append(self, samples: Samples) -> None:
        """Adds what comes next, at most the ring's length at a time."""
        places = np.arange(self.end_sample, self.end_sample + len(samples)) % len(self._ring)
        self._ring[places] = samples
        self.end_sample += len(samples)

    def between(self, start_sample: int, end_sample: int) -> Samples:
        """A copy of the samples from one place to before another, as far as they are kept."""
        oldest = max(0, self.end_sample - len(self._ring))
        start, end = max(start_sample, oldest), min(end_sample, self.end_sample)
        return self._ring[np.arange(start, end) % len(self._ring)]
