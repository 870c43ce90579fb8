"""The mouth of one turn: coarticulated visemes where phonemes are known, else loudness.

openfacefx (MIT) blends the shapes of neighbouring sounds (Cohen and Massaro, 1993) and closes the
lips for P, B and M. Phonemes come before their audio, so what follows a frame is known without
waiting for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from openfacefx import PRESETS, PhonemeSegment
from openfacefx.coarticulation import CoartParams, build_viseme_curves
from openfacefx.visemes import VISEMES
from stagewire_motion_codec.arkit52 import CHANNELS

from stagewire_lipsync.frames import FRAME_RATE, Floats
from stagewire_lipsync.life import Weights
from stagewire_lipsync.phonemes import PhonemeTime

# Seconds of speech that are blended together: before a stretch, so that it continues what was
# shown (a sound's influence decays within half of this), and in all, which bounds the work.
_CONTEXT, _STRETCH = 1.0, 20.0
_MAX_PHONEMES = 20_000
# Silences of a tenth of a second and more close the mouth, within the time that lips take.
_PARAMS = CoartParams(short_silence=0.10)
_CLOSING, _OPENING = 0.10, 0.12
# Loudness that opens the jaw: dBFS of a frame, from shut to the widest.
_QUIET_DB, _LOUD_DB, _WIDEST = -45.0, -15.0, 0.55
# Frames in which a turn's first mouth comes out of rest.
_ONSET = 3
# Of the way to a wider and to a narrower jaw, in one frame.
_ATTACK, _RELEASE = 0.5, 0.25


def _arkit_table() -> Weights:
    """Shape [visemes, 52]: openfacefx's own weights of ARKit shapes."""
    table = np.zeros((len(VISEMES), len(CHANNELS)))
    for viseme, shapes in PRESETS["arkit"].items():
        for shape, weight in shapes:
            table[VISEMES.index(viseme), CHANNELS.index(shape)] = weight
    return table


_ARKIT = _arkit_table()
_JAW = CHANNELS.index("jawOpen")


class Mouth:
    """Frames of one turn, asked for in order.

    Args:
        sample_rate: Of the voice, in hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        """Closed."""
        self._sample_rate = sample_rate
        self._segments: list[PhonemeSegment] = []
        self._shaped: Weights = np.zeros((0, len(CHANNELS)))
        self._shaped_from = 0
        self._jaw: list[float] = []
        self._jaw_from = 0
        self._unheard: Floats = np.zeros(0, np.float32)
        self._heard = 0

    def expect(self, phonemes: Sequence[PhonemeTime]) -> None:
        """Takes sounds to come; those that do not continue in time are left out."""
        for phoneme in phonemes[: _MAX_PHONEMES - len(self._segments)]:
            start, end = phoneme.start / self._sample_rate, phoneme.end / self._sample_rate
            if start < self._known() - 1e-9 or end <= start:
                continue
            if phoneme.symbol == "sil" and self._segments and self._segments[-1].phoneme == "sil":
                start = self._segments.pop().start  # one silence, however it was cut
            self._segments.append(PhonemeSegment(phoneme.symbol, start, end))
        self._shaped = self._shaped[:0]

    def hear(self, samples: Floats) -> None:
        """Takes the next audio: the jaw that its loudness makes."""
        self._unheard = np.concatenate([self._unheard, samples])
        while True:
            edge = (self._heard + 1) * self._sample_rate // FRAME_RATE
            size = edge - self._heard * self._sample_rate // FRAME_RATE
            if len(self._unheard) < size:
                return
            self._hear_frame(self._unheard[:size])
            self._unheard = self._unheard[size:]

    def _hear_frame(self, samples: Floats) -> None:
        level = 10 * np.log10(float(np.mean(samples**2)) + 1e-10)
        wide = _WIDEST * float(np.clip((level - _QUIET_DB) / (_LOUD_DB - _QUIET_DB), 0, 1))
        before = self._jaw[-1] if self._jaw else 0.0
        self._jaw.append(before + (wide - before) * (_ATTACK if wide > before else _RELEASE))
        self._heard += 1

    def frames(self, begin: int, end: int, closes: bool) -> Weights:
        """Frames ``begin`` to ``end``, whose audio was heard; ``closes`` shuts the last one.

        Returns:
            Weights, shape [end - begin, 52].
        """
        frames = np.zeros((end - begin, len(CHANNELS)))
        for frame in range(begin, end):
            if frame / FRAME_RATE < self._known():
                frames[frame - begin] = self._shape(frame)
            elif frame - self._jaw_from < len(self._jaw):
                frames[frame - begin, _JAW] = self._jaw[frame - self._jaw_from]
            frames[frame - begin] *= min(1.0, frame / _ONSET)
        self._forget(end)
        if closes:
            frames[-1] = 0.0
        return frames

    def _known(self) -> float:
        """Seconds up to which phonemes are known."""
        return self._segments[-1].end if self._segments else 0.0

    def _shape(self, frame: int) -> Weights:
        if not self._shaped_from <= frame < self._shaped_from + len(self._shaped):
            self._shape_from(frame)
        row: Weights = self._shaped[frame - self._shaped_from]
        return row

    def _shape_from(self, frame: int) -> None:
        """Shapes a stretch that begins with ``frame``, blended with what is around it."""
        origin = max(0.0, frame / FRAME_RATE - _CONTEXT)
        limit = frame / FRAME_RATE + _STRETCH
        window = [
            PhonemeSegment(s.phoneme, max(s.start, origin), min(s.end, limit))
            for s in self._segments
            if s.end > origin and s.start < limit
        ]
        # The curves' grid begins where the first sound does: silence fills up to a frame's edge.
        begin = window[0].start if window else limit
        if begin > origin:
            window.insert(0, PhonemeSegment("sil", origin, begin))
        times, visemes = build_viseme_curves(window, fps=FRAME_RATE, params=_PARAMS)
        weights = np.clip(visemes @ _ARKIT, 0.0, 1.0) * _openness(times, window)[:, None]
        skip = frame - round(origin * FRAME_RATE)
        self._shaped, self._shaped_from = weights[skip:], frame

    def _forget(self, end: int) -> None:
        """Drops the loudness of frames that were asked for, but for the one to go on from."""
        drop = max(0, min(end - self._jaw_from, len(self._jaw)) - 1)
        self._jaw, self._jaw_from = self._jaw[drop:], self._jaw_from + drop


def _openness(times: Weights, segments: Sequence[PhonemeSegment]) -> Weights:
    """1 in speech; in a silence down to 0, and up again when speech follows."""
    factor = np.ones(len(times))
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        short = segment.dur < _PARAMS.short_silence
        if segment.phoneme != "sil" or (short and following is not None):
            continue
        inside = (times >= segment.start) & (times <= segment.end)
        closing = 1.0 - (times - segment.start) / min(_CLOSING, 0.75 * segment.dur)
        opening = 1.0 - (segment.end - times) / _OPENING if following else closing
        factor[inside] = np.clip(np.maximum(closing, opening), 0.0, 1.0)[inside]
    return factor
