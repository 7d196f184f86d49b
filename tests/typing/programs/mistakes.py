"""Wrong uses that a type checker has to report: an unneeded ignore is an error too."""

from __future__ import annotations

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.bulk import Retention


async def main(store: BlockStore) -> None:
    await store.volumes.create("db", region="nyc3", size_gigabytes="10")  # type: ignore[arg-type]
    await store.volumes.create("db", "nyc3", size_gigabytes=10)  # type: ignore[call-arg]
    await store.volumes.resize(3, 10)  # type: ignore[arg-type]
    for _volume in store.volumes.list():  # type: ignore[attr-defined]
        pass
    with store:  # type: ignore[attr-defined]
        pass
    (await store.volumes.get("a")).name = "b"  # type: ignore[misc]
    print((await store.volumes.find("a", region="nyc3")).name)  # type: ignore[union-attr]
    async with store.bulk.run(await store.bulk.plan_snapshots(), retry=True):  # type: ignore[call-arg]
        pass


Config(timeout=30)  # type: ignore[call-arg]
Config(windows=250)  # type: ignore[arg-type]
Retention(last="2")  # type: ignore[arg-type]
