"""OpenTelemetry for one process, from the standard ``OTEL_*`` variables alone.

Nothing here may ever hold up a conversation: spans wait in a bounded queue (OTEL_BSP_*), another
thread sends them, a send has a short deadline, and what does not fit is dropped. At the end of the
process what is left is sent within ``CLOSE_SECONDS``, or not at all.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

from opentelemetry import metrics as otel_metrics
from opentelemetry import trace as otel
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from stagekit.prometheus import PrometheusReader
from stagekit.settings import StageSettings

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
_EXPORT_SECONDS = 3.0
"""The deadline of one export where OTEL_EXPORTER_OTLP_TIMEOUT does not say another."""


class Telemetry:
    """What ``start`` set up."""

    def __init__(self) -> None:
        """Nothing is set up yet."""
        self._closing: list[Callable[[], object]] = []

    def traces(self, resource: Resource) -> None:
        """Sends spans where the environment says."""
        exporters = _exporters("traces")
        if not exporters:
            return
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        for exporter in exporters:
            provider.add_span_processor(BatchSpanProcessor(exporter))
        otel.set_tracer_provider(provider)
        self._closing.append(provider.shutdown)

    def metrics(self, resource: Resource, settings: StageSettings) -> None:
        """Sends metrics where the environment says, and serves them to Prometheus."""
        readers: list[MetricReader] = [
            PeriodicExportingMetricReader(exporter) for exporter in _exporters("metrics")
        ]
        if settings.metrics_port:
            where = (settings.metrics_host, settings.metrics_port)
            try:
                readers.append(PrometheusReader(*where))
            except OSError as error:
                variable = f"{settings.model_config.get('env_prefix', '')}METRICS_PORT"
                raise SystemExit(
                    f"{variable}={where[1]}: cannot listen on {where[0]}: {error.strerror}"
                ) from error
        if readers:
            provider = MeterProvider(readers, resource, shutdown_on_exit=False)
            otel_metrics.set_meter_provider(provider)
            self._closing.append(provider.shutdown)

    def close(self) -> None:
        """Sends what is left, for a bounded time; call when nothing else runs any more."""
        # Daemons, which the end of the process does not wait for: a collector may hang.
        threads = [threading.Thread(target=close, daemon=True) for close in self._closing]
        end = time.monotonic() + CLOSE_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            logger.warning("not all telemetry is sent after %g s: it is dropped", CLOSE_SECONDS)


def start(package: str, settings: StageSettings) -> Telemetry:
    """Sets up what the environment asks for; call once in a process, before anything is traced.

    Args:
        package: The service's, such as ``stagewire_asr``; OTEL_SERVICE_NAME renames it.
        settings: Say where Prometheus may fetch.

    Raises:
        SystemExit: A variable asks for something that is not there.
    """
    telemetry = Telemetry()
    if not _is_true("OTEL_SDK_DISABLED"):
        resource = _resource(package)
        telemetry.traces(resource)
        telemetry.metrics(resource, settings)
    return telemetry


def _resource(package: str) -> Resource:
    """Who speaks. The environment's words come before ours."""
    ours = Resource(
        {
            "service.name": package.removeprefix("stagewire_"),
            "service.namespace": "stagewire",
            "service.version": _version(package),
            "service.instance.id": str(uuid.uuid4()),
        }
    )
    return Resource.create(dict(ours.merge(OTELResourceDetector().detect()).attributes))


def _version(package: str) -> str:
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:  # run from its files
        return "0"


def _exporters(signal: str) -> list[Any]:
    """The exporters of one signal.

    They are those that OTEL_<SIGNAL>_EXPORTER names; where it names none, OTLP if an endpoint is
    set. Without either there are none: the specification's default, OTLP to this machine, would
    have every service without a collector complain.
    """
    names = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if not names:
        endpoint = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        names = "otlp" if endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "none"
    return [
        _exporter(signal, name.strip())
        for name in names.split(",")
        if name.strip().lower() not in ("", "none")
    ]


def _exporter(signal: str, name: str) -> Any:
    known = f"OTEL_{signal.upper()}_EXPORTER"
    if name == "otlp":
        known = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
        protocol = os.environ.get(known) or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
        name = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}.get(
            protocol.strip(), protocol
        )
    found: EntryPoint | None = next(
        iter(entry_points(group=f"opentelemetry_{signal}_exporter", name=name)), None
    )
    if found is None:
        raise SystemExit(
            f"{known}: there is no exporter {name!r} here; there are otlp (grpc, http/protobuf), "
            "console and none"
        )
    make = found.load()
    if not name.startswith("otlp_"):
        return make()
    seconds = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT") or os.environ.get(
        "OTEL_EXPORTER_OTLP_TIMEOUT"
    )
    return make() if seconds else make(timeout=_EXPORT_SECONDS)


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() == "true"
