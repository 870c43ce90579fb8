"""The spatius backend against the local Motion Server: interrupts, lost sessions, first motion.

    .venv/bin/python tests/bench/motion_bridge.py [TURNS]

Bridge and server run in this process, and between them the vendor's SDK over loopback; the
orchestrator's side is a gRPC client. Prints medians and the worst of TURNS turns:

    interrupt     command sent -> read by Motion Server, with 30 s of voice queued
    lost session  connection cut in mid-turn -> motion of the session that took over
    first motion  first voice sent -> its motion received, for a voice that comes at once
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from motion.conftest import Conversation, Rig, rigged, voice


class Stamped(deque[str]):
    """Says when something is appended."""

    def __init__(self, items: Any, told: Callable[[], None]) -> None:
        super().__init__(items)
        self._told = told

    def append(self, item: str) -> None:
        self._told()
        super().append(item)


async def interrupt(rig: Rig, conversation: Conversation, turn: int) -> float:
    """Seconds until Motion Server has read an interrupt."""
    read = asyncio.Event()
    (session,) = rig.sessions
    session._muted = Stamped(session._muted, read.set)
    await conversation.start(turn)
    await conversation.say(turn, voice(30), piece=1.0)
    began = time.perf_counter()
    await conversation.interrupt(turn)
    await read.wait()
    took = time.perf_counter() - began
    await conversation.ended(turn)
    return took


async def lost_session(rig: Rig, conversation: Conversation, turn: int) -> float:
    """Seconds from a cut connection to motion again."""
    await conversation.start(turn)
    await conversation.say(turn, voice(3))
    await conversation.until(lambda: conversation.motion(turn))
    before = len(conversation.motion(turn))
    rig.end_sessions(drop=True)
    began = time.perf_counter()
    await conversation.say(turn, voice(5))
    await conversation.end(turn)
    await conversation.until(lambda: len(conversation.motion(turn)) > before)
    took = time.perf_counter() - began
    await conversation.ended(turn)
    return took


async def first_motion(rig: Rig, conversation: Conversation, turn: int) -> float:
    """Seconds from a voice's first audio to its first motion."""
    await conversation.start(turn)
    began = time.perf_counter()
    await conversation.say(turn, voice(5))
    await conversation.end(turn)
    await conversation.until(lambda: conversation.motion(turn))
    took = time.perf_counter() - began
    await conversation.ended(turn)
    return took


async def main(turns: int) -> None:
    """Measures and prints."""
    logging.disable(logging.WARNING)
    async with rigged() as start:
        rig = await start(late_seconds=10.0)
        conversation = await rig.conversation()
        number = 0
        for name, measure in (
            ("interrupt", interrupt),
            ("lost session", lost_session),
            ("first motion", first_motion),
        ):
            taken = []
            for _ in range(turns):
                number += 1
                taken.append(1000 * await measure(rig, conversation, number))
            print(
                f"{name:<14} median {statistics.median(taken):6.1f} ms, worst {max(taken):6.1f} ms"
            )
        print(f"{turns} turns each; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
