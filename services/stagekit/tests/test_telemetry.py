"""What the OTEL_* variables do; in processes of their own, because OpenTelemetry is a process'."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROGRAM = """
from stagekit import telemetry, tracing
from stagekit.settings import StageSettings
started = telemetry.start("stagewire_tts", StageSettings())
with tracing.root("session", "s-1") as session, session.child("work"):
    print(session.context.traceparent, flush=True)
started.close()
"""


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    """The program above, with these variables."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def posted() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that takes every POST: its address, and what was posted."""
    taken: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            taken.append((self.path, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *about: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    server.server_close()
    thread.join()


def test_spans_go_out_over_http_too(posted: tuple[str, list[tuple[str, bytes]]]) -> None:
    address, taken = posted
    done = run(
        OTEL_EXPORTER_OTLP_ENDPOINT=address,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRICS_EXPORTER="none",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.namespace=theirs",
    )
    assert done.returncode == 0, done.stderr
    ((path, body),) = taken
    assert path == "/v1/traces"
    (exported,) = ExportTraceServiceRequest.FromString(body).resource_spans
    about = {pair.key: pair.value.string_value for pair in exported.resource.attributes}
    assert about["service.name"] == "tts"
    assert about["service.namespace"] == "theirs", "the environment's words come first"
    assert about["deployment.environment.name"] == "test"
    names = {span.name for scope in exported.scope_spans for span in scope.spans}
    assert names == {"session", "work"}
    assert done.stdout.strip()[-1] in "13", "sampled"


def test_with_nothing_set_the_id_travels_and_says_that_nobody_records() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("-00")


@pytest.mark.parametrize(
    "sampler", [{"OTEL_TRACES_SAMPLER": "always_off"}, {"OTEL_SDK_DISABLED": "true"}]
)
def test_what_is_not_sampled_is_not_sent(
    posted: tuple[str, list[tuple[str, bytes]]], sampler: dict[str, str]
) -> None:
    address, taken = posted
    protocol = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_METRICS_EXPORTER": "none"}
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=address, **protocol, **sampler)
    assert done.returncode == 0, done.stderr
    assert not taken
    assert len(done.stdout.strip()) == 55


def test_an_exporter_that_is_not_there_is_named() -> None:
    done = run(OTEL_TRACES_EXPORTER="zipkin")
    assert done.returncode == 1
    assert "OTEL_TRACES_EXPORTER: there is no exporter 'zipkin' here" in done.stderr
    done = run(OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: there is no exporter 'http/json'" in done.stderr


def test_the_end_does_not_wait_for_a_collector_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        done = run(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="50",
        )
    assert done.returncode == 0, done.stderr
    assert "not all telemetry is sent after 2 s" in done.stderr
    assert time.monotonic() - began < 30
