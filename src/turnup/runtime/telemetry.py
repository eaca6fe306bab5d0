"""Traces, as the rest of Turnup uses them: one trace is one order, from the API call to the device command.

Thin on purpose: OpenTelemetry's API carries the context, an SDK and exporter are set up by `configure` only
where the setting `otlp_endpoint` asks for them. Without it spans cost next to nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("turnup")


def current_traceparent() -> str | None:
    """W3C traceparent of the current span; None outside any recorded trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Iterator[Span]:
    with _tracer.start_as_current_span(name, attributes=attributes) as current:
        yield current


@contextmanager
def continue_trace(traceparent: str | None, name: str) -> Iterator[Span | None]:
    """A span inside the trace that caused this work; nothing where there was no trace."""
    if traceparent is None:
        yield None
        return
    token = otel_context.attach(_propagator.extract({"traceparent": traceparent}))
    try:
        with _tracer.start_as_current_span(name) as current:
            yield current
    finally:
        otel_context.detach(token)
