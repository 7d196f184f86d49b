"""Tokens that are replaced while the client runs, and several accounts."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from do_blockstore_async import (
    Accounts,
    AuthenticationError,
    BlockStore,
    ClientClosedError,
    Config,
    ConfigError,
    InvalidArgumentError,
    NotFoundError,
    Simulator,
    bulk,
)
from do_blockstore_async._http.credentials import Credentials

SECOND = "dop_v1_second" + "b" * 40
THIRD = "dop_v1_third0" + "c" * 40


class Vault:
    """Where tokens come from; counts how often it is asked."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = [*tokens]
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


@pytest.fixture
async def simulator() -> Simulator:
    return Simulator(volumes=30, seed=3, limits="none", action_s=(0.0, 0.0))


async def test_after_a_401_the_source_is_asked_once_and_every_call_succeeds(
    simulator: Simulator,
) -> None:
    async with simulator as sim:
        vault = Vault(sim.token, SECOND)
        async with BlockStore(vault, base_url=sim.url) as store:
            volumes = await store.volumes.list()
            assert vault.asked == 1
            sim.world.add_token(SECOND)
            sim.world.revoke_token(sim.token)
            found = await asyncio.gather(*(store.volumes.get(each) for each in volumes))
            assert found == volumes
            made = await store.volumes.create("new", region="nyc3", size_gigabytes=1)
            assert vault.asked == 2, "one question for thirty calls"
            assert made.name == "new"
            assert [v.name for v in sim.world.volumes.values()].count("new") == 1
    assert Counter(request.status for request in sim.requests)[401] <= 30


async def test_a_write_that_met_a_401_is_sent_once_more(simulator: Simulator) -> None:
    async with simulator as sim:
        async with BlockStore(Vault(sim.token, SECOND), base_url=sim.url) as store:
            await store.regions.list()
            sim.world.add_token(SECOND)
            sim.world.revoke_token(sim.token)
            await store.volumes.create("once", region="nyc3", size_gigabytes=1)
        assert [v.name for v in sim.world.volumes.values()].count("once") == 1


@pytest.mark.parametrize("kind", ["same", "fails", "malformed", "late"])
async def test_a_source_that_has_no_other_leaves_the_401(simulator: Simulator, kind: str) -> None:
    asked = 0

    async def source() -> str:
        nonlocal asked
        asked += 1
        if asked == 1 or kind == "same":
            return sim.token
        if kind == "fails":
            raise OSError("vault is sealed")
        if kind == "late":
            await asyncio.sleep(60)
        return "with blanks in it"

    async with simulator as sim, BlockStore(source, base_url=sim.url) as store:
        await store.regions.list()
        sim.world.revoke_token(sim.token)
        with pytest.raises(AuthenticationError) as error:
            await store.regions.list(timeout=0.3)
        assert asked == 2
        notes = "".join(getattr(error.value, "__notes__", ()))
        expected = {"fails": "OSError", "malformed": "white space", "late": "in time", "same": ""}
        assert expected[kind] in notes
        shown = "".join(traceback.format_exception(error.value))
        assert sim.token not in shown
        with pytest.raises(AuthenticationError):
            await store.regions.list(timeout=0.3)
        # One that is still at it goes on, for whoever comes next.
        assert asked == (2 if kind == "late" else 3), "asked again by the next call, once"


async def test_a_plain_function_will_do_and_a_broken_one_says_so(simulator: Simulator) -> None:
    async with simulator as sim:
        async with BlockStore(lambda: sim.token, base_url=sim.url) as store:
            assert len(await store.volumes.list()) == 30
            assert sim.token not in repr(store)

        def broken() -> str:
            raise OSError("vault is sealed")

        client = BlockStore(broken, base_url=sim.url)
        with pytest.raises(ConfigError, match="OSError"):
            await client.__aenter__()
        with pytest.raises(ConfigError, match="no token"):
            async with BlockStore(lambda: "", base_url=sim.url):
                pass


