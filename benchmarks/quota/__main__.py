"""The token's budget, measured: `python -m benchmarks.quota [--plot FILE] [--quick]`.

Prints two Markdown tables: how this throttle and others fare with the same work under each of the
three server models, and the cases the throttle must pass, each with its bar and its figure. All of
it runs in virtual time but the last row, which measures CPU. `--plot` draws four of the throttles.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
import tracemalloc
from pathlib import Path

from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.config import Config
from tests.support.strict_servers import MODELS, Judge
from tests.support.virtual_time import run_virtual

from .comparison import BEST_S, comparison
from .plot import draw
from .scenarios import (
    NO_RESERVE,
    Case,
    OurThrottle,
    Outcome,
    Runner,
    Server,
    Unthrottled,
    crowd,
    ours,
    predecessor_burst,
    predecessor_hour,
    run_case,
)
from .table import Table


def worst(cases: list[Case]) -> tuple[list[Outcome], int, float]:
    outcomes = [run_case(case, ours) for case in cases]
    return (
        outcomes,
        max(outcome.refused for outcome in outcomes),
        max(outcome.seconds for outcome in outcomes),
    )


def every(seeds: int, requests: int, **what: object) -> list[Case]:
    return [
        Case(requests=requests, model=model, seed=seed, **what)  # type: ignore[arg-type]
        for model in MODELS
        for seed in range(seeds)
    ]


def alone_rows(table: Table, seeds: int) -> None:
    for requests, share in ((1000, 1.06), (6000, 1.01)):
        optimum_s = BEST_S[requests]
        _, refused, seconds = worst(every(seeds, requests))
        table.row(
            f"alone, {requests:,} requests, reserve 0",
            f"0 429s, at most {share} x {optimum_s:,.0f} s",
            f"{refused} 429s, {seconds / optimum_s:.3f} x ({seconds:,.1f} s)",
            refused == 0 and seconds <= share * optimum_s,
        )


def sixty(runner: Runner, seed: int, before: int) -> float:
    async def main() -> float:
        server = Server(Judge(), seed)
        for _ in range(before):
            await runner.call(server)
        server = Server(Judge(), seed)
        return await crowd(runner, server, 60)

    return run_virtual(main())


def idle_rows(table: Table, seeds: int) -> None:
    free = [sixty(Unthrottled(), seed, 0) for seed in range(seeds)]
    for name, before in (("first answer known", 1), ("cold: nothing known of the token", 0)):
        mine = [sixty(OurThrottle(Config()), seed, before) for seed in range(seeds)]
        cost = statistics.mean(mine) / statistics.mean(free) - 1
        table.row(
            f"alone, an idle budget, 60 requests ({name})",
            "at most 10 % over no throttle" if before else "one latency more (cold start)",
            f"{cost:+.1%} ({statistics.mean(mine):.2f} s for {statistics.mean(free):.2f} s)",
            cost <= 0.10 if before else None,
        )


def stranger_rows(table: Table, seeds: int) -> None:
    minute, hour = 0.30 * 250 / 60, 0.30 * 5000 / 3600
    for name, since_s in (("began with us", 0.0), ("was there before", 60.0)):
        cases = every(seeds, 1000, stranger_rate=minute, stranger_since_s=since_s)
        _, refused, seconds = worst(cases)
        table.row(
            f"another client at 30 % of the minute, 1,000 requests ({name})",
            "at most 5 429s",
            f"at most {refused} 429s ({seconds:,.0f} s)",
            refused <= 5,
        )
    for name, since_s in (("was there before", 3600.0), ("began with us", 0.0)):
        cases = every(seeds, 6000, stranger_rate=hour, stranger_since_s=since_s)
        outcomes, refused, seconds = worst(cases)
        crowded = [outcome.other_clients_refused for outcome in outcomes]
        table.row(
            f"another client at 30 % of the hour, 6,000 requests ({name})",
            "at most 60 429s" + ("; at most 198 of the other's rejected" if since_s else ""),
            f"at most {refused} 429s, {min(crowded)} to {max(crowded)} of the other's rejected "
            f"({seconds:,.0f} s)",
            refused <= 60 and (max(crowded) <= 198 or not since_s),
        )


def restart_rows(table: Table, seeds: int) -> None:
    hour = "restart with the hour full"
    for name, before, requests in (
        ("restart after a burst of 250", predecessor_burst(250, 1.0), 300),
        (f"{hour}, spent evenly over it", predecessor_hour(3600.0), 200),
        (f"{hour}, spent in 20 minutes", predecessor_hour(1200.0), 200),
    ):
        _, refused, seconds = worst(every(seeds, requests, before=before))
        table.row(
            f"{name}, {requests} requests",
            "at most 2 429s",
            f"at most {refused} 429s ({seconds:,.0f} s)",
            refused <= 2,
        )


def interactive_rows(table: Table, seeds: int) -> None:
    waits: list[float] = []
    longer = []

    async def bulk_with_calls(seed: int) -> float:
        runner = OurThrottle(Config())
        server = Server(Judge(), seed)
        draw = random.Random(seed)
        loop = asyncio.get_running_loop()

        async def bulk() -> float:
            start = loop.time()
            with runner.throttle.background():
                await crowd(runner, server, 6000)
            return loop.time() - start

        async def caller() -> None:
            while True:
                await asyncio.sleep(draw.expovariate(1 / 20))
                asked = loop.time()
                async with runner.throttle.acquire() as lease:
                    waits.append(loop.time() - asked)
                    status, headers = await server.send()
                    lease.complete(headers, status)

        calling = asyncio.create_task(caller())
        seconds = await bulk()
        calling.cancel()
        return seconds

    for seed in range(seeds):
        seconds = run_virtual(bulk_with_calls(seed))
        longer.append(seconds / run_case(Case(requests=6000, seed=seed), ours).seconds - 1)
    p99 = statistics.quantiles(waits, n=100)[98]
    table.row(
        "interactive calls (one in 20 s) during a bulk of 6,000, default reserve",
        "p99 wait at most 1 s",
        f"p99 {p99:.3f} s, longest {max(waits):.3f} s of {len(waits):,}; "
        f"the bulk took {statistics.mean(longer):.1%} longer",
        p99 <= 1.0,
    )


def forecast_rows(table: Table, seeds: int) -> None:
    async def one(before: int, requests: int, seed: int) -> tuple[float, float]:
        runner = OurThrottle(NO_RESERVE)
        server = Server(Judge(), seed)
        await crowd(runner, server, before)
        foretold = runner.throttle.forecast(requests).total_seconds()
        return foretold, await crowd(runner, server, requests)

    for name, before, sizes in (
        ("250 just spent", 250, (100, 250, 500, 1000, 2000, 6000)),
        ("idle", 5, (500, 1000, 2000, 6000)),
    ):
        errors = {}
        for requests in sizes:
            runs = [run_virtual(one(before, requests, seed)) for seed in range(seeds)]
            errors[requests] = max(abs(foretold / took - 1) for foretold, took in runs)
        text = ", ".join(f"{n:,}: {error:.2%}" for n, error in errors.items())
        table.row(f"forecast ({name})", "within 1 %", text, max(errors.values()) <= 0.01)
    # Nothing but latency decides here: the floor is how much the runs differ among themselves.
    runs = [run_virtual(one(5, 100, seed)) for seed in range(20)]
    took = [seconds for _, seconds in runs]
    off_s = max(abs(foretold - seconds) for foretold, seconds in runs)
    floor = (max(took) - min(took)) / 2 / statistics.mean(took)
    table.row(
        "forecast (idle, 100 requests: they leave at once)",
        "within 1 %: out of reach",
        f"within {off_s:.2f} s of {statistics.mean(took):.2f} s; "
        f"the runs themselves differ by ±{floor:.0%}",
        None,
    )


async def _grant_cost(waiters: int) -> tuple[float, float]:
    """CPU seconds for each grant, and bytes for each waiter, in a real event loop."""
    throttle = Throttle(Config(windows=((2000, 0.5),), reserve=(0.0,), window_margin_s=0.0))
    for _ in range(2000):
        async with throttle.acquire() as lease:
            lease.complete({})

    async def call() -> None:
        async with throttle.acquire() as lease:
            lease.complete({})

    tracemalloc.start()
    tasks = [asyncio.create_task(call()) for _ in range(waiters)]
    await asyncio.sleep(0)
    size = tracemalloc.get_traced_memory()[0] / waiters
    tracemalloc.stop()
    before, start = throttle.status().granted, time.process_time()
    await asyncio.sleep(1.2)
    cost = (time.process_time() - start) / (throttle.status().granted - before)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await throttle.aclose()
    return cost, size


def cost_rows(table: Table) -> None:
    runs = [asyncio.run(_grant_cost(14_000)) for _ in range(5)]
    cost_s = statistics.median(cost for cost, _ in runs)
    size = statistics.median(size for _, size in runs)
    table.row(
        "grant cost with 10,000 waiting",
        "at most 30 µs of CPU for each grant, 2 KiB for each waiter",
        f"{cost_s * 1e6:.1f} µs, {size:,.0f} B with its task",
        cost_s <= 30e-6 and size <= 2048,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quota", description=__doc__)
    parser.add_argument("--plot", type=Path, help="also draw the comparison as an SVG")
    parser.add_argument("--quick", action="store_true", help="fewer seeds")
    options = parser.parse_args()
    seeds = 2 if options.quick else 10
    print(comparison())
    table = Table()
    alone_rows(table, seeds)
    idle_rows(table, 20)
    stranger_rows(table, seeds)
    restart_rows(table, seeds)
    interactive_rows(table, seeds)
    forecast_rows(table, seeds)
    cost_rows(table)
    print(
        "\nLatency 50 to 400 ms. Another client is another program on the same token. Worst of "
        f"{seeds} seeds under each of three server models; interactive calls and forecasts under "
        "the sliding log only; the rows of 60 requests are means of 20 seeds.\n"
    )
    print("\n".join(table.lines))
    if options.plot is not None:
        draw(options.plot)
    if table.missed:
        raise SystemExit(f"{table.missed} bars missed")


if __name__ == "__main__":
    main()
