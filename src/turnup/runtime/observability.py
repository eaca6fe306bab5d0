"""Logs, metrics and traces, set up once per process. Nothing here is needed for Turnup to do its work.

Logs are structlog, with whatever `telemetry.bind` put into the context (order, service) and the ids of the
current trace. Metrics are Prometheus. Traces are OpenTelemetry's: one trace is one order, from the API call
to the device command, across processes.
"""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, Literal

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
)
from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from turnup.kernel.clock import Clock
from turnup.runtime import durable

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(
    log_format: Literal["console", "json"], level: str, *, process: str, stream: Any = None
) -> None:
    """Everything, our own and the libraries', as one kind of line on stderr (or `stream`)."""
    target = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=hasattr(target, "isatty") and target.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints locals: personal data
        )
    )
    finish = [structlog.processors.format_exc_info] if log_format == "json" else []
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    for chatty in ("uvicorn.access", "asyncssh", "httpx", "dbos"):
        logging.getLogger(chatty).setLevel(max(_LEVELS[level], logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(process=process)


def _add_trace(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"] = trace.format_trace_id(context.trace_id)
        entry["span_id"] = trace.format_span_id(context.span_id)
    return entry


def configure_tracing(
    *,
    process: str,
    otlp_endpoint: str | None = None,
    file: Path | None = None,
    exporters: Iterable[SpanExporter] = (),
) -> TracerProvider | None:
    """Send spans to an OTLP collector, to a file (one JSON object per line), to these exporters; once per
    process. With none of them spans cost next to nothing and None is returned."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": "turnup", "service.instance.id": process})
    )
    processors: list[Any] = [SimpleSpanProcessor(exporter) for exporter in exporters]
    if otlp_endpoint:
        url = otlp_endpoint.rstrip("/")
        url = url if url.endswith("/v1/traces") else f"{url}/v1/traces"
        processors.append(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    if file is not None:
        processors.append(BatchSpanProcessor(file_exporter(file), schedule_delay_millis=200))
    if not processors:
        return None
    for processor in processors:
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider


def file_exporter(file: Path) -> SpanExporter:
    def line(span: ReadableSpan) -> str:
        return str(span.to_json(indent=None)).replace("\n", " ") + "\n"

    return ConsoleSpanExporter(out=file.open("a", encoding="utf-8", buffering=1), formatter=line)


_EVENT_BACKLOG = text(
    "SELECT count(*), min(occurred_at) FROM (SELECT occurred_at FROM runtime.event"
    " WHERE position IS NULL ORDER BY event_id LIMIT 10000) waiting"
)
_CONSUMER_LAG = text(
    "SELECT c.name, s.last_position - c.position FROM runtime.consumer c, runtime.sequencer s WHERE s.id = 1"
)
_PARKED = text("SELECT consumer, count(*) FROM runtime.parked GROUP BY consumer")


def event_backlog(connection: Connection, clock: Clock) -> tuple[int, float]:
    """(events without a position, up to 10,000; age of the oldest in seconds)."""
    waiting, oldest = connection.execute(_EVENT_BACKLOG).one()
    return waiting, max(0.0, (clock.now() - oldest).total_seconds()) if oldest else 0.0


class DatabaseFigures(Collector):
    """Gauges that live in the database, read when someone scrapes; nothing where it does not answer."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing is read while registering."""
        return ()

    def collect(self) -> Iterable[Metric]:
        try:
            with self._engine.connect() as connection:
                return self._read(connection)
        except SQLAlchemyError:
            return [_gauge("turnup_database_up", "Whether the database answers", 0)]

    def _read(self, connection: Connection) -> list[Metric]:
        waiting, age_s = event_backlog(connection, self._clock)
        lag = GaugeMetricFamily(
            "turnup_consumer_lag_events", "Events a consumer has to handle", labels=["consumer"]
        )
        for name, behind in connection.execute(_CONSUMER_LAG):
            lag.add_metric([name], behind)
        parked = GaugeMetricFamily("turnup_parked_events", "Events parked now", labels=["consumer"])
        for name, count in connection.execute(_PARKED):
            parked.add_metric([name], count)
        return [
            _gauge("turnup_database_up", "Whether the database answers", 1),
            _gauge("turnup_events_unsequenced", "Events that wait for their position", waiting),
            _gauge("turnup_event_lag_seconds", "Age of the oldest event without a position", age_s),
            _gauge("turnup_workflows_pending", "Workflows enqueued or running", durable.pending(connection)),
            lag,
            parked,
        ]


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def process_registry(engine: Engine, clock: Clock) -> CollectorRegistry:
    """What /metrics of this process shows: its own counters and the database's gauges."""
    registry = CollectorRegistry()
    registry.register(_Everything())
    registry.register(DatabaseFigures(engine, clock))
    return registry


class _Everything(Collector):
    """The process-wide registry, so that several apps in one process (tests) do not clash."""

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return REGISTRY.collect()


def serve_metrics(port: int, engine: Engine, clock: Clock, *, host: str = "127.0.0.1") -> int:
    """Metrics of a process without an HTTP API of its own (worker, collector); returns the port taken."""
    server, _thread = start_http_server(port, addr=host, registry=process_registry(engine, clock))
    return int(server.server_port)
