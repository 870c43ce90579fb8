"""What stagewire itself adds to a turn: real egress and orchestrator, stages that take no time.

    .venv/bin/python tests/bench/overhead.py [TURNS]

The scripted stages (services/orchestrator/tests/scripted.py, in this process) answer at once, so
the time from sending a typed question to receiving the first voice and motion is transport,
protobuf, the conversation machine and egress: two processes, four gRPC hops and the WebSocket.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "services/orchestrator/tests"))

from scripted import ScriptedStages
from stagewire_cli import api
from stagewire_cli import client as c
from stagewire_cli.bench import quantile
from stagewire_cli.client import join
from stagewire_cli.stack import Ports, services
from stagewire_cli.supervisor import Supervisor

SCRIPTED = ("asr", "llm", "tts", "motion_bridge")


async def measure(turns: int) -> list[float]:
    """Seconds from each question to its first voice and motion."""
    ports = Ports.free()
    async with ScriptedStages().serving() as target:
        user = {f"STAGEWIRE_ORCHESTRATOR_{stage.upper()}_TARGET": target for stage in SCRIPTED}
        extra = {"orchestrator": user}
        stack = services(ports, extra=extra, user=user)
        async with (
            Supervisor(stack, Path(tempfile.mkdtemp())),
            api.session(f"http://127.0.0.1:{ports.orchestrator_http}") as session,
            join(session.join_url, session.client_token) as client,
        ):
            return [await ask(client, number) for number in range(turns + 1)][1:]


async def ask(client: c.Client, number: int) -> float:
    """Types a question, plays the answer at once, waits for its end."""
    # The greeting is the first turn; it is waited for and not counted.
    await asyncio.sleep(0.1)  # egress takes 50 messages per second from a client
    began = time.perf_counter()
    if number:
        await client.type_text("one two three four five")
    voice = motion = 0.0
    async for message in client:
        match message:
            case c.Voice():
                voice = voice or time.perf_counter()
            case c.Motion():
                motion = motion or time.perf_counter()
            case c.EndOfTurn():
                await client.report(message.turn, message.sample_count)
            case c.Event() if message.event.WhichOneof("event") == "turn_summary":
                break
    return max(voice, motion) - began


if __name__ == "__main__":
    seconds = asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
    p50, p95 = (1000 * quantile(seconds, share) for share in (0.5, 0.95))
    print(f"question typed to first voice and motion, n={len(seconds)}: ", end="")
    print(f"p50 {p50:.1f} ms, p95 {p95:.1f} ms")
