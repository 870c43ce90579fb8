"""One scripted stage as a process of its own, for tests that kill, drain or count instances.

    python scripted_process.py STAGE PORT DIRECTORY

Writes a JSON line for every call that it gets. While there is a file `hang-before` (or
`hang-after`) in DIRECTORY, llm and tts hang before (after) their first output, and say so in a
line: that is the moment to kill them. While there is `slow`, their calls take half a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "services/orchestrator/tests"))

import grpc
from scripted import Asr, Llm, Motion, Tts
from stagekit.admission import Admission
from stagekit.server import Stage, serving
from stagekit.signals import stop_event
from stagewire.asr.v1 import asr_pb2_grpc
from stagewire.common.v1 import describe_pb2
from stagewire.llm.v1 import llm_pb2_grpc
from stagewire.motion_bridge.v1 import motion_bridge_pb2_grpc
from stagewire.tts.v1 import tts_pb2_grpc

DRAIN_SECONDS = 10.0
STAGES: dict[str, tuple[Callable[[], Any], Callable[[Any, grpc.aio.Server], None], str]] = {
    "asr": (Asr, asr_pb2_grpc.add_AsrServiceServicer_to_server, "Transcribe"),
    "llm": (Llm, llm_pb2_grpc.add_LlmServiceServicer_to_server, "Generate"),
    "tts": (Tts, tts_pb2_grpc.add_TtsServiceServicer_to_server, "Synthesize"),
    "motion_bridge": (
        Motion,
        motion_bridge_pb2_grpc.add_MotionBridgeServiceServicer_to_server,
        "Animate",
    ),
}
FIRST_OUTPUT, FIRST_MEDIA = ("delta", "words"), ("delta", "audio")


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


async def hang(when: str) -> None:
    say(hangs=when)
    await asyncio.Event().wait()


def wrapped(
    method: Callable[..., AsyncIterator[Any]], name: str, folder: Path, admission: Admission
) -> Callable[..., AsyncIterator[Any]]:
    """The stage's method, with its admission and the faults that the folder asks for."""

    async def call(requests: Any, context: Any) -> AsyncIterator[Any]:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        told = ("x-session-id", "traceparent", "x-envoy-attempt-count")
        say(call=name, **{key: metadata.get(key, "") for key in told})
        before, after = set(FIRST_OUTPUT), set(FIRST_MEDIA)
        with admission.slot():
            async for response in method(requests, context):
                arm = response.WhichOneof("message")
                if arm in before:
                    before.clear()
                    if (folder / "slow").exists():
                        await asyncio.sleep(0.5)
                    if (folder / "hang-before").exists():
                        await hang("before")
                yield response
                if arm in after:
                    after.clear()
                    if (folder / "hang-after").exists():
                        await asyncio.sleep(0.5)  # so that the output is out when it is killed
                        await hang("after")
            if (folder / "end-late").exists():
                await asyncio.sleep(0.2)
        say(done=name)

    return call


async def main(stage: str, port: int, folder: Path) -> None:
    make, register, method = STAGES[stage]
    servicer, admission = make(), Admission(100)
    setattr(servicer, method, wrapped(getattr(servicer, method), method, folder, admission))
    if stage == "llm":
        warm = servicer.Warm

        async def told_warm(request: Any, context: Any) -> Any:
            say(call="Warm", **{"x-session-id": request.session_id})
            return await warm(request, context)

        servicer.Warm = told_warm
    stop = stop_event()
    served = Stage(
        [],
        lambda server: register(servicer, server),
        describe_pb2.StageDescription(stage=stage),
        admission,
    )
    async with serving(served, port=port, drain_seconds=DRAIN_SECONDS):
        say(serves=port)
        await stop.wait()
    say(stopped=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
