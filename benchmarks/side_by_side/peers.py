"""The clients that are compared, each used as its documentation says, on the same work.

What each one does, and does not do:

| client | typed models | keeps the budget | retries | pages of a listing |
| --- | --- | --- | --- | --- |
| project | yes, attrs | yes | yes, settles lost creates | side by side, checked for changes |
| aiohttp | no, dicts | no | no | by hand, one after the other |
| aiohttp-12 | no, dicts | no | no | by hand, 12 at a time, as the project does |
| aiohttp-cattrs | yes, plain attrs with cattrs | no | no | by hand, one after the other |
| httpx | no, dicts | no | no | by hand, one after the other |
| pydo-aio, pydo | no, dicts | no | yes (azure-core), on 429 too | by hand, one after the other |
| gradient | yes, pydantic, dates stay texts | no | yes, on 429 too | by hand, one after the other |

None of them keeps an account of the request budget but the project, which pays for it in every
figure here. Every client keeps its connections: httpx's and gradient's cap of 20 kept-alive ones is
raised, or they would reconnect at a concurrency of 32. pydo (sync) runs in as many threads as the
work asks for; its pool keeps 10 connections, and has no setting for more. azure-core, on which pydo
stands, refuses to send a bearer token over http, so pydo gets the header from azure-core's
`HeadersPolicy` instead. TLS costs every client the same and is left out.

A peer is imported when it is opened, in the process of its case and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Protocol

from .answers import PER_PAGE
from .server import WINDOWS

__all__ = ["CLIENTS", "Peer"]

# How many pages of a listing a client of the concurrent kind keeps under way, as the project does.
_SIDE_BY_SIDE = 12
_MADE = {"region": "nyc3", "size_gigabytes": 10, "filesystem_type": "ext4", "tags": ["nightly"]}

Seen = tuple[int, int]
"""What a listing has seen: how many volumes, and the sum of their sizes."""


class Peer(Protocol):
    """A client under measurement. `create` makes a volume, `snapshot` a snapshot of one."""

    async def open(self, url: str, token: str) -> None: ...
    async def close(self) -> None: ...
    async def list_all(self) -> Seen: ...
    async def get(self, volume_id: str) -> Any: ...
    async def create(self, name: str) -> Any: ...


class Project:
    """This package with its budget as good as unlimited; everything else is its default."""

    async def open(self, url: str, token: str) -> None:
        from do_blockstore_async import BlockStore, Config

        self.store = BlockStore(token, base_url=url, config=Config(windows=WINDOWS))
        await self.store.__aenter__()

    async def close(self) -> None:
        await self.store.aclose()

    async def list_all(self) -> Seen:
        count = size = 0
        async for volume in self.store.volumes.list():
            count += 1
            size += volume.size_gigabytes
        return count, size

    async def get(self, volume_id: str) -> Any:
        return await self.store.volumes.get(volume_id)

    async def create(self, name: str) -> Any:
        return await self.store.volumes.create(
            name, region="nyc3", size_gigabytes=10, filesystem_type="ext4", tags=["nightly"]
        )


class Aiohttp:
    """aiohttp's default session and `json.loads`."""

    async def open(self, url: str, token: str) -> None:
        import aiohttp

        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
        self.volumes = f"{url}/v2/volumes"

    async def close(self) -> None:
        await self.session.close()

    async def _page(self, page: int) -> Any:
        params = {"page": page, "per_page": PER_PAGE}
        async with self.session.get(self.volumes, params=params) as response:
            response.raise_for_status()
            return json.loads(await response.read())

    async def list_all(self) -> Seen:
        count = size = page = 0
        more = True
        while more:
            page += 1
            body = await self._page(page)
            for volume in body["volumes"]:
                count += 1
                size += volume["size_gigabytes"]
            more = "next" in body["links"].get("pages", {})
        return count, size

    async def get(self, volume_id: str) -> Any:
        async with self.session.get(f"{self.volumes}/{volume_id}") as response:
            response.raise_for_status()
            return json.loads(await response.read())["volume"]

    async def create(self, name: str) -> Any:
        async with self.session.post(self.volumes, json={"name": name, **_MADE}) as response:
            response.raise_for_status()
            return json.loads(await response.read())["volume"]

    async def snapshot(self, volume_id: str, name: str) -> Any:
        url = f"{self.volumes}/{volume_id}/snapshots"
        async with self.session.post(url, json={"name": name, "tags": ["nightly"]}) as response:
            response.raise_for_status()
            return json.loads(await response.read())["snapshot"]


