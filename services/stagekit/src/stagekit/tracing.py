"""Spans, by OpenTelemetry: where they go, how they nest across processes, how they end.

Set up by the standard ``OTEL_*`` variables alone. Where none asks for traces there is no SDK: spans
record nothing and cost next to nothing, yet the session's trace id still travels, so that logs and
answers have it.

A parent is always named, never found: one process serves many sessions, whose work crosses tasks
and threads. The one exception is ``current``, for what a backend does inside a stage's work.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from stagewire.common.v1.trace_pb2 import TraceContext

from stagekit import attributes as a
from stagekit import log
from stagekit.attributes import Attribute
from stagekit.errors import StageError, from_rpc_error

CONTENT_VARIABLE = "STAGEWIRE_TRACE_CONTENT"
INTERNAL, SERVER, CLIENT = SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[Attribute, Value]
Metadata = tuple[tuple[str, str], ...]

_SCOPE = "stagewire"
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_W3C = TraceContextTextMapPropagator()


class Span:
    """Work of one process for one session. Ends once: as a ``with`` block, or by ``end``.

    As a block it ends on every path, marked by what ended it: an error by its type alone (messages
    may quote a vendor), a cancellation as ``stagewire.outcome`` cancelled.
    """

    def __init__(self, span: otel.Span, session_id: str) -> None:
        """Wraps a started span; use ``root``, ``continued`` or ``child``."""
        self._span = span
        self.session_id = session_id
        self._ended = False
        if span.is_recording():
            span.set_attribute(a.SESSION_ID, session_id)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return otel.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def context(self) -> TraceContext:
        """Goes in band to whoever works for this span."""
        return TraceContext(**dict(self.w3c))

    @property
    def w3c(self) -> Metadata:
        """Its context as headers; none where there is none."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, self.otel)
        return tuple(carrier.items())

    @property
    def metadata(self) -> Metadata:
        """Goes with an RPC that is made for this span."""
        return (*self.w3c, ("x-session-id", self.session_id))

    @property
    def otel(self) -> Context:
        """The OpenTelemetry context with this span in it."""
        return otel.set_span_in_context(self._span, Context())

    def child(
        self,
        name: str,
        attributes: Attributes | None = None,
        kind: SpanKind = INTERNAL,
        *,
        under: TraceContext | None = None,
        ago: float = 0.0,
    ) -> Span:
        """Starts work that is part of this.

        Args:
            name: Few names: nothing that varies from call to call.
            attributes: What is known at the start.
            kind: CLIENT for a call, SERVER for the work that answers one.
            under: A parent that came in band; counts where it is valid.
            ago: How many seconds ago it started.
        """
        inband = _extract(under.traceparent, under.tracestate) if under is not None else None
        return _start(name, self.session_id, inband or self.otel, attributes, kind, ago)

    def set(self, attributes: Attributes) -> None:
        """Says more of it."""
        if self._span.is_recording():
            self._span.set_attributes(_plain(attributes))

    def content(self, key: Attribute, said: str | Iterable[Mapping[str, object]]) -> None:
        """Says what people said, where the deployment wants that: text, or messages as JSON."""
        if self._span.is_recording() and wants_content():
            text = said if isinstance(said, str) else json.dumps(list(said), ensure_ascii=False)
            self._span.set_attribute(key, text)

    def enter(self) -> None:
        """Makes it ``current`` for the rest of this task, and for those that the task starts."""
        otel_context.attach(self.otel)

    def end(self, error: str = "", ago: float = 0.0) -> None:
        """Ends it, ``ago`` seconds ago; later calls count for nothing.

        Args:
            error: A reason; marks it as failed.
            ago: How many seconds ago it ended.
        """
        if self._ended:
            return
        self._ended = True
        if error:
            self.set({a.ERROR_TYPE: error})
            self._span.set_status(StatusCode.ERROR)
        self._span.end(_nanoseconds(ago))

    def end_with(self, error: BaseException | None) -> None:
        """Ends it, marked by what ended it."""
        if error is None:
            self.end()
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.set({a.OUTCOME: "cancelled"})
            self.end()
        else:
            if isinstance(error, grpc.aio.AioRpcError):
                error = from_rpc_error(error)
            if isinstance(error, StageError):
                self.set({a.RPC_STATUS: error.code.name})
            self.end(error_type(error))

    def __enter__(self) -> Span:
        """For a block; the span is not ``current`` in it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends it."""
        self.end_with(error)


