"""How a process of the installation is watched: logs, traces and, where it has no HTTP API, metrics."""

from turnup.app.house import House
from turnup.runtime.observability import configure_logging, configure_tracing, serve_metrics
from turnup.runtime.settings import Settings


def observe(settings: Settings, process: str) -> None:
    """Logs as the settings say; traces to the collector and the folder they name."""
    configure_logging(settings.log_format, settings.log_level, process=process)
    file = None
    if settings.trace_dir is not None:
        settings.trace_dir.mkdir(parents=True, exist_ok=True)
        file = settings.trace_dir / f"{process}.jsonl"
    endpoint = str(settings.otlp_endpoint) if settings.otlp_endpoint else None
    configure_tracing(process=process, otlp_endpoint=endpoint, file=file)


def publish_metrics(house: House, offset: int) -> None:
    """Prometheus metrics of a process without an API, if the settings name a port."""
    if house.settings.metrics_port:
        serve_metrics(house.settings.metrics_port + offset, house.database.engine, house.runtime.clock)
