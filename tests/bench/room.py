"""What a LiveKit room adds, measured at a real receiver: joining, the voice's way, lips to voice.

    make livekit-server
    .venv/bin/python tests/bench/room.py [RUNS]

Real server, real egress process, real client library; the orchestrator is a fake in this process.
Each run is a session of its own with one turn of 6 s, in which a 20 ms burst of a tone begins every
500 ms and a frame of motion stands at every 40 ms.

- join: from `open` at egress to `ready`, and to the attribute ready=1 at a user in the room.
- voice: from a sample entering the track (egress' own clock packets; they travel in under 2 ms
  here) to its arrival in the receiver's audio stream, where a loudspeaker would play it.
- skew: a receiver follows docs/livekit.md: clock packets, its own jitter buffer's statistics, and a
  constant. The skew is when it would show the frame of a burst less when it heard the burst.
- interrupt: from `interrupt` at egress to the last loud sample at the receiver.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "services/egress/tests"))

import numpy as np
from fake_orchestrator import RATE
from livekit import rtc
from stagewire_egress.livekit import packets
from support.livekit import any_server
from support.livekit_process import Stage, egress_process, stage_at
from support.livekit_turns import speak
from support.room import User

SECONDS, EVERY, BURST = 6.0, 0.5, 0.02
CODING_SECONDS = 0.012
"""docs/livekit.md: what encoder and packetization add to the jitter buffer's own delay."""


def bursts() -> tuple[np.ndarray, list[int]]:
    """A voice of silence and bursts, and the samples at which they begin."""
    voice = np.zeros(round(SECONDS * RATE))
    marks = [round(at * RATE) for at in np.arange(0.5, SECONDS - 0.1, EVERY)]
    wave = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(BURST * RATE)) / RATE)
    for mark in marks:
        voice[mark : mark + len(wave)] = wave
    return voice, marks


def onsets(user: User) -> list[float]:
    """When each burst was heard (perf_counter)."""
    found, quiet = [], 0
    for at, pcm in user.voice:
        loud = np.flatnonzero(np.abs(pcm) > 0.08)
        if len(loud) and quiet > 10:
            found.append(at + (int(loud[0]) - len(pcm)) / RATE)
        quiet = 0 if len(loud) else quiet + 1
    return found


class JitterBuffer:
    """How long the receiver's jitter buffer held what it played lately, from its statistics."""

    def __init__(self, track: rtc.RemoteAudioTrack) -> None:
        self._track = track
        self._before = (0.0, 0)
        self.delays: list[tuple[float, float]] = []  # (perf_counter, seconds)

    async def run(self) -> None:
        while True:
            for stat in await self._track.get_stats():
                if stat.WhichOneof("stats") == "inbound_rtp":
                    inbound = stat.inbound_rtp.inbound
                    now = inbound.jitter_buffer_delay, inbound.jitter_buffer_emitted_count
                    emitted = now[1] - self._before[1]
                    if emitted > 0:
                        delay = (now[0] - self._before[0]) / emitted
                        self.delays.append((time.perf_counter(), delay))
                    self._before = now
            await asyncio.sleep(0.1)

    def at(self, moment: float) -> float:
        """What a receiver knows at that moment."""
        return [seconds for at, seconds in self.delays if at <= moment][-1]


async def one(stage: Stage, results: dict[str, list[float]]) -> None:
    room = f"bench-{secrets.token_hex(4)}"
    user = await stage.user(room)
    orchestrator = stage.call()
    began = time.perf_counter()
    await orchestrator.say(open=stage.opening(room))
    await orchestrator.wait("ready")
    results["join to ready"].append(time.perf_counter() - began)
    await user.until_attribute("ready", "1")
    results["join to ready=1 at the user"].append(time.perf_counter() - began)
    voice, marks = bursts()
    await user.until(lambda: user.track)
    assert user.track is not None
    jitter = JitterBuffer(user.track)
    measuring = asyncio.create_task(jitter.run())
    pcm = (voice * 32767).astype("<i2").tobytes()
    await speak(orchestrator, 1, pcm)
    await orchestrator.wait("turn_ended", seconds=20)
    await asyncio.sleep(0.3)
    clocks = user.of(packets.Kind.CLOCK, 1)
    heard = onsets(user)
    if len(heard) != len(marks):
        print(f"heard {len(heard)} of {len(marks)} bursts; the run does not count")
    else:
        for mark, at in zip(marks, heard, strict=True):
            known = [c for c in clocks if c.at <= at]
            known = [c for c in known if c.epoch == known[-1].epoch]
            entered = min(c.at - c.sample / RATE for c in known) + mark / RATE
            results["voice: track to ear"].append(at - entered)
            shown = entered + jitter.at(at) + CODING_SECONDS
            results["skew of lips to voice"].append(abs(shown - at))
            results["jitter buffer"].append(jitter.at(at))
    measuring.cancel()
    await interrupted(user, orchestrator, results)
    await orchestrator.hang_up()
    await user.leave()


async def interrupted(user: User, orchestrator: Any, results: dict[str, list[float]]) -> None:
    wave = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(4 * RATE) / RATE)
    await speak(orchestrator, 2, (wave * 32767).astype("<i2").tobytes())
    await user.until(lambda: user.of(packets.Kind.CLOCK, 2))
    await asyncio.sleep(0.7)
    cut = time.perf_counter()
    await orchestrator.say(interrupt={"turn": 2})
    await orchestrator.wait("turn_ended", count=2)
    await asyncio.sleep(0.6)
    loud = [at for at, pcm in user.voice if np.max(np.abs(pcm)) > 0.05]
    results["interrupt to silence at the ear"].append(loud[-1] - cut)


async def main(runs: int) -> None:
    names = (
        "join to ready",
        "join to ready=1 at the user",
        "voice: track to ear",
        "jitter buffer",
        "skew of lips to voice",
        "interrupt to silence at the ear",
    )
    results: dict[str, list[float]] = {name: [] for name in names}
    with any_server() as server:
        if server is None:
            sys.exit("no LiveKit server: `make livekit-server`, or set LIVEKIT_URL and its keys")
        service = egress_process()
        try:
            async with stage_at(service, server) as stage:
                for _ in range(runs):
                    await one(stage, results)
        finally:
            service.stop()
    for name, seconds in results.items():
        cuts = statistics.quantiles([1000 * second for second in seconds], n=20)
        print(f"{name:33} n={len(seconds):3}  p50 {cuts[9]:6.1f} ms  p95 {cuts[18]:6.1f} ms")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
