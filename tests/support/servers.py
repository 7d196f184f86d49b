"""A Redis and a PostgreSQL for tests, each on a socket of its own, ended with the block."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

__all__ = [
    "PostgresServer",
    "RedisServer",
    "postgres_server",
    "redis_server",
    "restartable_postgres",
    "restartable_redis",
]

_PATIENCE_S = 30.0


def _until(is_up: list[str], process: subprocess.Popen[bytes], name: str) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while subprocess.run(is_up, capture_output=True, check=False).returncode:  # noqa: S603
        assert process.poll() is None, f"{name} ended"
        assert time.monotonic() < until_s, f"{name} did not start"
        time.sleep(0.05)


@contextmanager
def _running(words: list[str], user: str | None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 -- a server of the system
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user
    )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        process.kill()
        process.wait()


@contextmanager
def _started(server: RedisServer | PostgresServer) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


class RedisServer:
    """An empty Redis on a socket, which keeps nothing over a restart."""

    def __init__(self, program: str, folder: str) -> None:
        socket = f"{folder}/s"
        self.url = f"unix://{socket}"
        self._words = [
            program,
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--save",
            "",
            "--dir",
            folder,
        ]
        self._ping = [str(shutil.which("redis-cli")), "-s", socket, "ping"]
        self._stack = ExitStack()

    def start(self) -> None:
        process = self._stack.enter_context(_running(self._words, None))
        _until(self._ping, process, "Redis")

    def stop(self) -> None:
        self._stack.close()


@contextmanager
def restartable_redis() -> Iterator[RedisServer | None]:
    """Yield an empty Redis; None where there is no `redis-server`."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(program, folder)
        with _started(server):
            yield server


@contextmanager
def redis_server() -> Iterator[str | None]:
    """Yield the URL of an empty Redis; None where there is no `redis-server`."""
    with restartable_redis() as server:
        yield None if server is None else server.url


def _postgres_program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


class PostgresServer:
    """A PostgreSQL in a folder, which keeps its data over a restart."""

    def __init__(self, initdb: str, postgres: str, folder: str) -> None:
        # It refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        data = f"{folder}/data"
        options = ["--no-sync", "--auth=trust", "--username=tester", "--encoding=UTF8"]
        subprocess.run(  # noqa: S603 -- a program of the system
            [initdb, "-D", data, *options],
            check=True,
            capture_output=True,
            user=self._user,
            cwd="/",
        )
        self.url = f"postgresql://tester@/postgres?host={folder}"
        self._words = [postgres, "-D", data, "-k", folder, "-h", "", "-F"]
        self._ready = [str(_postgres_program("pg_isready")), "-h", folder]
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = self._stack.enter_context(_running(self._words, self._user))
        _until(self._ready, self._process, "PostgreSQL")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # which does not wait for its clients
        self._stack.close()


@contextmanager
def restartable_postgres() -> Iterator[PostgresServer | None]:
    """Yield an empty PostgreSQL; None where it is not installed."""
    initdb, postgres = _postgres_program("initdb"), _postgres_program("postgres")
    if initdb is None or postgres is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(initdb, postgres, folder)
        with _started(server):
            yield server


@contextmanager
def postgres_server() -> Iterator[str | None]:
    """Yield the URL of an empty PostgreSQL; None where it is not installed."""
    with restartable_postgres() as server:
        yield None if server is None else server.url
