"""Hooks and observers, as somebody writes them who measures."""

from __future__ import annotations

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.events import (
    AttemptFinished,
    Event,
    OutcomeReconciled,
    QuotaPaused,
    observing,
)
from do_blockstore_async.integrations.logging import LoggingHook
from do_blockstore_async.integrations.opentelemetry import OpenTelemetryHook
from do_blockstore_async.integrations.prometheus import PrometheusHook


class Counter:
    def __init__(self) -> None:
        self.attempts = 0

    def __call__(self, event: Event) -> None:
        match event:
            case AttemptFinished(status=status):
                self.attempts += status is not None
            case OutcomeReconciled(resolution=resolution):
                print(resolution)
            case QuotaPaused():
                print(event.pause_s)
            case _:
                pass


async def main() -> None:
    metrics = PrometheusHook()
    hooks = (Counter(), metrics, LoggingHook(), OpenTelemetryHook(), print)
    async with BlockStore.from_env(config=Config(hooks=hooks)) as store:
        metrics.collect_quota(store)
        spent = Counter()
        with observing(spent):
            await store.volumes.find("db", region="nyc3")
