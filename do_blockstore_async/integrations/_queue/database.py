"""The database of the job queue: one schema for procrastinate's tables and for ours.

Q1. Everything lies in the schema `do_blockstore_jobs`, so another program of the same database may
    use procrastinate too, in any version.
Q2. `migrate` brings an empty or older database to what this version needs; two at once take turns.
    Everything else refuses a database that is not exactly so.
Q3. No message quotes libpq, whose messages may quote the URL and its password.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import psycopg.errors
from procrastinate.schema import SchemaManager
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...errors import BlockStoreError, ConfigError

__all__ = ["JobQueueError", "check_tables", "connect", "explained", "migrate", "with_schema"]

_VERSION: Final = 1
_SCHEMA: Final = "do_blockstore_jobs"
_LOCK: Final = 0x646F_6A6F_6273  # any number of our own: it guards the making of the tables
_CONNECT_S: Final = 10

_TABLES: Final = """
create table schedules (
    account text not null,
    job text not null,
    file text not null,
    version text not null,
    scheduler text not null,
    seen_at timestamptz not null,
    cron text not null,
    due_at timestamptz not null,
    primary key (account, job)
);
create table runs (
    account text not null,
    job text not null,
    due_at timestamptz not null,
    file text not null,
    kind text not null,
    worker text not null,
    attempts integer not null default 1,
    started_at timestamptz not null,
    finished_at timestamptz,
    conclusion text,
    counts jsonb,
    error text,
    report json,
    primary key (account, job, due_at)
);
create table about (version integer not null, procrastinate text not null);
"""
_IS_MADE: Final = "select to_regclass('do_blockstore_jobs.about') is not null"


class JobQueueError(BlockStoreError):
    """The database of the job queue does not answer."""


def with_schema(url: str) -> str:
    """Return the URL with the schema as the place of all tables.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        named = conninfo_to_dict(url)
    except psycopg.Error:
        raise ConfigError("the database's URL is not valid") from None
    options = f"{named.get('options') or ''} -c search_path={_SCHEMA}".strip()
    return make_conninfo(url, options=options, connect_timeout=str(_CONNECT_S))


@asynccontextmanager
async def explained() -> AsyncIterator[None]:
    """Turn what psycopg raises in the block into errors that say what to do."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        place = error.diag.table_name or error.diag.schema_name or f"schema {_SCHEMA}"
        raise ConfigError(
            f"the database's user lacks a right ({place}): let the user who ran `do-blockstore "
            "jobs migrate` work here, or grant usage on the schemas and all on their tables and "
            "sequences; to migrate, a user needs create on the database"
        ) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise _no_tables() from None
    except (psycopg.Error, OSError) as error:
        raise JobQueueError(
            f"the database of the job queue does not answer ({type(error).__name__}): check that "
            "it runs, and the host, user, password and name in its URL"
        ) from None


def _no_tables() -> ConfigError:
    return ConfigError(
        "the database has no tables for jobs: make them once with `do-blockstore jobs migrate FILE`"
    )


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Connect for the length of the block.

    Raises:
        JobQueueError: it does not answer.
        ConfigError: the user may not do what the block does.
    """
    async with explained():
        found = await psycopg.AsyncConnection.connect(with_schema(url), autocommit=True)
        async with found:
            yield found


def _migrations() -> list[Path]:
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"), key=lambda p: p.name)


async def check_tables(connection: psycopg.AsyncConnection[Any]) -> None:
    """Check that the tables are those of this version.

    Raises:
        ConfigError: they are not there, older or newer.
    """
    (is_made,) = await (await connection.execute(_IS_MADE)).fetchone() or (False,)
    row = (
        is_made
        and await (await connection.execute("select version, procrastinate from about")).fetchone()
    )
    if not row:
        raise _no_tables()
    version, procrastinate = row
    latest = _migrations()[-1].name
    if version > _VERSION:
        raise ConfigError(
            "the tables for jobs are of a newer version: upgrade do-blockstore-async here"
        )
    if procrastinate > latest:
        raise ConfigError(
            "the tables for jobs are of a newer version of procrastinate: upgrade that here"
        )
    if version < _VERSION or procrastinate < latest:
        raise ConfigError(
            "the tables for jobs are of an older version: stop the workers and run "
            "`do-blockstore jobs migrate FILE`"
        )


async def migrate(url: str) -> bool:
    """Make the tables, or bring them to this version; return whether anything had to be done.

    Raises:
        ConfigError: they are newer, or the user may not do it.
        JobQueueError: the database does not answer.
    """
    async with connect(url) as connection:
        await connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        (is_made,) = await (await connection.execute(_IS_MADE)).fetchone() or (False,)
        if not is_made:
            async with connection.transaction():
                await connection.execute(f"create schema if not exists {_SCHEMA}")
                await connection.execute(SchemaManager.get_schema())
                await connection.execute(_TABLES.encode())
                await connection.execute(
                    "insert into about values (%s, %s)", (_VERSION, _migrations()[-1].name)
                )
            return True
        try:
            await check_tables(connection)
        except ConfigError as error:
            if "newer" in str(error):
                raise
        else:
            return False
        (known,) = await (
            await connection.execute("select procrastinate from about")
        ).fetchone() or ("",)
        for file in _migrations():
            if file.name > known:
                # One by one: some statements of PostgreSQL want a transaction of their own.
                await connection.execute(file.read_text(encoding="utf-8").encode())
                await connection.execute("update about set procrastinate = %s", (file.name,))
        await connection.execute("update about set version = %s", (_VERSION,))
        return True
