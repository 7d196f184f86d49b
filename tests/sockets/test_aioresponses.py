"""At the level of the session, with aioresponses: what users do who mock aiohttp.

aioresponses stands in for `ClientSession._request`, so middlewares do not run and no lease is
taken; what is tested here is that answers and errors go the same way nevertheless.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses, core

from do_blockstore_async import (
    BlockStore,
    NotFoundError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from tests.support.scripted_server import SNAPSHOT, TOKEN, VOLUME, VOLUME_ID, listing, quick

API = "https://api.digitalocean.com"


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """aioresponses, bridged to aiohttp 3.14.

    `ClientResponse` asks for a `stream_writer` since 3.14, which aioresponses 0.7.9 does not pass
    (pnuckowski/aioresponses, issue 289). This goes when a release does; aiohttp is not held back,
    because older ones leak credentials on redirects.
    """

    class Bridged(aiohttp.ClientResponse):
        def __init__(self, method: str, url: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", Mock())
            super().__init__(method, url, **kwargs)

    monkeypatch.setattr(core, "ClientResponse", Bridged)
    with aioresponses() as mock:
        yield mock


def store(**config: Any) -> BlockStore:
    return BlockStore(TOKEN, config=quick(**config))


async def test_an_answer(mocked: aioresponses) -> None:
    url = f"{API}/v2/volumes/{VOLUME_ID}"
    mocked.get(url, payload={"volume": VOLUME})
    async with store() as client:
        volume = await client.volumes.get(VOLUME_ID)
    assert volume.name == "example"
    ((call,),) = mocked.requests.values()
    assert call.kwargs["headers"]["Authorization"] == f"Bearer {TOKEN}"
    assert call.kwargs["allow_redirects"] is False


async def test_a_listing(mocked: aioresponses) -> None:
    url = f"{API}/v2/volumes/{VOLUME_ID}/snapshots?page=1&per_page=200"
    mocked.get(url, payload=listing("snapshots", SNAPSHOT))
    async with store() as client:
        found = [snapshot async for snapshot in client.snapshots.list(VOLUME_ID)]
    assert [snapshot.resource_id for snapshot in found] == [VOLUME_ID]


async def test_a_body_goes_out_as_json(mocked: aioresponses) -> None:
    sent: list[Any] = []

    def answer(url: Any, **kwargs: Any) -> CallbackResult:
        sent.append(kwargs["data"])
        return CallbackResult(
            status=201, payload={"volume": {**VOLUME, "name": "a", "size_gigabytes": 1}}
        )

    mocked.post(f"{API}/v2/volumes", callback=answer)
    async with store() as client:
        await client.volumes.create("a", region="nyc1", size_gigabytes=1)
    assert sent == [b'{"name":"a","region":"nyc1","size_gigabytes":1}']


async def test_refusals_and_gateways(mocked: aioresponses) -> None:
    url = f"{API}/v2/volumes/{VOLUME_ID}"
    mocked.get(url, status=404, payload={"id": "not_found", "message": "gone"})
    mocked.get(url, status=502, body="<html>Bad Gateway</html>", content_type="text/html")
    async with store(max_attempts=1) as client:
        with pytest.raises(NotFoundError, match="404 gone"):
            await client.volumes.get(VOLUME_ID)
        with pytest.raises(ServerError, match="Bad Gateway"):
            await client.volumes.get(VOLUME_ID)


@pytest.mark.parametrize(
    ("raised", "wanted"),
    [
        (aiohttp.ServerDisconnectedError(), TransportError),
        (aiohttp.ClientPayloadError("cut"), TransportError),
        (aiohttp.ClientOSError(104, "reset"), TransportError),
        (TimeoutError(), RequestTimeoutError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_errors_of_the_session(
    raised: Exception, wanted: type[TransportError], mocked: aioresponses
) -> None:
    url = f"{API}/v2/volumes/{VOLUME_ID}"
    mocked.get(url, exception=raised, repeat=True)
    async with store(max_attempts=2) as client:
        with pytest.raises(wanted) as caught:
            await client.volumes.get(VOLUME_ID)
    assert caught.value.attempts == 2
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_break_is_survived(mocked: aioresponses) -> None:
    url = f"{API}/v2/volumes/{VOLUME_ID}"
    mocked.get(url, exception=aiohttp.ServerDisconnectedError())
    mocked.get(url, payload={"volume": VOLUME})
    async with store() as client:
        assert (await client.volumes.get(VOLUME_ID)).id == VOLUME_ID
