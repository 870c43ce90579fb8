"""Voice published by the local Motion Server, measured at a real receiver in the room.

    make livekit-server
    .venv/bin/python tests/bench/delivery.py [RUNS]

Real LiveKit server, the vendor's SDK, motion_bridge and the Motion Server (both in this process);
the orchestrator's side is a gRPC client, the agent a participant that notes the playback calls.
Each run is a session of its own with one turn.

- open: from `open` at motion_bridge to `ready`; the Motion Server has joined and published then.
- first call: from the turn's first voice at motion_bridge to `lk.playback_started` at the agent.
- first sound: the same to the first loud sample where a loudspeaker would play it.
- silence: from `interrupt` at motion_bridge to the last loud sample there.
- report: the same to `lk.playback_finished` at the agent.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "services/egress/tests"))

import numpy as np
from livekit import rtc
from motion.conftest import Rig, rigged
from support.livekit import LiveKitServer, any_server
from support.livekit_turns import tone
from support.room import User

ENGINE, AGENT = "motion-engine", "avatar"
NAMES = ("open", "first call", "first sound", "silence", "report")


async def one(rig: Rig, server: LiveKitServer, results: dict[str, list[float]]) -> None:
    room = f"bench-{secrets.token_hex(4)}"
    calls: dict[str, float] = {}

    async def called(call: rtc.RpcInvocationData) -> str:
        calls[call.method] = time.perf_counter()
        return "ok"

    agent = rtc.Room()
    await agent.connect(server.url, server.agent_token(room, AGENT))
    for method in ("lk.playback_started", "lk.playback_finished"):
        agent.local_participant.register_rpc_method(method, called)
    user = User(server.url, server.token("ann", room), ENGINE)
    await user.join()
    token = server.token(
        ENGINE, room, kind="agent", can_publish=True, can_publish_data=True, can_subscribe=False
    )
    target = {"url": server.url, "token": token, "room": room, "identity": ENGINE}
    target["attributes"] = {"livekit_agent_identity": AGENT}
    began = time.perf_counter()
    conversation = await rig.conversation(return_frames=None, livekit_room=target)
    results["open"].append(time.perf_counter() - began)
    await user.until(lambda: user.track)
    await asyncio.sleep(1.0)

    began = time.perf_counter()
    await conversation.start(1)
    await conversation.say(1, tone(1000, 8.0))
    await asyncio.sleep(1.5)
    cut = time.perf_counter()
    await conversation.interrupt(1)
    await user.until(lambda: "lk.playback_finished" in calls)
    await asyncio.sleep(0.8)
    loud = [at for at, pcm in user.voice if at > began and np.max(np.abs(pcm)) > 0.05]
    results["first call"].append(calls["lk.playback_started"] - began)
    results["first sound"].append(loud[0] - began)
    results["silence"].append(loud[-1] - cut)
    results["report"].append(calls["lk.playback_finished"] - cut)
    await conversation.leave()
    await user.leave()
    await agent.disconnect()


async def main(runs: int) -> None:
    results: dict[str, list[float]] = {name: [] for name in NAMES}
    with any_server() as server:
        if server is None:
            sys.exit("no LiveKit server: `make livekit-server`, or set LIVEKIT_URL and its keys")
        async with rigged() as start:
            rig = await start(connect_seconds=5.0)
            for _ in range(runs):
                await one(rig, server, results)
    for name, seconds in results.items():
        cuts = statistics.quantiles([1000 * second for second in seconds], n=20)
        print(f"{name:12} n={len(seconds):3}  p50 {cuts[9]:6.1f} ms  p95 {cuts[18]:6.1f} ms")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
