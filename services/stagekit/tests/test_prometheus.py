import socket
import urllib.request
from urllib.error import URLError

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from stagekit.prometheus import PrometheusReader


def fetch(port: int) -> dict[str, list[object]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Accept": "application/openmetrics-text"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_bucket_names_a_trace_that_fell_into_it(port: int) -> None:
    provider = MeterProvider([PrometheusReader("127.0.0.1", port)], shutdown_on_exit=False)
    meter = provider.get_meter("test")
    took = meter.create_histogram(
        "stagewire.wait", "s", "How long.", explicit_bucket_boundaries_advisory=[0.1, 1.0]
    )
    meter.create_counter("stagewire.ends", description="Ends.").add(2, {"why.not": "over"})
    meter.create_observable_gauge("stagewire.active", [lambda _: []])
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    span = tracer.start_span("work")
    took.record(0.5, {"part": "llm"}, context=otel.set_span_in_context(span))
    took.record(0.05, {"part": "llm"})
    try:
        found = fetch(port)
    finally:
        provider.shutdown()
    buckets = {
        sample.labels["le"]: sample
        for sample in found["stagewire_wait_seconds"]
        if sample.name.endswith("_bucket")
    }
    assert [buckets[edge].value for edge in ("0.1", "1.0", "+Inf")] == [1, 2, 2]
    exemplar = buckets["1.0"].exemplar
    trace_id = otel.format_trace_id(span.get_span_context().trace_id)
    assert exemplar.labels == {"trace_id": trace_id}
    assert exemplar.value == 0.5
    assert buckets["0.1"].exemplar is None, "no trace, no exemplar"
    (ends,) = found["stagewire_ends"]
    assert (ends.labels, ends.value) == ({"why_not": "over"}, 2)


def test_after_its_end_nothing_listens(port: int) -> None:
    PrometheusReader("127.0.0.1", port).shutdown()
    with pytest.raises(URLError, match="refused"):
        fetch(port)
    PrometheusReader("127.0.0.1", port).shutdown()
