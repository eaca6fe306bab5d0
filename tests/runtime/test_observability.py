"""Logs carry the ids of what is worked on; a trace goes from the request to its events."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import MetaData, text

from builders.house import client_of, lay_out, runtime_on
from turnup.contracts.monitoring import SessionStarted
from turnup.kernel.ids import ServiceId, new_id
from turnup.runtime import telemetry
from turnup.runtime.component import Component, Runtime, Schema
from turnup.runtime.observability import bind, configure_logging, configure_tracing, file_exporter
from turnup.runtime.tmf import Resource, router

SCHEMA = Schema(name="sample", metadata=MetaData(schema="sample"))


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("tmf_traced", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = configure_tracing(process="test", exporters=[exporter])
    assert provider is trace.get_tracer_provider()
    yield exporter
    provider.shutdown()


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_log_lines_carry_ids_and_trace(restored_logging: None, spans: InMemorySpanExporter) -> None:
    out = io.StringIO()
    configure_logging("json", "info", process="worker-1", stream=out)
    log = structlog.get_logger("turnup.test")
    with bind(order_id="o1"), telemetry.span("order"):
        log.info("step_done", ms=12)
        logging.getLogger("some.library").warning("told %s", "so")
    log.debug("not shown")
    log.info("outside")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line.get("order_id"), "trace_id" in line) for line in lines] == [
        ("step_done", "o1", True),
        ("told so", "o1", True),
        ("outside", None, False),
    ]
    assert {line["process"] for line in lines} == {"worker-1"}
    assert lines[0]["level"] == "info"


def test_one_trace_from_the_callers_span_to_the_event(runtime: Runtime, spans: InMemorySpanExporter) -> None:
    def create(unit: object, body: dict[str, object], key: str | None) -> dict[str, object]:
        unit.emit(SessionStarted(service_id=ServiceId(new_id()), nas="n", session_id="1", at=unit.now))
        return {"id": "1"}

    resource = Resource(
        api="TMF642", name="alarm", type_name="Alarm", component="sample", scope="notes", create=create
    )
    client = client_of(
        runtime, [Component(name="sample", service=None, routers=[router([resource], runtime)])]
    )
    spans.clear()
    answer = client.post(
        resource.path,
        json={},
        headers={
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "X-Request-Id": "r1",
        },
    )
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (201, "r1")
    [span] = spans.get_finished_spans()
    assert (span.name, trace.format_trace_id(span.context.trace_id)) == (
        f"POST {resource.path}",
        "0af7651916cd43dd8448eb211c80319c",
    )
    with runtime.database.engine.connect() as connection:
        stored = connection.scalar(text("SELECT traceparent FROM runtime.event"))
    assert stored.split("-")[1:3] == [
        "0af7651916cd43dd8448eb211c80319c",
        trace.format_span_id(span.context.span_id),
    ]


def test_spans_in_a_file_are_one_object_per_line(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    provider = trace.get_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(file_exporter(tmp_path / "spans.jsonl")))
    with telemetry.span("outer"), telemetry.span("inner", element="olt1"):
        pass
    inner, outer = (json.loads(line) for line in (tmp_path / "spans.jsonl").read_text().splitlines())
    assert inner["parent_id"] == outer["context"]["span_id"]
    assert inner["attributes"] == {"element": "olt1"}


def test_without_a_destination_nothing_is_set_up() -> None:
    assert configure_tracing(process="x") is None