def root(
    name: str, session_id: str, attributes: Attributes | None = None, caused_by: str = ""
) -> Span:
    """Begins a session's trace, with an id of its own.

    Args:
        name: The span's name.
        session_id: The session.
        attributes: What is known at the start.
        caused_by: A traceparent of the caller, who is not trusted: a valid one becomes a link. It
            decides neither the trace id nor whether anything is recorded.
    """
    cause = otel.get_current_span(_extract(caused_by, "")).get_span_context()
    span = otel.get_tracer(_SCOPE).start_span(
        name,
        Context(),
        attributes=_plain(attributes or {}),
        links=[otel.Link(cause)] if cause.is_valid else None,
    )
    if not span.get_span_context().is_valid:  # no SDK: an id must be there all the same
        span = otel.NonRecordingSpan(
            otel.SpanContext(
                int(secrets.token_hex(16), 16), int(secrets.token_hex(8), 16), is_remote=False
            )
        )
    return Span(span, session_id)


def continued(
    name: str,
    session_id: str,
    trace: TraceContext,
    attributes: Attributes | None = None,
    metadata: Iterable[tuple[str, str | bytes]] | None = None,
) -> Span:
    """Begins a stage's work for a caller in another process.

    It becomes ``current`` in this task, and the session and trace those of its log lines.

    Args:
        name: The span's name.
        session_id: The session.
        trace: The caller's context in band.
        attributes: What is known at the start.
        metadata: Of the RPC; its context comes first, because a proxy on the way puts its own span
            there.
    """
    span = _start(name, session_id, enter_log(session_id, trace, metadata), attributes, SERVER)
    otel_context.attach(span.otel)
    return span


def enter_log(
    session_id: str,
    trace: TraceContext,
    metadata: Iterable[tuple[str, str | bytes]] | None = None,
) -> Context:
    """Sets what this task's log lines name; returns the caller's context. See ``continued``."""
    sent = {key: value for key, value in metadata or () if isinstance(value, str)}
    traceparent, tracestate = sent.get("traceparent", ""), sent.get("tracestate", "")
    if not trace_id_of(traceparent):
        traceparent, tracestate = trace.traceparent, trace.tracestate
    log.session_id.set(session_id)
    log.trace_id.set(trace_id_of(traceparent))
    return _extract(traceparent, tracestate)


def current() -> Span:
    """The span whose ``enter`` this task inherits; one that records nothing where there is none."""
    return Span(otel.get_current_span(), log.session_id.get())


def _start(
    name: str,
    session_id: str,
    parent: Context,
    attributes: Attributes | None,
    kind: SpanKind,
    ago: float = 0.0,
) -> Span:
    span = otel.get_tracer(_SCOPE).start_span(
        name,
        parent,
        kind,
        _plain(attributes or {}),
        start_time=_nanoseconds(ago),
        record_exception=False,
        set_status_on_exception=False,
    )
    return Span(span, session_id)


def trace_id_of(traceparent: str) -> str:
    """The 32 hexadecimal digits of the trace id; empty when ``traceparent`` is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match.group(1) if match else ""


def _extract(traceparent: str, tracestate: str) -> Context:
    """The remote parent that these name; an empty context when it is not valid."""
    if not trace_id_of(traceparent):
        return Context()
    return _W3C.extract({"traceparent": traceparent, "tracestate": tracestate}, Context())


def error_type(error: BaseException) -> str:
    """What ``error.type`` says: the documented reason, or the kind of an unexpected error."""
    return error.reason_name if isinstance(error, StageError) else type(error).__name__


def target(address: str) -> dict[Attribute, Value]:
    """``server.*`` of a gRPC target, such as ``127.0.0.1:50051`` or ``dns:///tts:50053``."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    return {a.SERVER_ADDRESS: host, a.SERVER_PORT: int(port)} if port.isdecimal() else {}


def wants_content() -> bool:
    """Whether spans may say what people said."""
    return os.environ.get(CONTENT_VARIABLE, "").strip().lower() == "true"


def _plain(attributes: Attributes) -> dict[str, AttributeValue]:
    return {str(key): value for key, value in attributes.items()}


def _nanoseconds(ago: float) -> int:
    """A moment on the wall clock, ``ago`` seconds before now."""
    return time.time_ns() - round(ago * 1e9)