async def test_a_token_that_is_replaced_needs_a_name_for_a_shared_budget(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="budget_name"):
        BlockStore(lambda: "x", config=Config(budget="machine"))
    config = Config(budget="machine", budget_name="shop")
    async with (
        simulator as sim,
        BlockStore(lambda: sim.token, base_url=sim.url, config=config) as one,
        BlockStore(lambda: sim.token, base_url=sim.url, config=config) as two,
    ):
        await one.regions.list()
        await two.regions.list()
        assert len(two.quota.processes) == 2


async def test_every_account_has_a_client_and_a_budget_of_its_own() -> None:
    first = Simulator(volumes=5, seed=1, limits="none")
    second = Simulator(volumes=7, seed=2, limits="none")
    async with first, second:
        clients = {
            "shop": BlockStore(first.token, base_url=first.url),
            "blog": BlockStore(second.token, base_url=second.url),
            "gone": BlockStore(THIRD, base_url=second.url),
        }
        async with Accounts(clients) as accounts:
            assert (len(accounts), list(accounts), "blog" in accounts) == (3, [*clients], True)
            found = await accounts.gather(lambda store: store.volumes.list())
            assert list(found) == ["shop", "blog", "gone"]
            assert len(found["shop"].unwrap()) == 5
            assert len(found["blog"].unwrap()) == 7
            with pytest.raises(AuthenticationError):
                found["gone"].unwrap()
            assert accounts["shop"].quota.windows[0].used == 1
            seen = {
                outcome.account: outcome.error
                async for outcome in accounts.map(lambda store: store.volumes.get("0"))
            }
            assert isinstance(seen["shop"], NotFoundError)
            items = accounts.items_of(lambda store: store.volumes.list())
            listed: Counter[str] = Counter()

            async def count() -> None:
                async for account, _ in items:
                    listed[account] += 1

            with pytest.raises(AuthenticationError) as error:
                await count()
            assert listed == {"shop": 5, "blog": 7}
            assert error.value.__notes__ == ["of account 'gone'"]
            with pytest.raises(KeyError, match="there are shop, blog, gone"):
                accounts["nobody"]
            with pytest.raises(InvalidArgumentError):
                await accounts.gather(lambda store: store.volumes.list(), concurrency=0)
        with pytest.raises(ClientClosedError):
            await accounts["shop"].volumes.list()


async def test_accounts_that_cannot_be_opened_leave_none_open() -> None:
    async with Simulator(volumes=1) as sim:
        clients = [BlockStore(sim.token, base_url=sim.url) for _ in range(2)]
        accounts = Accounts({"a": clients[0], "b": BlockStore(lambda: "", base_url=sim.url)})
        with pytest.raises(ConfigError):
            await accounts.__aenter__()
        assert repr(clients[0]).endswith("closed>")
        with pytest.raises(ClientClosedError, match="open the accounts first"):
            accounts.map(lambda store: store.volumes.list())
    mistakes: list[Any] = [{}, [], {"": "x"}, {1: "x"}, "token"]
    for wrong in mistakes:
        with pytest.raises(ConfigError):
            Accounts(wrong)
    with pytest.raises(ConfigError, match="account 'b'"):
        Accounts({"a": "dop_v1_x", "b": "with blanks in it"})


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_source_that_hangs_holds_up_no_close(simulator: Simulator, stubborn: bool) -> None:
    asked = asyncio.Event()
    released = asyncio.Event()

    async def source() -> str:
        if not sim.requests:
            return sim.token
        asked.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                if not stubborn:
                    raise
        return SECOND

    async with simulator as sim:
        store = await BlockStore(source, base_url=sim.url).__aenter__()
        await store.regions.list()
        sim.world.revoke_token(sim.token)
        call = asyncio.ensure_future(store.volumes.get("0"))
        await asyncio.wait_for(asked.wait(), 5)
        await asyncio.wait_for(store.aclose(), 5)
        with pytest.raises(ClientClosedError):
            await call
        released.set()


async def test_a_source_has_the_time_of_an_attempt(simulator: Simulator) -> None:
    async def source() -> str:
        if sim.requests:
            await asyncio.Event().wait()
        return sim.token

    async def hanging() -> str:
        await asyncio.Event().wait()
        return ""

    config = Config(attempt_timeout_s=0.3)
    async with simulator as sim:
        with pytest.raises(ConfigError, match=r"gave none in 0\.3 s"):
            await asyncio.wait_for(
                BlockStore(hanging, base_url=sim.url, config=config).__aenter__(), 5
            )
        async with BlockStore(source, base_url=sim.url, config=config) as store:
            await store.regions.list()
            sim.world.revoke_token(sim.token)
            with pytest.raises(AuthenticationError) as error:
                await asyncio.wait_for(store.volumes.get("0"), 5)
            assert "gave none in 0.3 s" in "".join(error.value.__notes__)


