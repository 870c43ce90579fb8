"""Every service says what it is, whether it is healthy, and which services it has."""

from __future__ import annotations

import re
from collections.abc import Callable

import grpc
import pytest
from contract.probes import describe
from contract.stage import Stage
from contract.wire import Call
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from stagewire.common.v1 import audio_pb2

STAGE_SERVICE = "stagewire.common.v1.StageService"


async def test_describe(channel: grpc.aio.Channel, stage: Stage) -> None:
    about = await describe(channel)
    assert about.stage == stage.name
    assert re.match(r"\d+\.\d+\.\d+", about.version), "a semantic version"
    assert stage.package in about.contracts
    assert about.backend
    assert about.limits["sessions"] >= 1
    assert about.active == 0
    for audio_format in about.formats:
        assert audio_format.encoding == audio_pb2.AUDIO_ENCODING_PCM_S16LE
        assert 8_000 <= audio_format.sample_rate_hertz <= 48_000


async def test_ready_announces_nothing_that_describe_does_not(
    channel: grpc.aio.Channel, stage: Stage, begin: Callable[..., Call]
) -> None:
    call = begin()
    await call.send(stage.open())
    ready = (await call.receive()).ready
    assert set(ready.features) <= set((await describe(channel)).features)


async def test_health(channel: grpc.aio.Channel, stage: Stage) -> None:
    check = health_pb2_grpc.HealthStub(channel).Check
    for service in ("", stage.service, STAGE_SERVICE):
        answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=5)
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection(channel: grpc.aio.Channel, stage: Stage) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(timeout=5)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    listed = {service.name for service in answer.list_services_response.service}
    assert {stage.service, STAGE_SERVICE} <= listed
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=stage.service))
    assert (await call.read()).file_descriptor_response.file_descriptor_proto
    call.cancel()
