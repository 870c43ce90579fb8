"""What every stage answers beside its own service: Describe, and thereby whether it is idle."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from stagewire.common.v1 import describe_pb2, describe_pb2_grpc


async def describe(channel: grpc.aio.Channel) -> describe_pb2.StageDescription:
    """What the stage says about itself now."""
    stub = describe_pb2_grpc.StageServiceStub(channel)
    answer = await stub.Describe(describe_pb2.DescribeRequest(), timeout=5)
    return answer.description


async def idle(channel: grpc.aio.Channel, seconds: float = 10.0) -> None:
    """Waits until the stage has nothing in progress, by its own account."""
    try:
        async with asyncio.timeout(seconds):
            while (await describe(channel)).active:
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"calls that ended still count as active after {seconds:g} s")
