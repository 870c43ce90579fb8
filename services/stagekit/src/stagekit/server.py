"""Serving a stage: gRPC with health, reflection and Describe; SIGTERM drains."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic_settings import BaseSettings
from stagewire.common.v1 import describe_pb2, describe_pb2_grpc, error_pb2

from stagekit import log, telemetry
from stagekit.admission import Admission
from stagekit.channel import MAX_MESSAGE_BYTES
from stagekit.errors import StageError, abort
from stagekit.metrics import ServerMetrics
from stagekit.settings import StageSettings, describe, load
from stagekit.signals import stop_event

logger = logging.getLogger(__name__)

# A client may ping as often as stagekit.channel does, also on a quiet connection.
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
)


@dataclass
class Stage:
    """One service, ready to be served.

    Attributes:
        services: Full names of the gRPC services it implements, for health and reflection.
        register: Adds the servicers to a server.
        description: What Describe answers; ``active`` is filled in from ``admission``.
        admission: Counts the work in progress; a drain waits for it.
        drain: Set when the drain begins: session-long streams then send ``going_away``.
        run: What the stage does beside serving; cancelled after the drain. It may return early.
        close: Releases what the stage holds (models, vendor connections), after the drain.
    """

    services: Sequence[str]
    register: Callable[[grpc.aio.Server], None]
    description: describe_pb2.StageDescription
    admission: Admission
    drain: asyncio.Event = field(default_factory=asyncio.Event)
    run: Callable[[], Coroutine[Any, Any, None]] | None = None
    close: Callable[[], Awaitable[None]] | None = None


class _Describe(describe_pb2_grpc.StageServiceServicer):
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def Describe(
        self,
        request: describe_pb2.DescribeRequest,
        context: Any,
    ) -> describe_pb2.DescribeResponse:
        description = describe_pb2.StageDescription()
        description.CopyFrom(self._stage.description)
        description.active = self._stage.admission.active
        return describe_pb2.DescribeResponse(description=description)


class _Errors(grpc.aio.ServerInterceptor):
    """Turns a StageError into its rich status, and anything else into INTERNAL without its text."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.response_streaming:
            inner_stream = handler.stream_stream or handler.unary_stream
            if not inspect.isasyncgenfunction(inner_stream):
                return handler  # writes to its context instead, as grpc's own health Watch does

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                try:
                    async for response in inner_stream(request, context):
                        yield response
                except Exception as error:
                    await self._refuse(context, error)

            wrap = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return wrap(stream, handler.request_deserializer, handler.response_serializer)
        inner = handler.unary_unary
        if inner is None or not inspect.iscoroutinefunction(inner):
            return handler

        async def unary(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await self._refuse(context, error)

        return grpc.unary_unary_rpc_method_handler(
            unary, handler.request_deserializer, handler.response_serializer
        )

    async def _refuse(self, context: Any, error: Exception) -> None:
        told = _as_stage_error(error)
        self._metrics.refused(told.reason_name)
        await abort(context, told)


def _as_stage_error(error: Exception) -> StageError:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, StageError):
        logger.info("refused: %s: %s", error.reason_name, error.message)
        return error
    logger.exception("unexpected error")
    return StageError(
        error_pb2.ERROR_REASON_BACKEND_FAILED,
        f"unexpected {type(error).__name__}; the service's log has it",
    )


@asynccontextmanager
async def serving(
    stage: Stage, host: str = "127.0.0.1", port: int = 0, drain_seconds: float = 0.0
) -> AsyncIterator[int]:
    """Serves ``stage`` while the block runs, then drains; yields the port. For ``run`` and tests.

    A drain turns health to NOT_SERVING, refuses what is new, tells session-long streams to leave,
    and lets running work go on for ``drain_seconds``.

    Raises:
        SystemExit: When nothing can listen on the port.
    """
    errors = _Errors(ServerMetrics(stage.admission))
    server = grpc.aio.server(interceptors=[errors], options=_OPTIONS)
    stage.register(server)
    describe_pb2_grpc.add_StageServiceServicer_to_server(_Describe(stage), server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = [*stage.services, describe_pb2.DESCRIPTOR.services_by_name["StageService"].full_name]
    reflection.enable_server_reflection(
        [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise SystemExit(f"cannot listen on {host}:{port}: is it in use?") from error
    await server.start()
    # A bare task, because a TaskGroup would wrap what the block raises; ends below.
    background = asyncio.create_task(stage.run()) if stage.run is not None else None
    for name in ["", *names]:
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield bound
    finally:
        logger.info("draining: %d in progress", stage.admission.active)
        await checks.enter_graceful_shutdown()
        stage.admission.draining = True
        stage.drain.set()
        try:
            async with asyncio.timeout(drain_seconds):
                await stage.admission.idle()
        except TimeoutError:
            logger.warning("drain time is up: %d cut off", stage.admission.active)
        await server.stop(grace=0.2)
        if background is not None:
            background.cancel()
            await asyncio.wait([background])
        if stage.close is not None:
            await stage.close()


def run(
    package: str,
    purpose: str,
    settings_type: type[StageSettings],
    build: Callable[[Any], Awaitable[Stage]],
    also: Sequence[type[BaseSettings]] = (),
) -> None:
    """A service's whole ``__main__``: parse, load settings, build, serve, drain.

    Args:
        package: What is run, such as ``stagewire_asr``.
        purpose: One sentence for ``--help``.
        settings_type: The service's settings.
        build: Makes the stage from them; may take long (models load).
        also: Settings of backends, for ``--help``; a backend loads its own.
    """
    argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=purpose,
        epilog="environment variables:\n" + "\n".join(map(describe, [settings_type, *also])),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = load(settings_type)
    log.configure(settings.log_level, settings.log_format)
    told = telemetry.start(package, settings)
    try:
        asyncio.run(_run(package, settings, build))
    finally:
        told.close()
    logger.info("stopped")


async def _run(
    package: str, settings: StageSettings, build: Callable[[Any], Awaitable[Stage]]
) -> None:
    stop = stop_event()
    stage = await build(settings)
    async with serving(stage, settings.host, settings.port, settings.drain_seconds) as port:
        logger.info("%s serves on %s:%d", package, settings.host, port)
        await stop.wait()
