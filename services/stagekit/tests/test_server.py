"""What every service gets from stagekit.server, in this process and as a real one."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from stagekit.channel import connect
from stagekit.errors import from_rpc_error
from stagekit.server import serving
from stagekit.testing import stream_of
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2, describe_pb2, describe_pb2_grpc, error_pb2

PCM = audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=16_000)
OPEN = asr_pb2.TranscribeRequest(open=asr_pb2.Open(session_id="s", format=PCM))


@pytest.mark.parametrize(
    "name", ["", "stagewire.asr.v1.AsrService", "stagewire.common.v1.StageService"]
)
async def test_health_serves_for_the_whole_and_each_service(
    channel: grpc.aio.Channel, name: str
) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_a_service_that_is_not_there_is_not_found(
    channel: grpc.aio.Channel,
) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="stagewire.tts.v1.TtsService"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_contract_and_tells_its_messages(
    channel: grpc.aio.Channel,
) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    wanted = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="stagewire.asr.v1.TranscribeRequest"
        ),
    ]
    listed, file = [answer async for answer in stub.ServerReflectionInfo(stream_of(wanted))]
    assert {service.name for service in listed.list_services_response.service} >= {
        "stagewire.asr.v1.AsrService",
        "stagewire.common.v1.StageService",
        "grpc.health.v1.Health",
    }
    assert b"TranscribeRequest" in file.file_descriptor_response.file_descriptor_proto[0]


async def test_describe_answers_while_full_and_counts(channel: grpc.aio.Channel) -> None:
    describe = describe_pb2_grpc.StageServiceStub(channel)
    stub = asr_pb2_grpc.AsrServiceStub(channel)
    before = await describe.Describe(describe_pb2.DescribeRequest())
    held = [stub.Transcribe() for _ in range(2)]
    for call in held:
        await call.write(OPEN)
        await call.read()
    after = await describe.Describe(describe_pb2.DescribeRequest())
    for call in held:
        call.cancel()
    assert (before.description.stage, before.description.backend) == ("asr", "echo")
    assert (before.description.active, after.description.active) == (0, 2)


async def test_a_cancelled_call_gives_its_place_back(channel: grpc.aio.Channel) -> None:
    stub = asr_pb2_grpc.AsrServiceStub(channel)
    describe = describe_pb2_grpc.StageServiceStub(channel)
    call = stub.Transcribe()
    await call.write(OPEN)
    await call.read()
    call.cancel()
    async with asyncio.timeout(5):
        while (await describe.Describe(describe_pb2.DescribeRequest())).description.active:
            await asyncio.sleep(0.01)


async def test_a_message_over_the_limit_is_refused_and_the_server_lives(
    echo: SimpleNamespace,
) -> None:
    huge = asr_pb2.TranscribeRequest(audio=audio_pb2.Audio(data=bytes(5 << 20)))
    stage = await echo.build(echo.EchoSettings())
    async with serving(stage) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = asr_pb2_grpc.AsrServiceStub(channel).Transcribe(stream_of([OPEN, huge]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [answer async for answer in call]
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        describe = describe_pb2_grpc.StageServiceStub(channel)
        await describe.Describe(describe_pb2.DescribeRequest())


async def test_a_port_in_use_is_said_plainly(echo: SimpleNamespace) -> None:
    stage = await echo.build(echo.EchoSettings())
    async with serving(stage) as port:
        other = await echo.build(echo.EchoSettings())
        with pytest.raises(SystemExit, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            async with serving(other, port=port):
                pass


async def test_what_a_stage_holds_is_closed_after_the_drain(echo: SimpleNamespace) -> None:
    stage = await echo.build(echo.EchoSettings())
    steps: list[str] = []

    async def close() -> None:
        steps.append(f"closed, draining={stage.admission.draining}")

    stage.close = close
    async with serving(stage):
        steps.append("served")
    assert steps == ["served", "closed, draining=True"]


@dataclass
class Process:
    """A real process of the fake service."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel
    log: asyncio.StreamReader

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> tuple[int, str]:
        async with asyncio.timeout(10):
            log = await self.log.read()
            return await self.process.wait(), log.decode()


@pytest.fixture
async def process(echo: SimpleNamespace, request: pytest.FixtureRequest) -> AsyncIterator[Process]:
    environment = {"STAGEWIRE_ECHO_DRAIN_SECONDS": str(getattr(request, "param", 10))}
    started = await asyncio.create_subprocess_exec(
        sys.executable, echo.path, stderr=subprocess.PIPE, env={**os.environ, **environment}
    )
    assert started.stderr is not None
    try:
        async with asyncio.timeout(20):
            line = (await started.stderr.readline()).decode()
        assert "serves on 127.0.0.1:" in line
        async with connect(f"127.0.0.1:{int(line.rsplit(':', 1)[1])}") as channel:
            yield Process(started, channel, started.stderr)
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def test_sigterm_with_nothing_to_do_ends_with_status_0(process: Process) -> None:
    process.terminate()
    status, log = await process.ended()
    assert status == 0
    assert "draining: 0 in progress" in log
    assert log.rstrip().endswith("stopped")


async def test_sigterm_drains(process: Process) -> None:
    call = asr_pb2_grpc.AsrServiceStub(process.channel).Transcribe()
    await call.write(OPEN)
    await call.read()
    health = health_pb2_grpc.HealthStub(process.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

    process.terminate()
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await call.read()).HasField("going_away")
    # Nothing is sent after `open`, not even the half-close: grpc.aio loses a status that meets it.
    late = asr_pb2_grpc.AsrServiceStub(process.channel).Transcribe()
    await late.write(OPEN)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await late.read()
    assert from_rpc_error(refused.value).reason == error_pb2.ERROR_REASON_DRAINING

    # What runs goes on: its audio is still answered.
    await call.write(asr_pb2.TranscribeRequest(audio=audio_pb2.Audio(data=bytes(640))))
    assert (await call.read()).partial.text == "320"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    watch.cancel()
    status, _ = await process.ended()
    assert status == 0


@pytest.mark.parametrize("process", [0.2], indirect=True)
async def test_a_drain_ends_when_its_time_is_up(process: Process) -> None:
    call = asr_pb2_grpc.AsrServiceStub(process.channel).Transcribe()
    await call.write(OPEN)
    await call.read()
    process.terminate()
    status, log = await process.ended()
    assert status == 0
    assert "1 cut off" in log


def test_help_lists_the_variables(echo: SimpleNamespace) -> None:
    shown = subprocess.run(
        [sys.executable, echo.path, "--help"], capture_output=True, text=True, check=True
    )
    assert "STAGEWIRE_ECHO_PORT=0" in shown.stdout


def test_a_wrong_setting_ends_the_process_with_status_2(echo: SimpleNamespace) -> None:
    ran = subprocess.run(
        [sys.executable, echo.path],
        capture_output=True,
        text=True,
        env={**os.environ, "STAGEWIRE_ECHO_PORT": "no"},
    )
    assert ran.returncode == 2
    assert "STAGEWIRE_ECHO_PORT" in ran.stderr
    assert "Traceback" not in ran.stderr
