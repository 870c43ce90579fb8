"""The silences of a turn: at its start, and between its clauses.

A synthesizer surrounds every clause with silence of its own. Here it is cut to what a listener
expects: almost none before the first sound, and pauses as long as the punctuation says. A pause
goes before the next clause, not after this one, so that a turn ends when its last word does.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from stagekit.audio import Samples

from stagewire_tts.backend import Clause, PhonemeTime, WordTime

LEAD_SECONDS = 0.03
"""Kept before a clause's first sound, so that soft onsets are not cut."""
TAIL_SECONDS = 0.08
"""Kept after its last sound, so that it can fade."""
_FADE_SECONDS = 0.004
# Of a frame's level against the loudest, where speech is taken to end; for backends without
# phonemes. 20 ms frames.
_SILENCE_DB = 35.0

_END = re.compile(r"""([.!?…,;:—–\n]?)[\s"'”’)\]*_]*$""")
# Pauses in natural, unhurried speech, from the last sound to the next, in seconds.
_PAUSES = {".": 0.30, "!": 0.30, "?": 0.30, "…": 0.40, "\n": 0.30}
_PAUSES |= {",": 0.15, ";": 0.22, ":": 0.22, "—": 0.20, "–": 0.20}
_NO_PUNCTUATION = 0.06


def pause_after(text: str, rate: float) -> float:
    """Seconds of silence after a clause with this text, for the next one to begin with."""
    end = _END.search(text)
    return _PAUSES.get(end.group(1) if end else "", _NO_PUNCTUATION) / rate


def pace(clause: Clause, sample_rate: int, pause: float) -> Clause:
    """The clause with its silences cut and the pause before it added; offsets stay exact.

    Args:
        clause: As the backend made it; not empty.
        sample_rate: Its rate in hertz.
        pause: Seconds between the last sound of the clause before and the first of this one; 0
            for the first clause of a turn.
    """
    first, last = _speech(clause, sample_rate)
    lead, tail = round(LEAD_SECONDS * sample_rate), round(TAIL_SECONDS * sample_rate)
    begin, end = max(0, first - lead), min(len(clause.samples), last + tail)
    before = max(0, round(pause * sample_rate) - lead - tail)
    kept = _faded(clause.samples[begin:end], round(_FADE_SECONDS * sample_rate))
    shift, length = before - begin, before + end - begin
    return Clause(
        np.concatenate([np.zeros(before, np.float32), kept]),
        tuple(replace(w, start=w.start + shift, end=w.end + shift) for w in clause.words),
        _shifted(clause.phonemes, shift, length),
    )


def _speech(clause: Clause, sample_rate: int) -> tuple[int, int]:
    """Samples from the first sound to after the last."""
    sounds = [p for p in clause.phonemes if p.symbol != "sil"]
    if sounds:
        return sounds[0].start, sounds[-1].end
    frame = sample_rate // 50
    loud = np.flatnonzero(levels(clause.samples, frame) > -_SILENCE_DB)
    return int(loud[0]) * frame, min(len(clause.samples), (int(loud[-1]) + 1) * frame)


def levels(samples: Samples, frame: int) -> Samples:
    """The level of each ``frame`` samples in dB below the loudest one; shape [ceil(n / frame)]."""
    padded = np.pad(samples, (0, -len(samples) % frame)).reshape(-1, frame)
    power: Samples = np.mean(padded**2, axis=1) + 1e-12
    return np.asarray(10 * np.log10(power / power.max()), np.float32)


def _shifted(phonemes: tuple[PhonemeTime, ...], shift: int, length: int) -> tuple[PhonemeTime, ...]:
    """The phonemes of the kept stretch; its first and last silence reach to the edges."""
    moved = [
        PhonemeTime(p.symbol, max(0, p.start + shift), min(length, p.end + shift)) for p in phonemes
    ]
    moved = [p for p in moved if p.end > p.start]
    if not moved:
        return ()
    if moved[0].start > 0 or moved[0].symbol == "sil":
        rest = moved[1:] if moved[0].symbol == "sil" else moved
        moved = [PhonemeTime("sil", 0, rest[0].start if rest else length), *rest]
    return tuple(moved)


def _faded(samples: Samples, fade: int) -> Samples:
    """The samples with edges that do not click."""
    out = samples.copy()
    ramp = np.linspace(0.0, 1.0, min(fade, len(out)), dtype=np.float32)
    out[: len(ramp)] *= ramp
    out[len(out) - len(ramp) :] *= ramp[::-1]
    return out


def rescale(clause: Clause, source_hertz: int, target_hertz: int) -> Clause:
    """The clause's offsets at another sample rate; the samples are left to the resampler."""

    def at(sample: int) -> int:
        return (2 * sample * target_hertz + source_hertz) // (2 * source_hertz)

    return replace(
        clause,
        words=tuple(
            WordTime(w.text_start, w.text_end, at(w.start), at(w.end)) for w in clause.words
        ),
        phonemes=tuple(PhonemeTime(p.symbol, at(p.start), at(p.end)) for p in clause.phonemes),
    )
