"""One budget for everything that spends a token: volumes here, droplets with calls of your own.

    DIGITALOCEAN_TOKEN=... python examples/plain_session_budget.py

DigitalOcean counts requests per token, whoever makes them. This program lists its volumes with the
SDK and its droplets with plain aiohttp. The session's middleware takes a lease from the store's
throttle for each request it sends, so both together stay inside the limits, and the calls of a
person at a terminal go before the inventory that runs in the background.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from do_blockstore_async import BlockStore

API = "https://api.digitalocean.com"


def plain_session(store: BlockStore, token: str, url: str = API) -> aiohttp.ClientSession:
    """A session of your own that spends the store's budget."""
    return aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {token}"},
        middlewares=(store.throttle.middleware,),
    )


async def every(session: aiohttp.ClientSession, kind: str) -> AsyncIterator[dict[str, Any]]:
    """Everything a listing of the API has, such as `droplets`, page by page."""
    page = 1
    while True:
        params = {"page": str(page), "per_page": "200"}
        async with session.get(f"/v2/{kind}", params=params, raise_for_status=True) as response:
            body = await response.json()
        for item in body[kind]:
            yield item
        if "next" not in body.get("links", {}).get("pages", {}):
            return
        page += 1


async def survey(store: BlockStore, session: aiohttp.ClientSession, kind: str) -> dict[str, int]:
    """Count the volumes (SDK) and everything of `kind` (plain session), both in the background."""
    counts = {"volumes": 0, kind: 0}

    async def volumes() -> None:
        async for _ in store.volumes.list():
            counts["volumes"] += 1

    async def others() -> None:
        async for _ in every(session, kind):
            counts[kind] += 1

    with store.background():
        await asyncio.gather(volumes(), others())
    return counts


async def main() -> None:
    token = os.environ["DIGITALOCEAN_TOKEN"]
    async with BlockStore(token) as store, plain_session(store, token) as session:
        print(await survey(store, session, "droplets"))
        print(f"{store.quota.remaining} requests left at once, {store.quota.limit} an hour")


if __name__ == "__main__":
    asyncio.run(main())
