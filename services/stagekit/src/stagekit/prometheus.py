"""``/metrics`` for Prometheus: OpenTelemetry's numbers as prometheus_client's, with exemplars.

OpenTelemetry's own exporter for Prometheus leaves the exemplars out; they are why a slow bucket
leads to a trace. Served by a thread of prometheus_client, in plain text or, to whoever asks for it
(Prometheus does), in OpenMetrics, which alone has room for exemplars.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

_UNITS = {"s": "seconds"}
Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class PrometheusReader(MetricReader):
    """Serves what a MeterProvider measures, whenever it is asked.

    Args:
        host: Where to listen.
        port: Where to listen.

    Raises:
        OSError: Nothing can listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        """Listens."""
        super().__init__()
        self._latest: MetricsData | None = None
        registry = CollectorRegistry()
        registry.register(_Families(self))
        self._server, _ = start_http_server(port, host, registry)

    def fetch(self) -> list[Metric]:
        """What there is now."""
        self.collect()
        resources = self._latest.resource_metrics if self._latest is not None else []
        return [
            metric
            for resource in resources
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._server.server_close()

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any
    ) -> None:
        self._latest = metrics_data


class _Families(Collector):
    """What prometheus_client asks when somebody fetches."""

    def __init__(self, reader: PrometheusReader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Family]:
        for metric in self._reader.fetch():
            yield _family(metric)

    def describe(self) -> list[Family]:
        return []  # prometheus_client would collect to find the names, before there is a provider


def _family(metric: Metric) -> Family:
    name, unit = _name(metric.name), _UNITS.get(metric.unit or "", "")
    about = (name, metric.description or "")
    points: Sequence[Any] = metric.data.data_points
    keys = sorted({str(key) for point in points for key in point.attributes or {}})
    labels = [_name(key) for key in keys]
    if isinstance(metric.data, Histogram):
        histogram = HistogramMetricFamily(*about, labels=labels, unit=unit)
        for point in points:
            histogram.add_metric(_values(point, keys), _buckets(point), point.sum)
        return histogram
    counts = isinstance(metric.data, Sum) and metric.data.is_monotonic
    kind = CounterMetricFamily if counts else GaugeMetricFamily
    family = kind(*about, labels=labels, unit=unit)
    for point in points:
        family.add_metric(_values(point, keys), point.value)
    return family


def _name(name: str) -> str:
    return name.replace(".", "_")


def _values(point: HistogramDataPoint | NumberDataPoint, keys: list[str]) -> list[str]:
    return [str((point.attributes or {}).get(key, "")) for key in keys]


def _buckets(point: HistogramDataPoint) -> list[Bucket]:
    """Cumulative counts, each with the newest exemplar that fell between its edges."""
    edges = [*map(str, point.explicit_bounds), "+Inf"]
    newest: dict[int, Exemplar] = {}
    for exemplar in sorted(point.exemplars, key=lambda exemplar: exemplar.time_unix_nano):
        if exemplar.trace_id is not None:
            labels = {"trace_id": f"{exemplar.trace_id:032x}"}
            place = bisect_left(point.explicit_bounds, exemplar.value)
            at = exemplar.time_unix_nano / 1e9
            newest[place] = Exemplar(labels, float(exemplar.value), at)
    counts = accumulate(point.bucket_counts)
    return [
        (edge, count, newest[place]) if place in newest else (edge, count)
        for place, (edge, count) in enumerate(zip(edges, counts, strict=True))
    ]
