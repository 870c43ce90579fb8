"""What stagewire itself adds to a turn: real egress and orchestrator, stages that take no time.

    .venv/bin/python tests/bench/overhead.py [TURNS [ROUNDS]]

The scripted stages (services/orchestrator/tests/scripted.py, in this process) answer at once, so
the time from sending a typed question to receiving the first voice and motion is transport,
protobuf, the conversation machine and egress: two processes, four gRPC hops and the WebSocket.
Each round measures without Envoy and with it: then every hop goes through the proxy.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "services/orchestrator/tests"))

from scripted import ScriptedStages
from stagewire_cli import api, proxy
from stagewire_cli import client as c
from stagewire_cli.bench import quantile
from stagewire_cli.client import join
from stagewire_cli.stack import Ports, services
from stagewire_cli.supervisor import Supervisor

SCRIPTED = ("asr", "llm", "tts", "motion_bridge")


async def measure(turns: int, envoy: bool) -> list[float]:
    """Seconds from each question to its first voice and motion."""
    folder = Path(tempfile.mkdtemp())
    async with ScriptedStages().serving() as target:
        scripted = int(target.rpartition(":")[2])
        ports = replace(Ports.free(), **dict.fromkeys(SCRIPTED, scripted))
        ours = ("egress", "orchestrator")
        stack = [one for one in services(ports, envoy=envoy, user={}) if one.name in ours]
        if envoy:
            stack.insert(0, proxy.service(ports, folder, user={}))
        public = ports.public if envoy else ports.orchestrator_http
        async with (
            Supervisor(stack, folder),
            api.session(f"http://127.0.0.1:{public}") as session,
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


async def main(turns: int, rounds: int) -> None:
    """Prints a line for each measurement, and one for all of a kind."""
    found: dict[str, list[float]] = {"without Envoy": [], "with Envoy": []}
    for _ in range(rounds):
        for envoy, (name, every) in enumerate(found.items()):
            seconds = await measure(turns, bool(envoy))
            every += seconds
            print(f"{name}: {_figures(seconds)}; load {os.getloadavg()[0]:.1f}", flush=True)
    for name, every in found.items():
        print(f"question typed to first voice and motion, {name}: {_figures(every)}")


def _figures(seconds: list[float]) -> str:
    p50, p95 = (1000 * quantile(seconds, share) for share in (0.5, 0.95))
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, n={len(seconds)}"


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*(given + [50, 3][len(given) :])))
