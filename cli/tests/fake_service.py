"""A fake service for the supervisor's tests: health and Describe, or a way of failing.

python fake_service.py PORT [dies | never_serves | ignores_sigterm | dies_at_sigterm | has_a_child]
"""

import asyncio
import signal
import subprocess
import sys
import time

from stagekit.admission import Admission
from stagekit.server import Stage, serving
from stagewire.common.v1 import describe_pb2


async def main(port: int, mode: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, (lambda: None) if "ignores" in mode else stop.set)
    stage = Stage([], lambda server: None, describe_pb2.StageDescription(), Admission(1))
    async with serving(stage, port=port):
        print("serving", flush=True)
        await stop.wait()
        if mode == "dies_at_sigterm":
            print("the last words", flush=True)
            sys.exit(3)
    print("stopped", time.monotonic(), flush=True)


port, mode = int(sys.argv[1]), (sys.argv[2:] or [""])[0]
if mode == "dies":
    print("\n".join(f"line {number}" for number in range(100)))
    sys.exit("no such backend")
if mode == "never_serves":
    time.sleep(60)
if mode == "has_a_child":
    print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
asyncio.run(main(port, mode))
