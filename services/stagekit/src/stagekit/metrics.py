"""What services count and measure, by OpenTelemetry: for OTLP, and for Prometheus to fetch.

A stage makes one ``StageMetrics``, the server one ``ServerMetrics``. Labels are few and known: no
session, no turn, nothing that anybody said. Histograms carry exemplars: a slow bucket names a
trace that fell into it.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import metrics as otel
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from stagewire.common.v1.timing_pb2 import StageTiming

from stagekit import attributes as a
from stagekit.admission import Admission
from stagekit.attributes import Attribute
from stagekit.tracing import Span, Value

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Edges of the buckets: dense where a conversation is won or lost."""


def meter() -> Meter:
    """Of this process."""
    return otel.get_meter("stagewire")


def seconds(name: str, meaning: str) -> Histogram:
    """A histogram of durations; make each name once in a process."""
    return meter().create_histogram(
        name, "s", meaning, explicit_bucket_boundaries_advisory=list(SECONDS)
    )


class StageMetrics:
    """How long work waits for a stage, and for the stage's first output."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._queue_wait = seconds(
            "stagewire.queue_wait", "From a turn's trigger to the start of the stage's work."
        )
        self._first_output = seconds(
            "stagewire.time_to_first_output", "From the start of a stage's work to its output."
        )

    def worked(self, span: Span, timing: StageTiming) -> None:
        """Puts what a stage measured of one turn on its span, and into the histograms."""
        told: dict[Attribute, Value] = {}
        if timing.HasField("queue_wait"):
            told[a.QUEUE_WAIT] = waited = timing.queue_wait.ToNanoseconds() / 1e9
            self._queue_wait.record(waited, context=span.otel)
        if timing.HasField("compute_to_first_output"):
            took = timing.compute_to_first_output.ToNanoseconds() / 1e9
            told[a.FIRST_OUTPUT] = took
            self._first_output.record(took, context=span.otel)
        span.set(told)


class ServerMetrics:
    """What a server takes and what it refuses.

    Args:
        admission: Counts the work in progress.
    """

    def __init__(self, admission: Admission) -> None:
        """Nothing was refused."""

        def active(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(admission.active)]

        def limit(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(admission.limit)]

        meter().create_observable_gauge(
            "stagewire.active", [active], description="Sessions, or turns, in progress."
        )
        meter().create_observable_gauge(
            "stagewire.limit", [limit], description="How many are taken at the same time."
        )
        self._refusals = meter().create_counter(
            "stagewire.refusals", description="Calls that ended with an error, by its reason."
        )

    def refused(self, reason: str) -> None:
        """A call ended with an error."""
        self._refusals.add(1, {a.ERROR_TYPE: reason})
