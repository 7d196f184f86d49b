"""One client for each of several accounts, and operations over all of them.

Each account has a token, a budget and a connection pool of its own: none waits for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextvars import copy_context
from datetime import timedelta
from types import TracebackType
from typing import Generic, Self, TypeVar

import attrs

from .._clock import Clock
from .._deadline import seconds_of
from .._http.credentials import TokenSource
from .._interop.habits import AsyncOnly
from .._lazy import public_in
from ..bulk.concurrency.map import MapRun
from ..bulk.model.outcome import Outcome, Skip, Status
from ..client import BlockStore
from ..config import Config
from ..errors import ClientClosedError, ConfigError

__all__ = ["AccountOutcome", "Accounts"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class AccountOutcome(Generic[T_co]):
    """What became of an operation on one account.

    Attributes:
        account: the name it was given.
        status: `done`; `skipped`: the operation raised `bulk.Skip`; `failed`, with the error;
            `unknown`: it may have taken effect or not.
        value: what the operation returned; None unless it is done.
        error: what it raised; None if it is done or skipped.
        reason: why it is not done, in words.
        code: for `skipped`, the reason in one word, where `Skip` has one.
        duration_s: seconds from its start to its end.
    """

    account: str
    status: Status
    value: T_co | None = None
    error: BaseException | None = None
    reason: str = ""
    code: str = ""
    duration_s: float = 0.0

    def unwrap(self) -> T_co:
        """Return the value, or raise the error; `bulk.Skip` where it was skipped."""
        if self.error is not None:
            raise self.error
        if self.status == "skipped":
            raise Skip(self.reason, self.code)
        return self.value  # type: ignore[return-value] # no error: it is what was returned


public_in("do_blockstore_async", AccountOutcome)


class Accounts(AsyncOnly):
    """One client for each of several accounts.

        async with Accounts({"shop": token, "blog": other_token}) as accounts:
            async for outcome in accounts.map(lambda store: store.volumes.list()):
                print(outcome.account, outcome.error or len(outcome.unwrap()))

    Args:
        tokens: by the account's name; each a token, a function that returns one (see
            `BlockStore`), or a client that is not open yet.
        base_url: of the API.
        config: settings of every client. A `budget_name` is that of a family: each account's budget
            is named `budget_name/account`.

    Raises:
        ConfigError: there is no account, a name is empty, or a token or setting is invalid; a
            token's error names its account.
    """

    def __init__(
        self,
        tokens: Mapping[str, str | TokenSource | BlockStore],
        *,
        base_url: str | None = None,
        config: Config | None = None,
    ) -> None:
        if not isinstance(tokens, Mapping) or not tokens:
            raise ConfigError("give a dict of tokens by account: Accounts({'shop': token, ...})")
        self._clients: dict[str, BlockStore] = {}
        for name, given in tokens.items():
            if not isinstance(name, str) or not name:
                raise ConfigError(f"an account's name must be some text, not {name!r}")
            try:
                self._clients[name] = _client(name, given, base_url, config)
            except ConfigError as error:
                raise ConfigError(f"account {name!r}: {error.message}") from None
        self._is_open = False

    async def __aenter__(self) -> Self:
        opened: list[BlockStore] = []

        async def enter(client: BlockStore) -> None:
            opened.append(await client.__aenter__())

        try:
            async with asyncio.TaskGroup() as group:
                for client in self._clients.values():
                    group.create_task(enter(client))
        except BaseException as error:
            await _close(opened, 0.0)
            if isinstance(error, BaseExceptionGroup):
                # The first is why the others were cancelled.
                raise error.exceptions[0] from None
            raise
        self._is_open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self, *, grace_s: float | timedelta = 0.0) -> None:
        """Close every client, side by side; harmless when repeated.

        Cancelled, it closes them without grace. What closing one of them raises stops no other; it
        is raised at the end, several as an `ExceptionGroup`.

        Args:
            grace_s: seconds or a timedelta that the calls in flight get to finish.
        """
        limit_s = seconds_of(grace_s, "grace_s")
        self._is_open = False
        errors = await _close(self._clients.values(), limit_s)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("closing accounts failed", errors)

    def __getitem__(self, account: str) -> BlockStore:
        """The client of an account."""
        try:
            return self._clients[account]
        except KeyError:
            known = ", ".join(self._clients)
            raise KeyError(f"no account {account!r}; there are {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, account: object) -> bool:
        return account in self._clients

    def items(self) -> list[tuple[str, BlockStore]]:
        """Return each account's name with its client."""
        return [*self._clients.items()]

    def map(
        self, operation: Callable[[BlockStore], Awaitable[T]], *, concurrency: int = 16
    ) -> AsyncIterator[AccountOutcome[T]]:
        """Run an operation on every account, side by side; one account's failure stops no other.

        Leaving the loop early cancels what is in flight.

        Args:
            operation: called with each account's client, such as
                `lambda store: store.volumes.list()`.
            concurrency: accounts in flight at most, 1 or more.

        Returns:
            An async iterator of `AccountOutcome`, in the order in which they end.

        Raises:
            InvalidArgumentError: `concurrency` is not 1 or more.
            ClientClosedError: the accounts are not open.
        """
        self._check_open()

        async def work(account: str) -> T:
            return await operation(self._clients[account])

        run: MapRun[str] = MapRun(
            work,
            [*self._clients],
            concurrency=concurrency,
            per_region=None,
            region_of=lambda _: "",
            context=copy_context(),
            clock=Clock(),
        )
        return _named(run)

    async def gather(
        self, operation: Callable[[BlockStore], Awaitable[T]], *, concurrency: int = 16
    ) -> dict[str, AccountOutcome[T]]:
        """Run an operation on every account and return the outcomes by account, as they were given.

        Args:
            operation: called with each account's client.
            concurrency: accounts in flight at most, 1 or more.

        Raises:
            InvalidArgumentError: `concurrency` is not 1 or more.
            ClientClosedError: the accounts are not open.
        """
        found = {each.account: each async for each in self.map(operation, concurrency=concurrency)}
        return {account: found[account] for account in self._clients}

    async def items_of(
        self, listing: Callable[[BlockStore], AsyncIterable[T]]
    ) -> AsyncIterator[tuple[str, T]]:
        """List something of every account, one account after the other.

            async for account, volume in accounts.items_of(lambda store: store.volumes.list()): ...

        Args:
            listing: returns what to iterate of an account.

        Raises:
            BlockStoreError: of the first account that fails, with a note that names it.
            ClientClosedError: the accounts are not open.
        """
        self._check_open()
        for account, client in self._clients.items():
            try:
                async for item in listing(client):
                    yield account, item
            except Exception as error:
                error.add_note(f"of account {account!r}")
                raise

    def _check_open(self) -> None:
        if not self._is_open:
            raise ClientClosedError("open the accounts first: async with Accounts(...) as accounts")

    def __repr__(self) -> str:
        return f"<Accounts {', '.join(self._clients)}>"


