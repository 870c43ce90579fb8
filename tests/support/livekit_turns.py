"""Turns as a fake orchestrator sends them, and the microphone as it receives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from fake_orchestrator import RATE, FakeOrchestrator


def tone(hertz: float, seconds: float) -> bytes:
    """16-bit PCM at the voice's rate."""
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    return (wave * 32767).astype("<i2").tobytes()


def microphone_audio(orchestrator: FakeOrchestrator, first: int = 0) -> np.ndarray:
    """What came of the microphone from the first-th message on: float samples at 16 kHz."""
    data = b"".join(audio.data for audio in orchestrator.all("user_audio")[first:])
    return np.frombuffer(data, np.int16).astype(np.float32) / 32768


def _position(start: int) -> bytes:
    return start.to_bytes(4, "big")


async def speak(
    orchestrator: FakeOrchestrator,
    turn: int,
    pcm: bytes,
    end: bool = True,
    payload: Callable[[int], bytes] = _position,
) -> int:
    """Sends a turn in 40 ms chunks with a payload of motion each; returns its samples."""
    await orchestrator.say(turn_start={"turn": turn})
    step = RATE // 25
    for start in range(0, len(pcm) // 2, step):
        data = pcm[2 * start : 2 * (start + step)]
        await orchestrator.say(audio={"turn": turn, "audio": {"data": data, "start_sample": start}})
        frame = {"payload": payload(start), "start_sample": start}
        await orchestrator.say(motion={"turn": turn, "end_sample": start + step, **frame})
    if end:
        await orchestrator.say(end_of_turn={"turn": turn})
    return len(pcm) // 2
