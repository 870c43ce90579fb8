"""An OTLP sink over gRPC for tests: not a collector, it only keeps what services export.

It takes traces and metrics, keeps their bytes and reads them; it can also hang, as a collector may.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Span:
    """A span as it arrived."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: float
    end: float
    failed: bool
    attributes: dict[str, Any]
    links: tuple[str, ...] = ()


@dataclass
class Sink:
    """What came.

    Attributes:
        endpoint: Where services export to, for OTEL_EXPORTER_OTLP_ENDPOINT.
        raw: Every export's bytes.
        hangs: While it is set, an export is taken and never answered.
    """

    endpoint: str = ""
    raw: list[bytes] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    taken: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """The endpoint as Envoy takes it: host:port."""
        return self.endpoint.removeprefix("http://")

    def spans(self) -> list[Span]:
        """All of them, in the order of their starts."""
        return sorted(self._spans(), key=lambda span: span.start)

    def of(self, trace_id: str) -> Trace:
        """One trace."""
        return Trace([span for span in self.spans() if span.trace_id == trace_id])

    def metrics(self) -> list[Any]:
        """Every exported metric (opentelemetry.proto.metrics.v1.Metric)."""
        return [
            metric
            for raw in self.raw
            if raw.startswith(b"M")
            for resource in ExportMetricsServiceRequest.FromString(raw[1:]).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def wait(self, condition: Callable[[], bool], seconds: float = 15.0) -> None:
        """Waits until something that was exported makes ``condition`` true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, [f"{s.service}: {s.name}" for s in self.spans()]
            time.sleep(0.05)

    def _spans(self) -> Iterator[Span]:
        for raw in self.raw:
            if not raw.startswith(b"T"):
                continue
            for resource in ExportTraceServiceRequest.FromString(raw[1:]).resource_spans:
                about = {pair.key: value_of(pair.value) for pair in resource.resource.attributes}
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield _span(str(about.get("service.name")), span)


class Trace:
    """The spans of one trace, as a tree."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = spans
        self._by_id = {span.span_id: span for span in spans}

    def roots(self) -> list[Span]:
        """Those without a parent."""
        return [span for span in self.spans if not span.parent_id]

    def orphans(self) -> list[Span]:
        """Those whose parent was not exported."""
        return [span for span in self.spans if span.parent_id and not self.parent(span)]

    def parent(self, span: Span) -> Span | None:
        """Of a span."""
        return self._by_id.get(span.parent_id)

    def children(self, span: Span, name: str = "") -> list[Span]:
        """Of a span; those with this name."""
        return [
            s for s in self.spans if s.parent_id == span.span_id and (not name or s.name == name)
        ]

    def named(self, name: str, service: str = "") -> list[Span]:
        """All with a name, of a service."""
        return [s for s in self.spans if s.name == name and (not service or s.service == service)]

    def turn(self, number: int) -> Span:
        """The orchestrator's span of a turn."""
        (turn,) = [s for s in self.named("turn") if s.attributes["stagewire.turn.number"] == number]
        return turn

    def edges(self) -> set[tuple[str, str]]:
        """Which service's span has a child in which other service."""
        pairs = ((self.parent(span), span) for span in self.spans)
        return {
            (above.service, span.service)
            for above, span in pairs
            if above is not None and above.service != span.service
        }

    def drawn(self) -> str:
        """As text, for people."""
        lines: list[str] = []

        def draw(span: Span, depth: int) -> None:
            took = 1000 * (span.end - span.start)
            failed = f" FAILED {span.attributes.get('error.type')}" if span.failed else ""
            lines.append(
                f"{'  ' * depth}{span.service}: {span.name} ({span.kind}) {took:.1f} ms{failed}"
            )
            for child in self.children(span):
                draw(child, depth + 1)

        for top in [*self.roots(), *self.orphans()]:
            draw(top, 0)
        return "\n".join(lines)


@contextmanager
def sink() -> Iterator[Sink]:
    """A sink on a free port of loopback."""
    found = Sink()
    server = grpc.server(ThreadPoolExecutor(8))
    over = threading.Event()

    def export(mark: bytes, answer: bytes) -> Any:
        def take(request: bytes, context: Any) -> bytes:
            found.raw.append(mark + request)
            found.taken.set()
            while found.hangs.is_set() and not over.is_set() and context.is_active():
                time.sleep(0.02)
            return answer

        return {"Export": grpc.unary_unary_rpc_method_handler(take)}

    for name, mark, answer in (
        ("trace.v1.TraceService", b"T", ExportTraceServiceResponse().SerializeToString()),
        ("metrics.v1.MetricsService", b"M", ExportMetricsServiceResponse().SerializeToString()),
    ):
        service = f"opentelemetry.proto.collector.{name}"
        handler = grpc.method_handlers_generic_handler(service, export(mark, answer))
        server.add_generic_rpc_handlers((handler,))
    found.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield found
    finally:
        over.set()
        server.stop(0.5).wait()


def value_of(value: AnyValue) -> Any:
    """An attribute's value in Python."""
    match value.WhichOneof("value"):
        case "array_value":
            return [value_of(each) for each in value.array_value.values]
        case None:
            return None
        case kind:
            return getattr(value, kind)


def _span(service: str, span: Any) -> Span:
    return Span(
        service=service,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes={pair.key: value_of(pair.value) for pair in span.attributes},
        links=tuple(link.trace_id.hex() for link in span.links),
    )
