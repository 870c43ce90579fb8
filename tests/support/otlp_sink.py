"""A collector that keeps the spans it gets, OTLP over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.processes import free_port


@dataclass
class OtlpSink(trace_service_pb2_grpc.TraceServiceServicer):
    """Attributes:
    address: Where it listens, host:port.
    spans: (service name, span), in the order of their arrival.
    """

    address: str
    spans: list[tuple[str, Span]] = field(default_factory=list)

    async def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> Any:
        for resource in request.resource_spans:
            names = attributes(resource.resource)
            for scope in resource.scope_spans:
                self.spans += [(names.get("service.name", ""), span) for span in scope.spans]
        return pb.ExportTraceServiceResponse()

    def find(self, wanted: Callable[[Span], bool]) -> list[Span]:
        """Spans that fulfil a condition."""
        return [span for _, span in self.spans if wanted(span)]


def attributes(described: Any) -> dict[str, str]:
    """The attributes of a span or a resource that are strings."""
    return {pair.key: pair.value.string_value for pair in described.attributes}


@asynccontextmanager
async def otlp_sink() -> AsyncIterator[OtlpSink]:
    """Listens while the block runs."""
    sink = OtlpSink(f"127.0.0.1:{free_port()}")
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(sink, server)
    server.add_insecure_port(sink.address)
    await server.start()
    try:
        yield sink
    finally:
        await server.stop(0)
