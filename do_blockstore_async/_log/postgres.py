"""A log in PostgreSQL: for the processes of many machines, and durable. Needs psycopg 3.

Two tables in a schema of their own: a row for each log, which a writer locks for the length of its
transaction, and the facts. So the writers of one log take turns, those of others never wait, and
readers write nothing.

P1. The clock is the server's, plus a stored correction, with the rules of `server_clock.py`.
P2. A transaction that was acknowledged is on the disk, by PostgreSQL's defaults.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg
import psycopg.errors

from .._clock import now_s, pause
from ..errors import StoreUnusableError
from .server_clock import ServerClock, correction
from .store import CHANGED_WITHIN_S, PAGE, Fact, LogStoreError, Reply

__all__ = ["PostgresStore"]

_LOCK: Final = 0x646F_626C_6F63  # any number of our own: it guards the making of the tables

_SCHEMA: Final = """
create schema if not exists do_blockstore;
create table if not exists do_blockstore.logs (
    key text primary key,
    id text not null,
    last bigint not null default 0,
    shift_s double precision not null default 0,
    latest_s double precision not null default 0
);
create table if not exists do_blockstore.facts (
    key text not null,
    position bigint not null,
    at_s double precision not null,
    data bytea not null,
    primary key (key, position)
);
"""
_NEW: Final = "insert into do_blockstore.logs (key, id) values (%s, %s) on conflict do nothing"
_LOG: Final = """
select id, last, shift_s, latest_s, extract(epoch from clock_timestamp())::double precision
from do_blockstore.logs where key = %s
"""
_LOCKED: Final = f"{_LOG} for update"
_IS_MADE: Final = "select to_regclass('do_blockstore.facts') is not null"
_NOTIFY: Final = "select pg_notify(%s, '')"
_APPEND: Final = "insert into do_blockstore.facts values (%s, %s, %s, %s)"
_NOTE: Final = "update do_blockstore.logs set last = %s, shift_s = %s, latest_s = %s where key = %s"
_TRIM: Final = "delete from do_blockstore.facts where key = %s and position < %s"
_FIRST: Final = "select min(position) from do_blockstore.facts where key = %s"
_REMOVE: Final = "delete from do_blockstore.logs where key = %s"
_REMOVE_FACTS: Final = "delete from do_blockstore.facts where key = %s"
_READ: Final = """
select position, at_s, data from do_blockstore.facts
where key = %s and position > %s and position <= %s order by position limit %s
"""


class PostgresStore:
    """One log in one database.

    Args:
        url: `postgresql://...`, as libpq takes it. Its user must be allowed to create a schema, or
            the tables must be there.
        key: names the log; never a token.
        clock: returns seconds, on a clock that nobody sets.
        new_id: makes the id of a new log.
        timeout_s: seconds that an exchange may take.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        timeout_s: float = 5.0,
    ) -> None:
        self._url = url
        self._key = key
        self._clock = ServerClock(clock)
        self._new_id = new_id
        self._timeout_s = timeout_s
        self._connection: psycopg.AsyncConnection[Any] | None = None
        # At most 63 bytes, and no character that needs escaping.
        self._channel = f"do_blockstore_{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"
        self._listener: psycopg.AsyncConnection[Any] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def exchange(
        self,
        after: int,
        facts: Sequence[bytes] = (),
        *,
        only_if: int | None = None,
        trim_before: int = 0,
    ) -> Reply:
        """See `LogStore.exchange`."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._exchange(after, facts, only_if, trim_before)
            except (psycopg.Error, OSError, TimeoutError, ValueError) as error:
                await self._drop()
                # Never the message of libpq, which may quote the URL and its password.
                if (reason := _unusable(error)) is not None:
                    raise StoreUnusableError(f"PostgreSQL cannot keep the log: {reason}") from None
                raise LogStoreError(f"PostgreSQL is away: {type(error).__name__}") from None
            except BaseException:
                # Cancelled in the middle: whether it was committed is unknown (L7).
                await self._drop()
                raise

    async def _exchange(
        self, after: int, facts: Sequence[bytes], only_if: int | None, trim_before: int
    ) -> Reply:
        connection = await self._connect()
        key = self._key
        async with connection.transaction(), connection.cursor() as cursor:
            is_writing = bool(facts) or trim_before > 0
            look = _LOCKED if is_writing else _LOG
            row = await (await cursor.execute(look, (key,))).fetchone()
            while row is None:
                await cursor.execute(_NEW, (key, self._new_id()))
                row = await (await cursor.execute(look, (key,))).fetchone()
            log_id, last, shift_s, latest_s, raw_s = row
            expected = self._clock.expected()
            shift_s += correction(raw_s + shift_s, expected, is_new=not latest_s)
            now_s = max(raw_s + shift_s, latest_s)
            accepted = not facts or only_if is None or only_if == last
            if accepted and facts:
                rows = [(key, last + n, now_s, data) for n, data in enumerate(facts, 1)]
                await cursor.executemany(_APPEND, rows)
                last += len(facts)
                await cursor.execute(_NOTE, (last, shift_s, now_s, key))
                await cursor.execute(_NOTIFY, (self._channel,))
            if trim_before > 0:
                await cursor.execute(_TRIM, (key, trim_before))
            (first,) = await (await cursor.execute(_FIRST, (key,))).fetchone() or (None,)
            found = await (await cursor.execute(_READ, (key, after, last, PAGE))).fetchall()
        self._clock.heard(now_s)
        return Reply(
            accepted=accepted,
            now_s=now_s,
            log_id=log_id,
            first=last + 1 if first is None else first,
            last=last,
            facts=tuple(Fact(position, at_s, bytes(data)) for position, at_s, data in found),
        )

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        try:
            (is_made,) = await (await connection.execute(_IS_MADE)).fetchone() or (False,)
            async with connection.transaction():
                # Two that make the same table at once would fail, "if not exists" or not.
                await connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                for statement in () if is_made else _SCHEMA.split(";")[:-1]:
                    await connection.execute(statement)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def changed(self, after: int) -> None:
        """See `LogStore.changed`: a connection of its own listens for notifications."""
        until = now_s() + CHANGED_WITHIN_S
        try:
            if self._listener is None or self._listener.closed:
                async with asyncio.timeout(self._timeout_s):
                    self._listener = await psycopg.AsyncConnection.connect(
                        self._url, autocommit=True
                    )
                await self._listener.execute(f'listen "{self._channel}"'.encode())
                return  # What came before it listened is not announced.
            async for _ in self._listener.notifies(timeout=CHANGED_WITHIN_S, stop_after=1):
                pass
        except (psycopg.Error, OSError, TimeoutError, ValueError):
            await pause(max(0.0, until - now_s()))

    async def remove(self) -> None:
        """Remove the log; harmless when there is none.

        Raises:
            LogStoreError, StoreUnusableError: see `exchange`.
        """
        await self.exchange(0)
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._timeout_s):
                    connection = await self._connect()
                    async with connection.transaction():
                        await connection.execute(_REMOVE, (self._key,))
                        await connection.execute(_REMOVE_FACTS, (self._key,))
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._drop()
                raise LogStoreError(f"PostgreSQL is away: {type(error).__name__}") from None

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    async def aclose(self) -> None:
        """Close the connections; harmless when repeated."""
        await self._drop()
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(psycopg.Error, OSError):
                await listener.close()


# What a server or libpq says of a connection that no waiting will make, and what that means.
_UNUSABLE: Final = (
    ("authentication failed", "it refuses the user name or the password of its URL"),
    ("no password supplied", "it wants a password, and the URL has none"),
    ("no pg_hba.conf entry", "it admits no such user from this host (pg_hba.conf)"),
    ('role "', "it knows no such user"),
    ('database "', "it has no such database"),
    ("invalid response", "another kind of server listens there"),
    ("received invalid", "another kind of server listens there"),
    ("expected authentication request", "another kind of server listens there"),
    ("invalid connection option", "its URL has an option that libpq does not know"),
    ("invalid uri", "its URL is not valid"),
    ('missing "="', "its URL is not valid"),
)


def _unusable(error: Exception) -> str | None:
    """Say why no waiting will help, in words of our own; None if it may."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "its user may neither use nor make the schema do_blockstore: grant it the right"
    if isinstance(error, psycopg.errors.SyntaxError | psycopg.errors.UndefinedColumn):
        return "the schema do_blockstore is of another version"
    if isinstance(error, psycopg.OperationalError | psycopg.ProgrammingError):
        said = str(error).lower()
        return next((reason for words, reason in _UNUSABLE if words in said), None)
    return None
