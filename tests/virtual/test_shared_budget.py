"""One budget for many processes, in virtual time: full speed, no 429, interactive calls first."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from do_blockstore_async._log.store import LogStoreError, Reply
from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.config import Config
from do_blockstore_async.errors import ClientClosedError, ConfigError, QuotaWaitTooLongError
from do_blockstore_async.events import (
    PeerJoined,
    PeerLost,
    SharedBudgetAway,
    SharedBudgetBack,
    TurnPassed,
)
from tests.support.fleet import Fleet, alone_s, judge_for, now, together_s
from tests.support.fleet_fuzz import fuzz
from tests.support.strict_servers import MODELS, Model
from tests.support.throttle_traffic import judge, scaled
from tests.support.virtual_time import run_virtual, virtual
from tests.support.web_services import until

DEFAULT = Config(reserve=(0.0, 0.0))


@pytest.mark.parametrize("every_s", [0.0, 20.0])
@pytest.mark.parametrize("processes", [2, 8])
@pytest.mark.parametrize("model", MODELS)
def test_a_fleet_is_as_fast_as_one_throttle_and_meets_no_429(
    model: Model, processes: int, every_s: float
) -> None:
    fleet: Fleet | None = None

    async def together() -> float:
        nonlocal fleet
        fleet = Fleet(DEFAULT, judge_for(DEFAULT, model), seed=processes)
        return await together_s(fleet, 1_000, processes, every_s)

    alone = run_virtual(alone_s(DEFAULT, 1_000, model, every_s, processes))
    took_s = run_virtual(together())
    assert fleet is not None
    assert fleet.refused == 0
    assert took_s <= 1.01 * alone


@virtual
async def test_an_interactive_call_waits_for_no_bulk_job_of_another_process() -> None:
    fleet = Fleet(Config(), judge_for(Config(), "sliding"))
    web, *workers = [fleet.process() for _ in range(4)]
    for worker in workers:
        worker.start(400, background=True)
    await asyncio.sleep(3.0)
    draw = random.Random(1)
    for _ in range(60):
        await asyncio.sleep(draw.expovariate(1 / 5))
        await web.call()
    waits = sorted(waited for is_bulk, waited in web.waits if not is_bulk)
    assert waits[int(len(waits) * 0.99)] < 0.1
    assert fleet.refused == 0
    await fleet.finish()


@virtual
async def test_equal_bulk_jobs_end_together_and_weights_count() -> None:
    fleet = Fleet(Config(), judge_for(Config(), "sliding"))
    for _ in range(4):
        fleet.process().start(250, background=True)
    await fleet.finish()
    ends = [process.ended_at for process in fleet.processes]
    assert max(ends) <= 1.02 * min(ends)

    fleet = Fleet(scaled(), judge())
    heavy, light = fleet.process(), fleet.process()
    with heavy.throttle.background("job", 3.0):
        heavy_calls = [asyncio.ensure_future(heavy.call()) for _ in range(300)]
    with light.throttle.background("job", 1.0):
        light_calls = [asyncio.ensure_future(light.call()) for _ in range(300)]
    await asyncio.sleep(150)
    assert heavy.done / light.done == pytest.approx(3, rel=0.15)
    for call in (*heavy_calls, *light_calls):
        call.cancel()
    await asyncio.gather(*heavy_calls, *light_calls, return_exceptions=True)
    await fleet.aclose()


@pytest.mark.parametrize(("requests", "within"), [(400, 0.05), (1_000, 0.01), (2_000, 0.01)])
@virtual
async def test_the_forecast_counts_what_waits_everywhere(requests: int, within: float) -> None:
    fleet = Fleet(DEFAULT, judge_for(DEFAULT, "sliding"))
    for _ in range(4):
        fleet.process()
    # One request fewer, which is the one that is asked about.
    for process, count in zip(
        fleet.processes, [requests // 4] * 3 + [requests // 4 - 1], strict=True
    ):
        process.start(count)
    await asyncio.sleep(2.0)
    foretold = [now() + p.throttle.forecast(1).total_seconds() for p in fleet.processes]
    await fleet.processes[-1].call()
    await fleet.finish()
    end = max(process.ended_at for process in fleet.processes)
    for at in foretold:
        assert at == pytest.approx(end, rel=within)


@virtual
async def test_a_deadline_counts_what_waits_in_other_processes() -> None:
    fleet = Fleet(scaled(), judge())
    busy, late = fleet.process(), fleet.process()
    await late.call()
    busy.start(60)
    await asyncio.sleep(3.0)
    with pytest.raises(QuotaWaitTooLongError) as error:
        await late.call(timeout=4.0)
    assert error.value.retry_after is not None
    assert 8 < error.value.retry_after < 14, "35 more are before it, 25 in 6 s"
    await fleet.finish()


@virtual
async def test_the_status_shows_every_process() -> None:
    fleet = Fleet(scaled(), judge())
    one, other = fleet.process(), fleet.process()
    one.start(40)
    other.start(10, background=True)
    await asyncio.sleep(3.0)
    status = one.throttle.status()
    assert [(process.name, process.is_this) for process in status.processes] == [
        ("p0", True),
        ("p1", False),
    ]
    assert status.processes[0].waiting == one.throttle.status().waiting > 0
    assert status.processes[1].waiting_background == 10
    assert status.granted == 25
    assert status.used[0] == 25
    assert status.store_away_s == 0
    assert [event for event in one.events if isinstance(event, PeerJoined)] == [PeerJoined("p1")]
    await fleet.finish()


@pytest.mark.parametrize("seed", range(3))
@virtual
async def test_whoever_is_killed_holds_nobody_up_for_long(seed: int) -> None:
    fleet = Fleet(Config(), judge_for(Config(), "sliding"), seed=seed)
    victim, *others = [fleet.process() for _ in range(3)]
    for process in (victim, *others):
        process.start(100)
    await asyncio.sleep(2.0)
    await victim.kill()
    for process in others:
        await process.finish()
    assert fleet.refused == 0
    assert max(process.ended_at for process in others) < 75, "250 at once, the rest after a minute"
    await asyncio.sleep(20)
    assert PeerLost("p0") in others[0].events
    await fleet.aclose()


@virtual
async def test_whoever_does_not_take_its_turn_is_passed_over() -> None:
    fleet = Fleet(scaled(), judge())
    stopped, going = fleet.process(), fleet.process()
    stopped.start(30)
    await asyncio.sleep(2.0)
    stopped.way.stopped_until = now() + 12.0
    going.start(20, background=True)
    await asyncio.sleep(10.0)
    assert going.done >= 10, "although interactive requests wait in the stopped one"
    assert TurnPassed("p0") in going.events
    assert fleet.refused == 0
    await fleet.finish()


@virtual
async def test_one_that_is_cut_off_spends_its_share_and_the_others_go_on() -> None:
    fleet = Fleet(Config(), judge_for(Config(), "sliding"))
    cut, *others = [fleet.process() for _ in range(4)]
    for process in fleet.processes:
        process.start(350)
    await asyncio.sleep(5.0)
    before, at = cut.done, now()
    cut.way.is_away = True
    await asyncio.sleep(70)
    assert cut.done - before <= 5, "nothing but what was in flight, until the others keep a share"
    await asyncio.sleep(230)
    # Half of the budget is shared out for outages: an eighth of it is this one's, for 94 s.
    assert 40 <= cut.done - before <= 2 * 31 + 5
    assert cut.throttle.status().store_away_s == pytest.approx(now() - at, abs=5)
    cut.way.is_away = False
    await fleet.finish()
    assert fleet.refused == 0
    kinds = [type(event) for event in cut.events]
    assert kinds.count(SharedBudgetAway) == kinds.count(SharedBudgetBack) == 1
    assert all(process.ended_at < 520 for process in others)


@virtual
async def test_deadlines_hold_while_the_store_stands_still() -> None:
    fleet = Fleet(Config(), judge_for(Config(), "sliding"))
    process = fleet.process()
    await process.call()
    process.way.stopped_until = now() + 5.0

    async def failed_after_s(timeout: float) -> float:
        asked = now()
        with pytest.raises(QuotaWaitTooLongError):
            await process.call(timeout=timeout)
        return now() - asked

    first = asyncio.create_task(failed_after_s(2.0))
    await asyncio.sleep(0.5)
    assert await failed_after_s(0.3) == pytest.approx(0.3, abs=0.01), (
        "one that came while a claim was asked"
    )
    assert await first == pytest.approx(2.0, abs=0.01)
    await process.call()
    assert (process.done, fleet.refused) == (2, 0)


@virtual
async def test_when_all_are_cut_off_all_spend_their_shares() -> None:
    fleet = Fleet(Config(), judge_for(Config(), "sliding"))
    for _ in range(3):
        fleet.process().start(300)
    await asyncio.sleep(5.0)
    before = [process.done for process in fleet.processes]
    for process in fleet.processes:
        process.way.is_away = True
    await asyncio.sleep(300)
    for process, done in zip(fleet.processes, before, strict=True):
        assert process.done > done + 30
        process.way.is_away = False
    await fleet.finish()
    assert fleet.refused == 0


@virtual
async def test_on_one_machine_nothing_is_granted_without_the_store() -> None:
    fleet = Fleet(scaled(), judge(), grace_s=0.0)
    one, other = fleet.process(), fleet.process()
    one.start(30)
    other.start(30)
    await asyncio.sleep(1.0)
    for process in fleet.processes:
        process.way.is_away = True
    await asyncio.sleep(1.0)
    done = one.done + other.done
    await asyncio.sleep(300)
    assert one.done + other.done == done
    for process in fleet.processes:
        process.way.is_away = False
    await fleet.finish()
    assert fleet.refused == 0


@pytest.mark.parametrize("loss", ["emptied", "set back", "emptied, its clock set"])
@virtual
async def test_a_store_that_loses_its_log_is_given_it_back(loss: str) -> None:
    fleet = Fleet(Config(), judge_for(Config(), "sliding"))
    for _ in range(3):
        fleet.process().start(200)
    await asyncio.sleep(8.0)
    if loss == "set back":
        fleet.set_back(fleet.log.last - 30)
    else:
        fleet.clock_step_s = 4000.0 if "clock" in loss else 0.0
        fleet.empty_log()
    await fleet.finish()
    assert fleet.refused == 0
    # 600 take three minutes; granting pauses for 1.5 s, so that all can say what they did.
    assert max(process.ended_at for process in fleet.processes) < 130


@virtual
async def test_a_long_log_has_checkpoints_and_newcomers_read_little() -> None:
    fleet = Fleet(scaled(), judge())
    one, other = fleet.process(), fleet.process()
    one.start(1_200)
    other.start(1_200)
    await fleet.processes[0].finish()
    assert fleet.log.facts[0].position > 100, "what lies before the last checkpoint but one is gone"
    newcomer = fleet.process()
    await newcomer.call()
    await asyncio.sleep(6)
    granted = [process.throttle.status().granted for process in fleet.processes]
    assert granted == [2_401] * 3
    assert fleet.refused == 0
    await fleet.finish()


@virtual
async def test_checkpoints_are_written_at_full_load_and_are_true() -> None:
    roomy = Config(windows=((10**5, 60.0), (10**6, 3600.0)), burst=10**5, reserve=(0.0, 0.0))
    fleet = Fleet(roomy, judge_for(roomy, "sliding"))
    busy = fleet.process()

    async def caller() -> None:
        for _ in range(100):
            await busy.call()

    await asyncio.gather(*(caller() for _ in range(64)))
    # Busy all the time, and never a moment at which it wrote nothing.
    log = fleet.log
    assert len(log.facts) < 3 * 2_100, "the old ones are dropped"
    await asyncio.sleep(1)
    newcomer = fleet.process()
    await newcomer.call()
    await asyncio.sleep(1)
    # What stood between two writes is in the state, or behind it, but not lost.
    assert newcomer.throttle.status().in_flight == 0
    assert newcomer.throttle.status().granted == 6_401
    await fleet.finish()


@virtual
async def test_other_settings_are_refused_while_others_run_and_adopted_later() -> None:
    fleet = Fleet(scaled(), judge())
    first = fleet.process()
    await first.call()
    fleet.config = scaled(burst=7)
    other = fleet.process()
    with pytest.raises(ConfigError, match=r"\(p0\) with burst 7 here and 60 there"):
        await other.call()
    await first.aclose()
    later = fleet.process()
    await later.call()
    status = later.throttle.status()
    assert status.used == (2, 2), "what was spent with the former settings stays spent"
    await later.aclose()


@virtual
async def test_a_stale_lease_is_known() -> None:
    fleet = Fleet(scaled(), judge())
    process = fleet.process()
    async with process.throttle.acquire() as lease:
        assert not process.budget.is_stale(lease)
        await asyncio.sleep(10.5)
        assert process.budget.is_stale(lease)
        lease.cancel()
    assert process.budget.is_stale(lease)
    await asyncio.sleep(1)
    assert process.throttle.status().unused == 1
    await fleet.aclose()


@virtual
async def test_two_clients_of_one_process_share_like_two_processes() -> None:
    fleet = Fleet(scaled(), judge())
    one, other = fleet.process(), fleet.process()
    await asyncio.gather(*(process.call() for process in (one, other) for _ in range(40)))
    assert fleet.refused == 0
    await fleet.aclose()


@virtual
async def test_a_reservation_is_kept_in_every_process() -> None:
    fleet = Fleet(scaled(), judge())
    web, worker = fleet.process(), fleet.process()
    await asyncio.gather(web.call(), worker.call())
    web.throttle.reserve_at(4.0)
    await asyncio.sleep(1.5)
    ledgers = [process.budget.ledger for process in (web, worker)]
    assert [len(ledger.reservations) for ledger in ledgers] == [1, 1]
    await fleet.aclose()


@virtual
async def test_closing_fails_what_waits_and_frees_the_others() -> None:
    fleet = Fleet(scaled(), judge())
    one, other = fleet.process(), fleet.process()
    one.start(60)
    await asyncio.sleep(2.0)
    await one.aclose()
    results = await asyncio.gather(*one.tasks, return_exceptions=True)
    assert "ClientClosedError" in repr(results)
    await asyncio.sleep(1.0)
    await other.call(timeout=8.0)
    assert len(other.throttle.status().processes) == 1
    await fleet.aclose()


def test_a_throttle_alone_has_no_token_to_share_by() -> None:
    with pytest.raises(ConfigError, match=r"store\.throttle"):
        Throttle(Config(budget="machine"))


@pytest.mark.parametrize("seed", range(50))
def test_random_fleets(seed: int) -> None:
    assert fuzz(seed) == []


# Outages at awkward moments; in each of these requests were once sent that nobody counted.


async def abandon(fleet: Fleet) -> None:
    """End a fleet with requests that still wait."""
    for process in fleet.processes:
        for task in process.tasks:
            task.cancel()
        await asyncio.gather(*process.tasks, return_exceptions=True)
        process.way.is_away, process.way.lost_share = False, 0.0
    await fleet.aclose()


@virtual
async def test_what_is_written_without_a_reply_delays_the_share() -> None:
    fleet = Fleet(DEFAULT, judge_for(DEFAULT, "sliding"))
    unheard, other = fleet.process(), fleet.process()
    await unheard.call()
    await other.call()
    await asyncio.sleep(11)
    unheard.start(2_000)
    other.start(2_000)
    await asyncio.sleep(3)
    unheard.way.lost_share = 1.0
    before = unheard.sent
    await asyncio.sleep(170)
    assert unheard.sent > before
    assert fleet.refused == 0
    await abandon(fleet)


@virtual
async def test_a_share_that_shrank_unheard_is_kept_as_it_was() -> None:
    fleet = Fleet(DEFAULT, judge_for(DEFAULT, "sliding"))
    first = fleet.process()
    await first.call()
    await asyncio.sleep(81)
    second = fleet.process()
    await second.call()
    first.way.lost_share = 1.0
    await until(lambda: first.budget._session.away_since is not None)
    first.way.is_away = True
    first.start(2_000)
    second.start(3_000)
    await asyncio.sleep(170)
    assert first.sent > 100
    assert fleet.refused == 0
    await abandon(fleet)


@virtual
async def test_a_share_ends_once_the_others_may_have_read_of_the_return() -> None:
    fleet = Fleet(DEFAULT, judge_for(DEFAULT, "sliding"))
    cut, other = fleet.process(), fleet.process()
    await cut.call()
    await other.call()
    await asyncio.sleep(70)
    cut.way.is_away = True
    cut.start(2_000)
    await asyncio.sleep(5)
    other.start(4_000)
    await asyncio.sleep(95)
    before = cut.sent
    # The store is there for one look and one write, whose reply is lost.
    exchange = cut.way.exchange

    async def without_reply(after: int, facts: Any = (), **options: Any) -> Reply:
        reply = await exchange(after, facts, **options)
        if facts:
            cut.way.is_away = True
            raise LogStoreError("the reply was lost")
        return reply

    cut.way.exchange = without_reply  # type: ignore[method-assign]
    cut.way.is_away = False
    await asyncio.sleep(70)
    assert before > 1
    assert cut.sent == before
    assert fleet.refused == 0
    await abandon(fleet)


@virtual
async def test_a_lost_log_is_given_back_although_the_store_fails_meanwhile() -> None:
    fleet = Fleet(DEFAULT, judge_for(DEFAULT, "sliding"))
    first = fleet.process()
    first.start(240)
    await asyncio.sleep(12)
    fleet.empty_log()
    exchange, broken = first.way.exchange, [True]

    async def once_broken(after: int, facts: Any = (), **options: Any) -> Reply:
        if facts and options.get("only_if") is not None and broken:
            broken.clear()
            raise LogStoreError("broken")
        return await exchange(after, facts, **options)

    first.way.exchange = once_broken  # type: ignore[method-assign]
    await asyncio.sleep(8)
    assert not broken
    second = fleet.process()
    second.start(240)
    await asyncio.sleep(25)
    assert first.budget._session.writer in second.budget._session.replica.peers
    assert second.sent <= 10, "the first has used 240 of 250"
    assert fleet.refused == 0
    await abandon(fleet)


@virtual
async def test_a_fact_of_another_version_ends_the_granting_in_words() -> None:
    fleet = Fleet(scaled(), judge())
    process = fleet.process()
    await process.call()
    process.start(200)
    await asyncio.sleep(2)
    fleet.log.exchange(0, [b"\x93\xa6grant2\xa1x\x01"], None, 0)
    await asyncio.sleep(10)
    sent = process.sent
    (error,) = await asyncio.gather(*process.tasks, return_exceptions=True)
    assert isinstance(error, ConfigError)
    frames = []
    for _ in range(20):
        with pytest.raises(ConfigError, match="use one version") as caught:
            await process.call()
        frames.append(len(caught.traceback))
    assert process.sent == sent
    assert len(set(frames)) == 1, "nothing grows with the callers"
    await process.aclose()


@virtual
async def test_closing_while_opening_ends_both() -> None:
    fleet = Fleet(scaled(), judge(), round_trip_s=100.0)
    process = fleet.process()
    opening = asyncio.ensure_future(process.budget.aopen())
    await asyncio.sleep(1)
    await process.aclose()
    with pytest.raises(ClientClosedError):
        await opening
    with pytest.raises(ClientClosedError):
        await process.budget.aopen()