Accounts.__module__ = "do_blockstore_async"


def _client(
    account: str,
    given: str | TokenSource | BlockStore,
    base_url: str | None,
    config: Config | None,
) -> BlockStore:
    if isinstance(given, BlockStore):
        return given
    if isinstance(config, Config) and config.budget_name is not None:
        # One name for all would put every account into one budget.
        config = attrs.evolve(config, budget_name=f"{config.budget_name}/{account}")
    if base_url is None:
        return BlockStore(given, config=config)
    return BlockStore(given, base_url=base_url, config=config)


async def _close(clients: Iterable[BlockStore], grace_s: float) -> list[BaseException]:
    """Close clients side by side and return what that raised."""
    closing = (client.aclose(grace_s=grace_s) for client in clients)
    ended = await asyncio.gather(*closing, return_exceptions=True)
    return [each for each in ended if each is not None]


async def _named(run: MapRun[str]) -> AsyncIterator[AccountOutcome[T]]:
    async with run:
        async for outcome in run:
            yield _outcome(outcome)


def _outcome(outcome: Outcome[str]) -> AccountOutcome[T]:
    return AccountOutcome(
        outcome.item,
        outcome.status,
        outcome.value,
        outcome.error,
        outcome.reason,
        outcome.code,
        outcome.duration_s,
    )
