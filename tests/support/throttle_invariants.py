"""The invariants I1 to I11 of the token's budget, each as a function that raises when it fails.

They are functions of plain values, so that Hypothesis can draw the values and the mutants' test
can show, with values that are known to matter, that each of them catches what it should.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.errors import QuotaWaitTooLongError
from tests.support.strict_servers import Model
from tests.support.throttle_traffic import (
    GUARD_S,
    LINGER_S,
    LONG,
    SHORT,
    Traffic,
    judge,
    now,
    scaled,
    watched,
)
from tests.support.virtual_time import run_virtual

NOTHING_LEFT = {"ratelimit-limit": "100", "ratelimit-remaining": "0"}


def i1_no_refusal(
    seed: int, requests: int, model: Model, lost_share: float, spread_s: float, phase_s: float = 0.0
) -> None:
    """I1: alone on the token, whatever is lost and late, no server model refuses anything."""

    async def main() -> None:
        server = judge(model, phase_s)
        traffic = Traffic(Throttle(scaled()), server, seed, lost_share)
        draw = random.Random(seed)
        async with asyncio.TaskGroup() as group:
            for _ in range(requests):
                group.create_task(traffic.call(draw.uniform(0.0, spread_s)))
        await traffic.settle()
        assert server.refused["us"] == 0, f"I1: {server.refusals}"
        assert server.accepted["us"] == traffic.sent, "I12: leases are not requests on the wire"

    run_virtual(main())


def i2_all_slots_come_free(seed: int, requests: int, lost_share: float) -> None:
    """I2: granted = done + lost + unused, and in the end nothing is held."""

    async def main() -> None:
        throttle = Throttle(scaled())
        traffic = Traffic(throttle, judge(), seed, lost_share)
        await asyncio.gather(*(traffic.call() for _ in range(requests)))
        status = throttle.status()
        assert status.in_flight == 0, "I2: something is in flight for ever"
        assert status.granted == status.done + status.lost + status.unused == requests, "I2"
        assert traffic.sent == status.done + status.lost, "I12"
        await asyncio.sleep(LONG[1] + GUARD_S + LINGER_S + 0.001)
        assert throttle.status().used == (0, 0), "I2: a slot never came free"

    run_virtual(main())


def i3_no_stall(seed: int, requests: int, cancelled_share: float) -> None:
    """I3: whoever is not cancelled is served, whenever the others are cancelled."""

    async def main() -> None:
        throttle = Throttle(scaled())
        traffic = Traffic(throttle, judge(), seed, 0.1)
        draw = random.Random(seed)

        async def call() -> None:
            if draw.random() < 0.3:
                with throttle.background():
                    await traffic.call(draw.uniform(0.0, 3.0))
            else:
                await traffic.call(draw.uniform(0.0, 3.0))

        tasks = [asyncio.create_task(call()) for _ in range(requests)]
        doomed = [task for task in tasks if draw.random() < cancelled_share]
        loop = asyncio.get_running_loop()
        for task in doomed:
            # Often at the very times at which leases are granted.
            at = draw.choice([draw.uniform(0.0, 30.0), SHORT[1] + GUARD_S + draw.uniform(0, 0.4)])
            loop.call_at(at, task.cancel)
        async with asyncio.timeout(3600):
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            assert task.done()
            assert task in doomed or task.exception() is None, "I3"
        status = throttle.status()
        assert status.waiting == status.in_flight == 0, "I3: somebody waits for ever"
        assert status.granted == status.done + status.lost + status.unused, "I2"

    run_virtual(main())


def i4_and_i5_classes(seed: int, bulk: int, calls: int, reserve: tuple[float, float]) -> None:
    """I4: bulk never passes a waiting interactive call. I5: bulk never enters the reserve."""

    async def main() -> None:
        throttle, ledger = watched(scaled(reserve=reserve))
        traffic = Traffic(throttle, judge(), seed, 0.0)
        draw = random.Random(seed)
        with throttle.background():
            tasks = [asyncio.create_task(traffic.call()) for _ in range(bulk)]
        tasks += [asyncio.create_task(traffic.call(draw.uniform(0.0, 20.0))) for _ in range(calls)]
        await asyncio.gather(*tasks)
        for grant in ledger.grants:
            room = min(grant["room"])
            assert room >= 0 or not grant["background"], f"I5: bulk took the reserve: {grant}"
        interactive = [(asked, granted) for bulk, asked, granted in traffic.log if not bulk]
        for served in (granted for background, _, granted in traffic.log if background):
            # Within a millisecond the order of the log is that of waking up, not of granting.
            passed = [a for a, g in interactive if a < served - 1e-3 and g > served + 1e-3]
            assert not passed, f"I4: bulk at {served} passed calls that waited since {passed}"

    run_virtual(main())


def i6_fair_shares(weights: Sequence[float], requests: int, cancelled: int) -> None:
    """I6: while two jobs wait, service divided by weight differs by at most one request."""

    async def main() -> None:
        throttle = Throttle(scaled())
        served: list[int] = []
        left = [requests] * len(weights)

        async def call(job: int) -> None:
            async with throttle.acquire() as lease:
                served.append(job)
                await asyncio.sleep(0.05)
                lease.complete({})

        for _ in range(SHORT[0]):
            async with throttle.acquire() as lease:
                lease.complete({})
        tasks = []
        for job, weight in enumerate(weights):
            with throttle.background(f"job {job}", weight):
                tasks += [asyncio.create_task(call(job)) for _ in range(requests)]
        await asyncio.sleep(0)
        for task in tasks[:cancelled]:
            task.cancel()
            left[0] -= 1
        await asyncio.gather(*tasks, return_exceptions=True)
        counts = [0] * len(weights)
        for job in served:
            counts[job] += 1
            still = [
                index for index, count in enumerate(counts) if count < left[index] or index == job
            ]
            shares = [counts[index] / weights[index] for index in still]
            allowed = max(1 / weights[index] for index in still)
            assert max(shares) - min(shares) <= allowed + 1e-9, f"I6: {counts} for {weights}"
            if any(counts[index] >= left[index] for index in range(len(weights))):
                break

    run_virtual(main())


def i7_deadlines(seed: int, requests: int, latency_s: float) -> None:
    """I7: granted by the deadline, or refused at once with the time at which it could be served."""

    async def main() -> None:
        throttle = Throttle(scaled())
        late: list[float] = []
        draw = random.Random(seed)

        async def call(timeout: float | None) -> None:
            asked = now()
            refusal: QuotaWaitTooLongError | None = None
            try:
                async with throttle.acquire(timeout=timeout) as lease:
                    granted = now()
                    await asyncio.sleep(latency_s)
                    lease.complete({})
            except QuotaWaitTooLongError as error:
                granted, refusal = now(), error
            if timeout is None:
                assert refusal is None
                return
            waited = granted - asked
            assert waited <= timeout + 1e-3, f"I7: {waited} s of {timeout} s"
            if refusal is not None and waited < 1e-3:
                assert refusal.retry_after > timeout, "I7: it would have been served in time"
            elif refusal is not None:
                # A wait is foreseen to a hundredth and one latency: a refusal may come late only
                # where the slot came that little after the deadline.
                near = 0.01 * timeout + latency_s
                assert refusal.retry_after < near, f"I7: refused after {waited} s of {timeout} s"
                late.append(waited)

        await call(None)
        async with asyncio.TaskGroup() as group:
            for _ in range(requests):
                group.create_task(call(draw.choice([None, draw.uniform(0.0, 40.0)])))
        assert len(late) <= 1 + requests / 20, f"I7: {len(late)} refused late, not at once"

    run_virtual(main())


def i8_forecast(seed: int, before: int, requests: int, background: bool) -> None:
    """I8: the forecast is right, to one in a hundred and two latencies."""

    async def main() -> None:
        throttle = Throttle(scaled(reserve=(0.2, 0.1)))
        traffic = Traffic(throttle, judge(), seed, 0.0, unused_share=0.0, latency_s=(0.05, 0.1))
        await asyncio.gather(*(traffic.call() for _ in range(before)))
        foretold = throttle.forecast(requests, background=background).total_seconds()
        start = now()
        if background:
            with throttle.background():
                await asyncio.gather(*(traffic.call() for _ in range(requests)))
        else:
            await asyncio.gather(*(traffic.call() for _ in range(requests)))
        took = now() - start
        assert abs(foretold - took) <= 0.01 * took + 0.2, f"I8: {foretold} foretold, took {took}"

    run_virtual(main())


def i9_silence(seed: int, requests: int, refuse_at: int, retry_after_s: int) -> None:
    """I9: after a burst 429 nothing is sent until its retry-after is over."""

    async def main() -> None:
        throttle, ledger = watched(scaled())
        draw = random.Random(seed)
        answered = 0
        pauses: list[tuple[float, float]] = []

        async def call() -> None:
            nonlocal answered
            await asyncio.sleep(draw.uniform(0.0, 4.0))
            async with throttle.acquire() as lease:
                await asyncio.sleep(draw.uniform(0.05, 0.4))
                answered += 1
                if answered == refuse_at:
                    headers = NOTHING_LEFT | {"retry-after": str(retry_after_s)}
                    lease.complete(headers, 429)
                    pauses.append((now(), now() + retry_after_s))
                else:
                    lease.complete({})

        await asyncio.gather(*(call() for _ in range(requests)))
        for start, end in pauses:
            during = [g["at"] for g in ledger.grants if start < g["at"] < end - 1e-6]
            assert not during, f"I9: sent at {during} between {start} and {end}"

    run_virtual(main())


def i10_one_probe(seed: int, requests: int, dry_s: float) -> None:
    """I10: after an hourly 429 at most one request is in flight until one is let through."""

    async def main() -> None:
        throttle, ledger = watched(scaled())
        draw = random.Random(seed)
        dry_from = draw.uniform(0.5, 3.0)

        async def call() -> None:
            await asyncio.sleep(draw.uniform(0.0, 4.0))
            while True:
                async with throttle.acquire() as lease:
                    await asyncio.sleep(draw.uniform(0.05, 0.4))
                    dry = dry_from < now() < dry_from + dry_s
                    lease.complete(NOTHING_LEFT if dry else {}, 429 if dry else 200)
                if not dry:
                    return

        async with asyncio.timeout(3600):
            await asyncio.gather(*(call() for _ in range(requests)))
        for grant in ledger.grants:
            assert not grant["probing"] or grant["in_flight"] == 1, f"I10: {grant}"

    run_virtual(main())


def i11_hour_untouched(seed: int, answers: int) -> None:
    """I11: a burst 429, with its `remaining: 0`, leaves the hour's state alone."""

    async def main() -> None:
        throttle, ledger = watched(scaled())
        server = judge()
        draw = random.Random(seed)
        for _ in range(answers):
            async with throttle.acquire() as lease:
                await asyncio.sleep(draw.uniform(0.05, 0.4))
                status, headers = server.ask(now())
                lease.complete(headers, status)
        others, held = ledger.others, ledger.in_flight + ledger.longest.closed(now())
        before = (
            others.remaining(now(), held),
            others.used,
            ledger.longest.limit,
            others.announced,
        )
        async with throttle.acquire() as lease:
            lease.complete(NOTHING_LEFT | {"retry-after": "3"}, 429)
        throttle._refused("burst", 3.0)
        after = (others.remaining(now(), held), others.used, ledger.longest.limit, others.announced)
        assert before == after, f"I11: {before} became {after}"
        assert not ledger.gate.probing, "I11"

    run_virtual(main())
