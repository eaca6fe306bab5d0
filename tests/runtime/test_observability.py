"""Logs carry the ids of what is worked on; a trace goes from the request to its events."""

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from fastapi import APIRouter
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import MetaData, text

from builders.house import client_of, deliver_events, lay_out, runtime_on
from builders.log_lines import captured_log
from turnup.contracts.monitoring import SessionStarted
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ServiceId, new_id
from turnup.runtime import telemetry
from turnup.runtime.component import Component, Runtime, Schema
from turnup.runtime.observability import configure_tracing, file_exporter
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


def test_log_lines_carry_ids_and_trace(spans: InMemorySpanExporter) -> None:
    log = structlog.get_logger("turnup.test")
    with captured_log("worker-1") as read:
        with telemetry.bind(order_id="o1"), telemetry.span("order"):
            log.info("step_done", ms=12)
            logging.getLogger("some.library").warning("told %s", "so")
        log.debug("not shown")
        log.info("outside")
        lines = read()
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


def alarms_that_log(unit: object, identity: str, body: dict[str, object]) -> dict[str, object]:
    structlog.get_logger("turnup.test").info("changing")
    if body.get("state") == "broken":
        raise RuntimeError("a bug")
    if body.get("state") == "away":
        raise Unavailable("the alarm's source does not answer")
    return {"id": identity}


def test_lines_of_a_request_name_what_its_path_names(runtime: Runtime) -> None:
    alarm = Resource(
        api="TMF642",
        name="alarm",
        type_name="Alarm",
        component="sample",
        scope="notes",
        logged="alarm_id",
        patch=alarms_that_log,
    )
    native = APIRouter()

    @native.post("/services/{service_id}/poke")
    def poke(service_id: str, depth: int) -> None:
        structlog.get_logger("turnup.test").info("poked")

    client = client_of(
        runtime, [Component(name="sample", service=None, routers=[router([alarm], runtime), native])]
    )
    with captured_log() as read:
        for state in ("raised", "away", "broken"):
            answer = client.patch(
                f"{alarm.path}/a-{state}", json={"state": state}, headers={"X-Request-Id": f"r-{state}"}
            )
            assert answer.headers["X-Request-Id"] == f"r-{state}"
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        client.post("/services/s1/poke?depth=1", headers={"X-Request-Id": "r-native"})
        client.get("/nowhere", headers={"X-Request-Id": "r-none"})
        lines = [line for line in read() if line["logger"].startswith("turnup")]
    found = [
        (line["event"], line["request_id"], line.get("alarm_id"), line.get("service_id")) for line in lines
    ]
    assert found == [
        ("changing", "r-raised", "a-raised", None),
        ("changing", "r-away", "a-away", None),
        ("request_failed", "r-away", "a-away", None),
        ("changing", "r-broken", "a-broken", None),
        ("request_crashed", "r-broken", "a-broken", None),
        ("poked", "r-native", None, "s1"),
    ]


def test_lines_of_a_handler_name_what_its_event_names(runtime: Runtime) -> None:
    service_id = ServiceId(new_id())

    def handle(unit: object, event: SessionStarted) -> None:
        structlog.get_logger("turnup.test").info("told")

    with runtime.unit("sample", "test") as unit:
        unit.emit(SessionStarted(service_id=service_id, nas="n", session_id="1", at=unit.now))
    with captured_log() as read:
        deliver_events(runtime, [Component(name="sample", service=None, handlers={SessionStarted: handle})])
        [line] = [line for line in read() if line["event"] == "told"]
    assert (line["service_id"], line["consumer"]) == (str(service_id), "sample")


def test_threads_of_a_pool_keep_the_trace_and_the_ids(spans: InMemorySpanExporter) -> None:
    def work(n: int) -> None:
        with telemetry.bind(element=n), telemetry.span(f"element {n}"):
            structlog.get_logger("turnup.test").info("worked")

    spans.clear()
    with captured_log() as read, ThreadPoolExecutor(2) as pool:
        with telemetry.bind(service_id="s1"), telemetry.span("all"):
            list(pool.map(telemetry.carried(work), range(4)))
        lines = read()
    assert sorted((line["service_id"], line["element"]) for line in lines) == [
        ("s1", str(n)) for n in range(4)
    ]
    assert len({span.context.trace_id for span in spans.get_finished_spans()}) == 1


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
