"""A fake asr for stagekit's own tests: built of every part of stagekit, it only counts bytes.

Run as a program it is a real process with settings, signals and a drain.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_settings import SettingsConfigDict
from stagekit import server
from stagekit.admission import Admission
from stagekit.outbox import Outbox
from stagekit.server import Stage
from stagekit.settings import StageSettings
from stagekit.streams import AudioTrack, Commands, check_format, duplex, task_group
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import describe_pb2, error_pb2


class EchoSettings(StageSettings):
    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_ECHO_", extra="ignore")


class Echo(asr_pb2_grpc.AsrServiceServicer):
    def __init__(self, admission: Admission, drain: asyncio.Event) -> None:
        self._admission = admission
        self._drain = drain

    async def Transcribe(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        with self._admission.slot():
            commands = Commands(request_iterator)
            opening = await commands.open(timeout=0.5)
            check_format(opening.format)
            if opening.language == "tlh":
                raise ZeroDivisionError("a secret")
            outbox: Outbox[asr_pb2.TranscribeResponse] = Outbox(8, stall_seconds=0.5)
            await outbox.put(asr_pb2.TranscribeResponse(ready=asr_pb2.Ready(language="en")))
            async for message in duplex(self._hear(commands, outbox), outbox):
                yield message

    async def _hear(self, commands: Any, outbox: Any) -> None:
        async with task_group() as group:
            leaving = group.create_task(self._leave(outbox))
            track = AudioTrack()
            async for arm, message in commands:
                if arm == "audio":
                    track.accept(message)
                    partial = asr_pb2.Partial(utterance=1, text=str(track.next_sample))
                    await outbox.put(asr_pb2.TranscribeResponse(partial=partial))
            leaving.cancel()

    async def _leave(self, outbox: Any) -> None:
        await self._drain.wait()
        going_away = error_pb2.GoingAway()
        await outbox.put_control(asr_pb2.TranscribeResponse(going_away=going_away))


async def build(settings: EchoSettings) -> Stage:
    admission, drain = Admission(settings.max_sessions), asyncio.Event()
    return Stage(
        services=["stagewire.asr.v1.AsrService"],
        register=lambda server: asr_pb2_grpc.add_AsrServiceServicer_to_server(
            Echo(admission, drain), server
        ),
        description=describe_pb2.StageDescription(stage="asr", backend="echo"),
        admission=admission,
        drain=drain,
    )


if __name__ == "__main__":
    server.run("echo_service", "Counts the bytes that it hears.", EchoSettings, build)