class Aiohttp12(Aiohttp):
    """The same with several pages at a time, which is what the project does."""

    async def list_all(self) -> Seen:
        body = await self._page(1)
        last = -(-body["meta"]["total"] // PER_PAGE)
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def fetch(page: int) -> Seen:
            async with gate:
                volumes = (await self._page(page))["volumes"]
            return len(volumes), sum(volume["size_gigabytes"] for volume in volumes)

        first = len(body["volumes"]), sum(volume["size_gigabytes"] for volume in body["volumes"])
        seen = [first, *await asyncio.gather(*map(fetch, range(2, last + 1)))]
        return sum(count for count, _ in seen), sum(size for _, size in seen)


class AiohttpCattrs(Aiohttp):
    """aiohttp and typed models the plain way: attrs classes and a cattrs converter."""

    async def open(self, url: str, token: str) -> None:
        import attrs
        import cattrs.preconf.json

        @attrs.frozen
        class Region:
            slug: str
            name: str
            available: bool
            features: tuple[str, ...]
            sizes: tuple[str, ...]

        @attrs.frozen
        class Volume:
            id: str
            name: str
            created_at: datetime
            size_gigabytes: int
            region: Region
            description: str
            filesystem_type: str
            filesystem_label: str
            droplet_ids: tuple[int, ...]
            tags: tuple[str, ...]

        @attrs.frozen
        class Page:
            volumes: tuple[Volume, ...]
            links: dict[str, dict[str, str]]

        @attrs.frozen
        class One:
            volume: Volume

        # The classes are local, so the texts of their annotations are resolved by hand.
        names = {"Region": Region, "Volume": Volume, "datetime": datetime}
        for cls in (Region, Volume, Page, One):
            attrs.resolve_types(cls, names, names)
        self.loads = cattrs.preconf.json.make_converter().loads
        self.Page, self.One = Page, One
        await super().open(url, token)

    async def list_all(self) -> Seen:
        count = size = page = 0
        more = True
        while more:
            page += 1
            params = {"page": page, "per_page": PER_PAGE}
            async with self.session.get(self.volumes, params=params) as response:
                response.raise_for_status()
                body = self.loads(await response.read(), self.Page)
            for volume in body.volumes:
                count += 1
                size += volume.size_gigabytes
            more = "next" in body.links.get("pages", {})
        return count, size

    async def get(self, volume_id: str) -> Any:
        async with self.session.get(f"{self.volumes}/{volume_id}") as response:
            response.raise_for_status()
            return self.loads(await response.read(), self.One).volume

    async def create(self, name: str) -> Any:
        async with self.session.post(self.volumes, json={"name": name, **_MADE}) as response:
            response.raise_for_status()
            return self.loads(await response.read(), self.One).volume


class Httpx:
    """httpx.AsyncClient with room for a connection for each worker."""

    async def open(self, url: str, token: str) -> None:
        import httpx

        self.client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=100),
        )

    async def close(self) -> None:
        await self.client.aclose()

    async def list_all(self) -> Seen:
        count = size = page = 0
        more = True
        while more:
            page += 1
            params = {"page": page, "per_page": PER_PAGE}
            response = await self.client.get("/v2/volumes", params=params)
            body = response.raise_for_status().json()
            for volume in body["volumes"]:
                count += 1
                size += volume["size_gigabytes"]
            more = "next" in body["links"].get("pages", {})
        return count, size

    async def get(self, volume_id: str) -> Any:
        response = await self.client.get(f"/v2/volumes/{volume_id}")
        return response.raise_for_status().json()["volume"]

    async def create(self, name: str) -> Any:
        response = await self.client.post("/v2/volumes", json={"name": name, **_MADE})
        return response.raise_for_status().json()["volume"]


