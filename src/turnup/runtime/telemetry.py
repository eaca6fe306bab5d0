"""Traces and what log lines carry, as the rest of Turnup uses them: one trace is one order, from the API call
to the device command, and every log line on that way names the order and the service it is about.

Thin on purpose: OpenTelemetry's API and structlog carry the context; `runtime.observability` says where spans
and lines go. Without a destination spans cost next to nothing.
"""

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

T = TypeVar("T")
R = TypeVar("R")

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


@contextmanager
def bind(**names: object) -> Iterator[None]:
    """Log lines in here carry these: `with bind(order_id=order_id): …`. Ids only, no personal data."""
    with structlog.contextvars.bound_contextvars(**_as_text(names)):
        yield


def bind_request(**names: object) -> None:
    """The same until the request ends: each has a task, and so a context, of its own."""
    structlog.contextvars.bind_contextvars(**_as_text(names))


def carried(function: Callable[[T], R]) -> Callable[[T], R]:
    """`function` for threads of a pool, with the trace and the log context of the present one."""
    context = contextvars.copy_context()

    def inside(value: T) -> R:
        return context.copy().run(function, value)  # no two threads may be in one context

    return inside


def _as_text(names: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in names.items()}
