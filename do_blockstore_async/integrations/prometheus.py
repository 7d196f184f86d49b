"""Events as Prometheus metrics, and the budget as gauges read at each scrape.

    metrics = PrometheusHook()
    async with BlockStore.from_env(config=Config(hooks=(metrics,))) as store:
        metrics.collect_quota(store)

| metric | labels |
| --- | --- |
| `blockstore_calls_total` | method, route, outcome: `ok` or the error's class |
| `blockstore_call_seconds` (histogram) | method, route |
| `blockstore_calls_in_progress` | |
| `blockstore_attempts_total` | method, route, outcome: the status, or what broke |
| `blockstore_attempt_seconds` (histogram): on the wire, no wait for quota | method, route |
| `blockstore_quota_wait_seconds` (histogram): before an attempt | method, route |
| `blockstore_retries_total` | method, route, reason |
| `blockstore_reconciled_total`: lost responses reconciled | method, route, resolution |
| `blockstore_listing_restarts_total` | route |
| `blockstore_quota_pauses_total` | kind |
| `blockstore_headers_ignored_total` | name |
| `blockstore_quota_limit`, `_used`, `_used_by_others`, `_remaining` | window: its seconds |
| `blockstore_quota_waiting` | class: `interactive` or `background` |
| `blockstore_quota_in_flight`, `_paused_seconds`, `_available_in_seconds` | |
| `blockstore_quota_processes`, `_store_away_seconds`: of a shared budget | |

Theory. Events only count; the gauges are not kept up to date but read at each scrape. A scrape
may come from another thread (`prometheus_client.start_http_server` has one), while the budget
belongs to the client's event loop: they are then read in the loop, and waited for.

Invariants:
1. Labels hold routes, never paths: the number of series is bounded by the API's operations. Routes
   of `store.request` are the paths the caller wrote; keep ids out of them, or filter them here.
2. A scrape spends no request, and waits for a busy event loop at most `_PATIENCE_S`; then, and once
   the loop has ended, the gauges are left out rather than shown stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .._lazy import missing_module

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.metrics import MetricWrapperBase
except ModuleNotFoundError as error:
    raise missing_module(__name__, "prometheus", error) from None

from .. import BlockStore, ConfigError, QuotaStatus
from ..events import (
    AttemptFinished,
    AttemptSent,
    CallFinished,
    CallStarted,
    Event,
    HeaderIgnored,
    ListingRestarted,
    OutcomeReconciled,
    QuotaPaused,
    RetryScheduled,
)

__all__ = ["PrometheusHook"]

_PATIENCE_S: Final = 1.0
_WIRE_BUCKETS: Final = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 15.0, 60.0)
_WAIT_BUCKETS: Final = (0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)


class PrometheusHook:
    """Count events, and collect the budget's gauges.

    Args:
        registry: where the metrics are registered; Prometheus's default one where not given.
        prefix: what the metrics' names begin with.

    One hook serves any number of clients. A second one needs a registry or a prefix of its own, or
    that the first was closed.

    Raises:
        ConfigError: the registry has metrics of this prefix already.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, prefix: str = "blockstore"
    ) -> None:
        self._registry = REGISTRY if registry is None else registry
        self._prefix = prefix
        operation = ("method", "route")

        def counter(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(f"{prefix}_{name}", text, labels, registry=None)

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(f"{prefix}_{name}", text, operation, registry=None, buckets=buckets)

        self._calls = counter("calls_total", "Calls that finished", (*operation, "outcome"))
        self._call_s = histogram("call_seconds", "Calls, waits and retries included", _WAIT_BUCKETS)
        self._in_progress = Gauge(
            f"{prefix}_calls_in_progress", "Calls that have not finished", registry=None
        )
        self._attempts = counter("attempts_total", "Attempts", (*operation, "outcome"))
        self._attempt_s = histogram("attempt_seconds", "Attempts on the wire", _WIRE_BUCKETS)
        self._wait_s = histogram("quota_wait_seconds", "Waits for quota", _WAIT_BUCKETS)
        self._retries = counter("retries_total", "Retries", (*operation, "reason"))
        self._reconciled = counter(
            "reconciled_total", "Lost responses reconciled", (*operation, "resolution")
        )
        self._restarts = counter("listing_restarts_total", "Listings started again", ("route",))
        self._pauses = counter("quota_pauses_total", "Pauses of the budget", ("kind",))
        self._ignored = counter("headers_ignored_total", "Invalid headers", ("name",))
        self._waits: dict[tuple[object, int], float] = {}
        self._budget: _BudgetCollector | None = None
        self._collectors: list[Any] = [
            value for value in vars(self).values() if isinstance(value, MetricWrapperBase)
        ]
        self._register()

    def _register(self) -> None:
        done: list[Any] = []
        try:
            for collector in self._collectors:
                self._registry.register(collector)
                done.append(collector)
        except ValueError:
            for collector in done:
                self._registry.unregister(collector)
            raise ConfigError(
                f"this registry has metrics named {self._prefix}_... already: use one hook for all "
                "clients, close() the other one, or give this one a registry or prefix of its own"
            ) from None

    def close(self) -> None:
        """Take the metrics out of the registry; harmless when repeated."""
        self.stop_collecting_quota()
        for collector in self._collectors:
            self._registry.unregister(collector)
        self._collectors = []

    def __call__(self, event: Event) -> None:
        """Count `event`."""
        if isinstance(event, AttemptSent):
            self._wait_s.labels(event.method, event.route).observe(event.waited_s)
            self._waits[asyncio.current_task(), event.call_id] = event.waited_s
        elif isinstance(event, AttemptFinished):
            outcome = event.failure or str(event.status)
            self._attempts.labels(event.method, event.route, outcome).inc()
            # An attempt that was never sent has no time on the wire.
            waited_s = self._waits.pop((asyncio.current_task(), event.call_id), None)
            if waited_s is not None:
                wire_s = max(0.0, event.duration_s - waited_s)
                self._attempt_s.labels(event.method, event.route).observe(wire_s)
        elif isinstance(event, CallStarted):
            self._in_progress.inc()
        elif isinstance(event, CallFinished):
            self._in_progress.dec()
            self._calls.labels(event.method, event.route, event.error or "ok").inc()
            self._call_s.labels(event.method, event.route).observe(event.duration_s)
        elif isinstance(event, RetryScheduled):
            self._retries.labels(event.method, event.route, event.reason).inc()
        elif isinstance(event, OutcomeReconciled):
            self._reconciled.labels(event.method, event.route, event.resolution).inc()
        elif isinstance(event, ListingRestarted):
            self._restarts.labels(event.route).inc()
        elif isinstance(event, QuotaPaused):
            self._pauses.labels(event.kind).inc()
        elif isinstance(event, HeaderIgnored):
            self._ignored.labels(event.name).inc()

    def collect_quota(self, store: BlockStore) -> None:
        """Show the budget of `store` at each scrape, until its event loop ends.

        Called inside the event loop of `store`. A later call, such as after reopening, shows the
        budget of that store instead.
        """
        loop = asyncio.get_running_loop()
        self.stop_collecting_quota()
        self._budget = _BudgetCollector(store, loop, self._prefix)
        self._registry.register(self._budget)

    def stop_collecting_quota(self) -> None:
        """Show no budget any more; harmless when repeated."""
        if self._budget is not None:
            self._registry.unregister(self._budget)
            self._budget = None


class _BudgetCollector:
    """What the registry asks at each scrape."""

    def __init__(self, store: BlockStore, loop: asyncio.AbstractEventLoop, prefix: str) -> None:
        self._store = store
        self._loop = loop
        self._prefix = f"{prefix}_quota_"

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names alone, for the registry to tell doubles."""
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as they stand."""
        quota = self._read()
        if quota is None:
            return
        families = self._families()
        limit, used, others, remaining, waiting, in_flight, paused, free, sharing, away = families
        for window in quota.windows:
            seconds = (f"{window.length_s:g}",)
            limit.add_metric(seconds, window.limit)
            used.add_metric(seconds, window.used)
            others.add_metric(seconds, window.used_by_others)
            remaining.add_metric(seconds, window.remaining)
        waiting.add_metric(("interactive",), quota.waiting - quota.waiting_background)
        waiting.add_metric(("background",), quota.waiting_background)
        in_flight.add_metric((), quota.in_flight)
        paused.add_metric((), quota.paused_for_s)
        free.add_metric((), quota.available_in_s)
        sharing.add_metric((), len(quota.processes))
        away.add_metric((), quota.store_away_s)
        yield from families

    def _families(self) -> tuple[GaugeMetricFamily, ...]:
        def family(name: str, text: str, labels: Sequence[str] = ()) -> GaugeMetricFamily:
            return GaugeMetricFamily(self._prefix + name, text, labels=labels)

        return (
            family("limit", "Requests allowed in the window", ("window",)),
            family("used", "Slots held by us", ("window",)),
            family("used_by_others", "Slots other clients use", ("window",)),
            family("remaining", "Slots free for interactive requests", ("window",)),
            family("waiting", "Requests waiting for quota", ("class",)),
            family("in_flight", "Requests sent, without a response yet"),
            family("paused_seconds", "Seconds until a pause ends"),
            family("available_in_seconds", "Seconds until an interactive request could be sent"),
            family("processes", "Processes that share the budget; 0 if it is not shared"),
            family("store_away_seconds", "For how long the store of a shared budget is away"),
        )

    def _read(self) -> QuotaStatus | None:
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            return self._store.quota
        if not self._loop.is_running():
            return None

        async def read() -> QuotaStatus:
            return self._store.quota

        reading = read()
        try:
            return asyncio.run_coroutine_threadsafe(reading, self._loop).result(_PATIENCE_S)
        except (TimeoutError, RuntimeError):
            # Too busy, or closed between the two lines above.
            reading.close()
            return None
