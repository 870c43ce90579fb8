"""Which utterances a text covers, and their audio.

A pause in mid-sentence closes an utterance, but a sentence is best recognized as a whole. So each
text covers every utterance since the last commit, and says from which one on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from stagekit.audio import Samples

LONGEST_SPAN_SAMPLES = 28 * 16_000
"""From the start of the first utterance covered to the end of the last: fits Whisper's 30 s."""


@dataclass(frozen=True, eq=False)
class Clip:
    """An utterance's audio, with a little before and after; none for one that was empty.

    Attributes:
        utterance: Its number.
        start_sample: Where ``samples`` begin in the microphone's stream.
        samples: 16 kHz.
        speech: Where in the stream speech began and ended.
    """

    utterance: int
    start_sample: int
    samples: Samples
    speech: tuple[int, int]

    @property
    def end_sample(self) -> int:
        """Where they end."""
        return self.start_sample + len(self.samples)


@dataclass(frozen=True, eq=False)
class Span:
    """Clips of utterances in a row; at least one."""

    clips: tuple[Clip, ...]

    @property
    def from_utterance(self) -> int:
        """The first utterance covered."""
        return self.clips[0].utterance

    @property
    def utterance(self) -> int:
        """The last one."""
        return self.clips[-1].utterance

    @property
    def audible(self) -> tuple[int, ...]:
        """The utterances that have audio: two spans with the same ones sound the same."""
        return tuple(clip.utterance for clip in self.clips if len(clip.samples))

    def says_more_than(self, other: Span) -> bool:
        """Whether it covers all that ``other`` does, and sounds of more."""
        same_start = self.from_utterance == other.from_utterance
        return same_start and len(self.audible) > len(other.audible)

    def samples(self) -> Samples:
        """All the audio, without what was between the clips."""
        return np.concatenate([clip.samples for clip in self.clips])

    def stream_sample(self, offset: int) -> int:
        """Where a sample of :meth:`samples` is in the microphone's stream.

        What is before or after a clip's speech is moved to its edge: the recognizer hears the
        silence around a word as part of it.
        """
        clips = [clip for clip in self.clips if len(clip.samples)]
        for clip in clips:
            if offset < len(clip.samples) or clip is clips[-1]:
                break
            offset -= len(clip.samples)
        speech_start, speech_end = clip.speech
        return min(max(clip.start_sample + offset, speech_start), speech_end)

    def after(self, committed: int) -> Span:
        """What of it remains when ``committed`` was taken.

        All of it when it ends there or before: then it is the text of what was taken.
        """
        if self.utterance <= committed:
            return self
        return Span(tuple(clip for clip in self.clips if clip.utterance > committed))


class Uncommitted:
    """The closed utterances that the next text will cover too."""

    def __init__(self) -> None:
        """None yet."""
        self.committed = 0
        self._clips: tuple[Clip, ...] = ()

    def with_open(self, clip: Clip) -> Span:
        """The span that ends with an utterance in progress.

        When it would be too long, the older utterances are left with the text they have.
        """
        if self._clips and clip.end_sample - self._clips[0].start_sample > LONGEST_SPAN_SAMPLES:
            self._clips = ()
        return Span((*self._clips, clip))

    def close(self, clip: Clip) -> Span:
        """Adds an utterance that has ended; returns the span that ends with it."""
        span = self.with_open(clip)
        if clip.utterance > self.committed:
            self._clips = span.clips
        return span

    def commit(self, utterance: int) -> None:
        """No later span covers ``utterance`` or those before it."""
        self.committed = max(self.committed, utterance)
        self._clips = tuple(clip for clip in self._clips if clip.utterance > utterance)

    def mute(self, utterance: int) -> None:
        """The utterance turned out not to be speech: its audio would only disturb the next's."""
        self._clips = tuple(
            replace(clip, samples=clip.samples[:0]) if clip.utterance == utterance else clip
            for clip in self._clips
        )