@pytest.mark.parametrize("fails", [False, True])
async def test_calls_that_met_one_401_share_one_answer_or_failure(fails: bool) -> None:
    asked = 0

    async def source() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if fails and asked > 1:
            raise OSError("vault is sealed")
        return THIRD

    credentials = Credentials(source)
    await credentials.aopen(5)
    loop = asyncio.get_running_loop()
    sent_at = loop.time()
    waiting = [asyncio.create_task(credentials.renew(1, sent_at, 5)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert asked == 2, "one question for fifty"
    assert isinstance(ended[0], asyncio.CancelledError)
    kinds = {type(each) for each in ended[1:]}
    assert kinds == ({ConfigError} if fails else {bool})
    for sent, times in ((sent_at, 2), (loop.time() + 1, 3)):
        answer = asyncio.gather(credentials.renew(1, sent, 5), return_exceptions=True)
        assert (await answer)[0] is False or fails
        assert asked == times, "who sent earlier shares the answer; who comes later asks"


async def test_accounts_share_no_budget(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    config = Config(budget="machine", budget_name="shop")
    async with simulator as sim:
        accounts = Accounts(
            {"a": sim.token, "b": lambda: sim.token}, base_url=sim.url, config=config
        )
        async with accounts:
            await accounts.gather(lambda store: store.volumes.get("0"))
            for store in map(accounts.__getitem__, accounts):
                assert len(store.quota.processes) == 1
                assert store.quota.windows[0].used == 1
            named = attrs.evolve(config, budget_name="shop/a")
            async with BlockStore(sim.token, base_url=sim.url, config=named) as one:
                await one.volumes.list()
                assert len(one.quota.processes) == 2


async def test_accounts_open_and_close_side_by_side() -> None:
    async with Simulator(volumes=1, limits="none") as sim:
        together = asyncio.Barrier(3)

        async def source() -> str:
            await together.wait()
            return sim.token

        accounts = Accounts(dict.fromkeys("abc", source), base_url=sim.url)
        await asyncio.wait_for(accounts.__aenter__(), 5)
        leaving = asyncio.Barrier(3)

        def meeting(number: int) -> Callable[..., Awaitable[None]]:
            async def aclose(**_: object) -> None:
                await leaving.wait()
                await closes[number]()
                if number:
                    raise OSError(number)

            return aclose

        closes = [store.aclose for _, store in accounts.items()]
        for number, (_, store) in enumerate(accounts.items()):
            monkey: Any = store
            monkey.aclose = meeting(number)
        with pytest.raises(ExceptionGroup) as error:
            await asyncio.wait_for(accounts.aclose(grace_s=5), 5)
        assert [each.args for each in error.value.exceptions] == [(1,), (2,)]
        assert all(repr(store).endswith("closed>") for _, store in accounts.items())
        with pytest.raises(InvalidArgumentError):
            await accounts.aclose(grace_s=-1)


async def test_an_operation_that_skips_does_not_look_done() -> None:
    async with (
        Simulator(volumes=1) as sim,
        Accounts({"a": sim.token}, base_url=sim.url) as accounts,
    ):

        async def operation(_: BlockStore) -> None:
            raise bulk.Skip("nothing to do", "idle")

        outcome = (await accounts.gather(operation))["a"]
        assert (outcome.status, outcome.reason, outcome.code) == (
            "skipped",
            "nothing to do",
            "idle",
        )
        with pytest.raises(bulk.Skip, match="nothing to do"):
            outcome.unwrap()
        done = (await accounts.gather(lambda store: store.volumes.list()))["a"]
        assert (done.status, done.error, len(done.unwrap())) == ("done", None, 1)
        failed = (await accounts.gather(lambda store: store.volumes.get("0")))["a"]
        assert failed.status == "failed"
