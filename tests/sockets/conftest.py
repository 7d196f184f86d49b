"""What several files of this folder need; a test that asks for a server skips without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import postgres_server, redis_server


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """The URL of an empty Redis."""
    with redis_server() as url:
        if url is None:
            pytest.skip("redis is not installed")
        yield url


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL."""
    with postgres_server() as url:
        if url is None:
            pytest.skip("postgres is not installed")
        yield url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home directory."""
    return tmp_path_factory.mktemp("home")
