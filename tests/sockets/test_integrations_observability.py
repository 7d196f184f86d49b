"""What watchers see of real calls over real sockets: metrics scraped, spans read, records."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, cast

import aiohttp
import attrs
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from do_blockstore_async import (
    BlockStore,
    Config,
    ConfigError,
    NotFoundError,
    QuotaWaitTooLongError,
    RateLimitedError,
    ServerError,
)
from do_blockstore_async.integrations.logging import JsonFormatter, LoggingHook
from do_blockstore_async.integrations.opentelemetry import OpenTelemetryHook
from do_blockstore_async.integrations.prometheus import PrometheusHook
from do_blockstore_async.simulator import Simulator
from tests.support.web_services import DRY, ROOMY, until

UNKNOWN = "00000000-0000-0000-0000-000000000000"
ONE = "/v2/volumes/{volume_id}"
RETRYING = attrs.evolve(ROOMY, max_attempts=3, backoff_base_s=0.001)


def client(simulator: Simulator, *hooks: Any, config: Config = RETRYING) -> BlockStore:
    return BlockStore(
        simulator.token, base_url=simulator.url, config=attrs.evolve(config, hooks=hooks)
    )


def read_metrics(text: str) -> dict[tuple[str, frozenset[str]], float]:
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# Prometheus.


async def test_metrics_are_scraped_over_http_from_another_thread() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusHook(registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        async with Simulator(volumes=3) as simulator, client(simulator, metrics) as store:
            metrics.collect_quota(store)
            volume = next(iter(simulator.world.volumes))
            simulator.faults.add("error_500_before", method="GET", times=1)
            await store.volumes.get(volume)
            with pytest.raises(NotFoundError):
                await store.volumes.get(UNKNOWN)
            simulator.faults.add("response_lost", method="POST", times=1)
            await store.volumes.create("db", region="nyc3", size_gigabytes=1)
            url = f"http://127.0.0.1:{server.server_port}/metrics"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                text = await response.text()
            token = simulator.token
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    seen = read_metrics(text)

    def value(name: str, *labels: str) -> float:
        return seen[f"blockstore_{name}", frozenset(labels)]

    assert value("calls_total", "GET", ONE, "ok") == 1
    assert value("calls_total", "GET", ONE, "NotFoundError") == 1
    assert value("calls_total", "POST", "/v2/volumes", "ok") == 1
    assert value("attempts_total", "GET", ONE, "ServerError") == 1
    assert value("attempts_total", "GET", ONE, "200") == 1
    assert value("retries_total", "GET", ONE, "ServerError") == 1
    assert value("reconciled_total", "POST", "/v2/volumes", "adopted") == 1
    assert value("attempt_seconds_count", "GET", ONE) == 3
    assert value("quota_wait_seconds_count", "GET", ONE) == 3
    assert value("calls_in_progress") == 0
    assert value("quota_in_flight") == 0
    assert value("quota_processes") == 0
    assert value("quota_store_away_seconds") == 0
    assert value("quota_used", "60") == 5
    assert value("quota_limit", "60") == 10**6
    assert value("quota_waiting", "background") == 0
    assert token not in text
    assert volume not in text, "labels hold routes, not paths"


async def test_gauges_are_read_in_the_loop_too_and_left_out_when_it_has_ended() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusHook(registry)
    async with Simulator() as simulator, client(simulator, metrics) as store:
        metrics.collect_quota(store)
        assert b"blockstore_quota_remaining" in generate_latest(registry)

    other = CollectorRegistry()

    def in_a_loop_of_its_own() -> None:
        async def main() -> None:
            hook = PrometheusHook(other)
            async with Simulator() as simulator, client(simulator, hook) as store:
                hook.collect_quota(store)

        asyncio.run(main())

    thread = threading.Thread(target=in_a_loop_of_its_own)
    thread.start()
    await asyncio.to_thread(thread.join)
    text = generate_latest(other)
    assert b"blockstore_calls_in_progress 0.0" in text
    assert b"blockstore_quota_remaining" not in text


async def test_a_second_hook_and_a_second_opening() -> None:
    registry = CollectorRegistry()
    first = PrometheusHook(registry)
    with pytest.raises(ConfigError, match="use one hook for all clients"):
        PrometheusHook(registry)
    assert b"blockstore_calls_in_progress" in generate_latest(registry), "the first is unharmed"
    PrometheusHook(registry, prefix="other").close()
    async with Simulator() as simulator:
        for _ in range(2):
            async with client(simulator, first) as store:
                first.collect_quota(store)
                assert generate_latest(registry).count(b"blockstore_quota_in_flight 0.0") == 1
        first.stop_collecting_quota()
        assert b"blockstore_quota_in_flight" not in generate_latest(registry)
    first.close()
    first.close()
    assert not generate_latest(registry)
    PrometheusHook(registry).close()


async def test_a_call_that_is_never_sent_has_no_time_on_the_wire() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusHook(registry)
    async with (
        Simulator(limits="2/60,1000/3600") as simulator,
        client(simulator, metrics, config=DRY) as store,
    ):
        for _ in range(2):
            async for _region in store.regions.list():
                pass
        with pytest.raises(QuotaWaitTooLongError):
            await store.volumes.get(UNKNOWN, timeout=1)
    seen = read_metrics(generate_latest(registry).decode())
    attempted = frozenset(("GET", ONE, "QuotaWaitTooLongError"))
    assert seen["blockstore_attempts_total", attempted] == 1
    assert ("blockstore_attempt_seconds_count", frozenset(("GET", ONE))) not in seen


# OpenTelemetry.


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def events_of(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


async def test_each_call_is_a_span_with_its_attempts_as_events(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    tracer = provider.get_tracer("test")
    async with (
        Simulator(volumes=1) as simulator,
        client(simulator, OpenTelemetryHook(provider)) as store,
    ):
        volume = next(iter(simulator.world.volumes))
        simulator.faults.add("error_500_before", method="GET", times=1)
        with tracer.start_as_current_span("web request") as request:
            await store.volumes.get(volume)
            assert trace.get_current_span() is request, "the context is put back"
    called, outer = exporter.get_finished_spans()
    assert outer.name == "web request"
    assert called.name == f"GET {ONE}"
    assert called.kind is SpanKind.CLIENT
    assert called.parent is not None
    assert called.parent.span_id == outer.context.span_id
    assert events_of(called) == ["sent", "attempt", "retry", "sent", "attempt"]
    assert called.attributes == {
        "http.request.method": "GET",
        "url.template": ONE,
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
    }
    first = called.events[1].attributes
    assert first is not None
    assert first["http.response.status_code"] == 500
    assert first["error.type"] == "ServerError"
    assert called.status.status_code is StatusCode.UNSET


async def test_a_failed_call_is_a_span_with_an_error_and_no_secret(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with Simulator() as simulator:
        hook = OpenTelemetryHook(provider)
        config = attrs.evolve(ROOMY, max_attempts=1)
        async with client(simulator, hook, config=config) as store:
            simulator.faults.add("html_502")
            with pytest.raises(ServerError):
                await store.volumes.get(UNKNOWN)
        token = simulator.token
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ServerError"
    assert token not in span.to_json()
    assert UNKNOWN not in span.to_json()


async def test_the_look_up_of_a_lost_create_is_a_child_of_it(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with Simulator() as simulator, client(simulator, OpenTelemetryHook(provider)) as store:
        simulator.faults.add("response_lost", method="POST", times=1)
        await store.volumes.create("db", region="nyc3", size_gigabytes=1)
    looked, created = exporter.get_finished_spans()
    assert (looked.name, created.name) == ("GET /v2/volumes", "POST /v2/volumes")
    assert looked.parent is not None
    assert looked.parent.span_id == created.context.span_id
    assert events_of(created) == ["sent", "attempt", "reconciled"]


async def test_calls_side_by_side_and_clients_with_one_hook_are_kept_apart(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    hook = OpenTelemetryHook(provider)
    tracer = provider.get_tracer("test")
    async with Simulator(volumes=5, latency_s=0.02) as simulator:
        volumes = list(simulator.world.volumes)
        async with client(simulator, hook) as one, client(simulator, hook) as two:

            async def request(store: BlockStore, number: int) -> None:
                with tracer.start_as_current_span(f"request {number}"):
                    await asyncio.gather(*(store.volumes.get(volume) for volume in volumes))

            await asyncio.gather(request(one, 1), request(two, 2), request(one, 3))
            left = asyncio.create_task(one.volumes.get(volumes[0]))
            await until(lambda: one.quota.in_flight == 1)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
    spans = exporter.get_finished_spans()
    parents = {s.context.span_id: s.name for s in spans if s.name.startswith("request")}
    assert len(parents) == 3
    children = [s for s in spans if s.name == f"GET {ONE}"]
    assert len(children) == 16
    for number in (1, 2, 3):
        mine = [s for s in children if s.parent and parents[s.parent.span_id][-1] == str(number)]
        assert len(mine) == 5
        assert all(events_of(span) == ["sent", "attempt"] for span in mine)
    (cancelled,) = (span for span in children if span.parent is None)
    assert cancelled.attributes is not None
    assert cancelled.attributes["error.type"] == "CancelledError"


# Logging.


async def test_records_are_structured_and_hold_no_token() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("events", logging.DEBUG)
    logger.addHandler(handler)
    config = attrs.evolve(
        RETRYING, windows=DRY.windows, reserve=(0.0, 0.0), cold_start_concurrency=2
    )
    async with Simulator(limits="1/60,1000/3600") as simulator:
        hook = LoggingHook(logger)
        async with client(simulator, hook, config=config) as store:
            async for _region in store.regions.list():
                pass
            with pytest.raises(RateLimitedError):
                await store.volumes.get(UNKNOWN, timeout=5)
        token = simulator.token
    text = stream.getvalue()
    assert token not in text
    records = [json.loads(line) for line in text.splitlines()]
    assert [r["event"] for r in records][:4] == [
        "call_started",
        "attempt_sent",
        "attempt_finished",
        "call_finished",
    ]
    assert records[2]["status"] == 200
    assert records[2]["level"] == "debug"
    assert records[2]["message"].startswith("GET /v2/regions attempt 1: 200 after ")
    paused = next(r for r in records if r["event"] == "quota_paused")
    assert (paused["level"], paused["kind"]) == ("warning", "burst")
    ended = records[-1]
    assert (ended["event"], ended["level"]) == ("call_finished", "warning")
    assert ended["error"] == "RateLimitedError"


def test_every_event_has_a_form() -> None:
    from do_blockstore_async import events
    from do_blockstore_async.integrations.logging import _FORMS

    kinds = {cls for cls in vars(events).values() if isinstance(cls, type) and attrs.has(cls)}
    assert set(_FORMS) == kinds
    stream = io.StringIO()
    logger = logging.Logger("events", logging.DEBUG)
    logger.addHandler(logging.StreamHandler(stream))
    for kind in kinds:
        values: dict[str, Any] = {
            field.name: 1.0 if field.name.endswith("_s") else 1 for field in attrs.fields(kind)
        }
        LoggingHook(logger)(cast("events.Event", kind(**values)))
    assert len(stream.getvalue().splitlines()) == len(kinds)


def test_what_is_below_the_level_is_not_even_formatted(caplog: pytest.LogCaptureFixture) -> None:
    from do_blockstore_async.events import CallStarted

    caplog.set_level(logging.INFO, "do_blockstore_async.events")
    LoggingHook()(CallStarted(1, "GET", "/v2/volumes"))
    assert not caplog.records


# Imported only when used.

FRAMEWORKS = {"fastapi", "starlette", "prometheus_client", "opentelemetry", "aiohttp.web"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("._web.problem_details, do_blockstore_async.integrations._web.request_scope", set()),
        (".logging", set()),
        (".prometheus", {"prometheus_client"}),
        (".opentelemetry", {"opentelemetry"}),
        (".aiohttp", {"aiohttp.web"}),
        (".fastapi", {"fastapi", "starlette"}),
    ],
)
def test_each_integration_loads_its_own_framework_only(module: str, allowed: set[str]) -> None:
    loaded = modules_after(f"do_blockstore_async.integrations{module}")
    # Some releases of FastAPI load OpenTelemetry themselves.
    by_framework = modules_after("fastapi") if "fastapi" in allowed else set()
    assert FRAMEWORKS & loaded - (by_framework - allowed) == allowed


def modules_after(name: str) -> set[str]:
    done = subprocess.run(  # noqa: S603 -- this very Python
        [sys.executable, "-c", f"import {name}, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())
