"""Sound as a timeline needs it: its peaks, and when which sample was played."""

from __future__ import annotations

from array import array
from bisect import bisect_right

STEP_SECONDS = 0.05
_MAX_STEPS = 36_000  # half an hour
_REPORT_SECONDS = 0.2
_PAUSE_SECONDS = 0.1


def peak(pcm: bytes) -> int:
    """The loudest sample of 16-bit PCM, 0 to 255."""
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    return min(255, max(max(samples), -min(samples)) >> 7) if samples else 0


class Peaks:
    """Peaks of ``STEP_SECONDS`` each, by time; what was silent, or not there, is 0."""

    def __init__(self) -> None:
        """Nothing heard."""
        self.values = bytearray()

    def put(self, seconds: float, pcm: bytes) -> None:
        """Adds a stretch, shorter than a step or about as long, that begins at ``seconds``."""
        self.put_peak(seconds, peak(pcm))

    def put_peak(self, seconds: float, value: int) -> None:
        """Adds a peak at ``seconds``."""
        step = int(max(0.0, seconds) / STEP_SECONDS + 1e-6)
        if step >= _MAX_STEPS:
            return
        if step >= len(self.values):
            self.values.extend(bytes(step + 1 - len(self.values)))
        self.values[step] = max(self.values[step], value)


class Playback:
    """When a turn's samples were played, from the client's reports.

    Args:
        hertz: The voice's rate.
    """

    def __init__(self, hertz: int) -> None:
        """Nothing is reported yet."""
        self._hertz = hertz
        self._times: list[float] = []
        self._samples: list[int] = []

    @property
    def began(self) -> float | None:
        """When the first sample was played."""
        return self._times[0] if self._times else None

    @property
    def ended(self) -> float | None:
        """When the last confirmed sample was played."""
        return self._times[-1] if self._times else None

    def report(self, samples: int, now: float) -> None:
        """The client has played so many by ``now``; 0 when it has just begun."""
        if not self._times:
            self._times, self._samples = [now - samples / self._hertz], [0]
        if samples <= self._samples[-1]:
            return
        resumed = now - (samples - self._samples[-1]) / self._hertz
        if resumed - self._times[-1] > _PAUSE_SECONDS:  # the loudspeaker ran dry, and went on
            self._times.append(resumed)
            self._samples.append(self._samples[-1])
        elif len(self._times) > 2 and now - self._times[-2] < _REPORT_SECONDS:
            self._times.pop()
            self._samples.pop()
        self._times.append(now)
        self._samples.append(samples)

    def at(self, sample: int) -> float | None:
        """When ``sample`` was played; for one that was not, when it would have been."""
        if not self._times:
            return None
        after = bisect_right(self._samples, sample)
        if after == len(self._samples):
            return self._times[-1] + (sample - self._samples[-1]) / self._hertz
        s0, s1 = self._samples[after - 1], self._samples[after]
        t0, t1 = self._times[after - 1], self._times[after]
        return t0 + (t1 - t0) * (sample - s0) / (s1 - s0)

    def spread(self, peaks: Peaks) -> bytes:
        """A voice's peaks by the time at which they were played, from the first sample's on."""
        played = Peaks()
        for step, value in enumerate(peaks.values):
            at = self.at(round(step * STEP_SECONDS * self._hertz))
            if at is not None:
                played.put_peak(at - self._times[0], value)
        return bytes(played.values)
