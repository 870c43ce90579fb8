"""Recordings to and from RIFF/WAVE files."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
from stagekit.audio import Resampler, Samples

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MAX_BYTES = 512 << 20


class WavError(Exception):
    """A file cannot be used; the message names it, what is wrong and what would be right."""


def read(path: Path, hertz: int) -> Samples:
    """Reads a recording of any rate, width (8 to 32-bit PCM, float) and number of channels.

    Returns:
        Its mean over channels as float32 in -1..1 at ``hertz``, shape (samples,).

    Raises:
        WavError: When it is missing, empty, or not such a file.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise WavError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; cut it into pieces")
        data = path.read_bytes()
    except OSError as error:
        raise WavError(f"{path}: {error.strerror or error}") from error
    try:
        rate, samples = _decode(data)
    except (ValueError, struct.error) as error:
        raise WavError(
            f"{path}: {error}. A WAV file with PCM or float samples is needed; "
            "`ffmpeg -i FILE -ac 1 -ar 16000 question.wav` makes one"
        ) from error
    if not samples.size:
        raise WavError(f"{path}: there is no audio in it")
    return Resampler(rate, hertz).push(samples, last=True)


def write(path: Path, pcm: bytes, hertz: int) -> None:
    """Writes 16-bit mono PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hertz)
        file.writeframes(pcm)


def _decode(data: bytes) -> tuple[int, Samples]:
    """The sample rate and the mono samples.

    Raises:
        ValueError: For what this cannot read. (The standard library's reader knows neither float
            nor the extensible header, which 24-bit recordings usually have.)
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("not a RIFF/WAVE file")
    chunks: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        chunks.setdefault(name, data[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    if b"fmt " not in chunks or b"data" not in chunks:
        raise ValueError("a WAV file without a format or without data")
    form = chunks[b"fmt "]
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack_from("<H", form, 24)
    if not channels or not 1_000 <= rate <= 384_000:
        raise ValueError(f"{channels} channels at {rate} Hz")
    samples = _numbers(chunks[b"data"], kind, bits)
    frames = samples[: len(samples) // channels * channels].reshape(-1, channels)
    return rate, np.ascontiguousarray(frames.mean(axis=1), dtype=np.float32)


def _numbers(data: bytes, kind: int, bits: int) -> Samples:
    """Interleaved samples as float32 in -1..1."""
    width = bits // 8
    whole = data[: len(data) // width * width] if width else b""
    match kind, bits:
        case (1, 8):
            return (np.frombuffer(whole, "u1").astype(np.float32) - 128) / np.float32(128)
        case (1, 16):
            return np.frombuffer(whole, "<i2").astype(np.float32) / np.float32(2**15)
        case (1, 24):
            triples = np.frombuffer(whole, "u1").reshape(-1, 3)
            padded = np.zeros((len(triples), 4), "u1")
            padded[:, 1:] = triples
            return padded.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
        case (1, 32):
            return np.frombuffer(whole, "<i4").astype(np.float32) / np.float32(2**31)
        case (3, 32):
            return np.nan_to_num(np.frombuffer(whole, "<f4").astype(np.float32))
        case (3, 64):
            return np.nan_to_num(np.frombuffer(whole, "<f8").astype(np.float32))
    raise ValueError(f"samples of format {kind} with {bits} bits")