class PydoAio:
    """The vendor's client, async: `pydo.aio.Client`."""

    async def open(self, url: str, token: str) -> None:
        from azure.core.pipeline.policies import HeadersPolicy
        from pydo.aio import Client

        login = HeadersPolicy({"Authorization": f"Bearer {token}"})
        self.client = Client(token=token, endpoint=url, authentication_policy=login)
        await self.client.__aenter__()

    async def close(self) -> None:
        await self.client.__aexit__()

    async def list_all(self) -> Seen:
        count = size = page = 0
        more = True
        while more:
            page += 1
            body = await self.client.volumes.list(page=page, per_page=PER_PAGE)
            for volume in body["volumes"]:
                count += 1
                size += volume["size_gigabytes"]
            more = "next" in body["links"].get("pages", {})
        return count, size

    async def get(self, volume_id: str) -> Any:
        return (await self.client.volumes.get(volume_id))["volume"]

    async def create(self, name: str) -> Any:
        return (await self.client.volumes.create(body={"name": name, **_MADE}))["volume"]


class Pydo:
    """The vendor's client, sync: `pydo.Client`, in threads where calls run side by side."""

    async def open(self, url: str, token: str) -> None:
        from azure.core.pipeline.policies import HeadersPolicy
        from pydo import Client

        login = HeadersPolicy({"Authorization": f"Bearer {token}"})
        self.client = Client(token=token, endpoint=url, authentication_policy=login)
        self.threads = ThreadPoolExecutor(64)

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *args)

    async def close(self) -> None:
        self.threads.shutdown()
        self.client.close()

    def _list_all(self) -> Seen:
        count = size = page = 0
        more = True
        while more:
            page += 1
            body = self.client.volumes.list(page=page, per_page=PER_PAGE)
            for volume in body["volumes"]:
                count += 1
                size += volume["size_gigabytes"]
            more = "next" in body["links"].get("pages", {})
        return count, size

    async def list_all(self) -> Seen:
        seen: Seen = await self._run(self._list_all)
        return seen

    async def get(self, volume_id: str) -> Any:
        return (await self._run(self.client.volumes.get, volume_id))["volume"]

    async def create(self, name: str) -> Any:
        return (await self._run(self.client.volumes.create, {"name": name, **_MADE}))["volume"]


class Gradient:
    """The vendor's typed SDK: `AsyncGradient(...).gpu_droplets.volumes`."""

    async def open(self, url: str, token: str) -> None:
        import httpx
        from gradient import AsyncGradient, DefaultAsyncHttpxClient

        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        self.client = AsyncGradient(
            access_token=token, base_url=url, http_client=DefaultAsyncHttpxClient(limits=limits)
        )
        self.volumes = self.client.gpu_droplets.volumes

    async def close(self) -> None:
        await self.client.close()

    async def list_all(self) -> Seen:
        count = size = page = 0
        more = True
        while more:
            page += 1
            body = await self.volumes.list(page=page, per_page=PER_PAGE)
            for volume in body.volumes:
                count += 1
                size += volume.size_gigabytes or 0
            more = getattr(body.links and body.links.pages, "next", None) is not None
        return count, size

    async def get(self, volume_id: str) -> Any:
        return (await self.volumes.retrieve(volume_id)).volume

    async def create(self, name: str) -> Any:
        made = await self.volumes.create(name=name, **_MADE)  # type: ignore[call-overload]
        return made.volume


CLIENTS: dict[str, Callable[[], Peer]] = {
    "project": Project,
    "aiohttp": Aiohttp,
    "aiohttp-12": Aiohttp12,
    "aiohttp-cattrs": AiohttpCattrs,
    "httpx": Httpx,
    "pydo-aio": PydoAio,
    "pydo": Pydo,
    "gradient": Gradient,
}
