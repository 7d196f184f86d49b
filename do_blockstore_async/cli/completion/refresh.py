"""Fetch what the shell completes, in the background and within the budget that bulk jobs have."""

from __future__ import annotations

from ..session import open_session
from .cache import remember, row_of_snapshot, row_of_volume

__all__ = ["refresh"]

# Ten pages: completion is not worth more of the budget.
_MOST_ROWS = 2_000


async def refresh(kind: str, /) -> int:
    """List regions, volumes or snapshots and keep their names and ids for completion.

    Args:
        kind: regions, snapshots or volumes.
    """
    rows: list[tuple[object, ...]] = []
    async with open_session() as session:
        store = session.store
        with store.background():
            if kind == "regions":
                rows = [
                    (each.slug, each.name)
                    async for each in store.regions.list()
                    if "storage" in each.features
                ]
            elif kind == "volumes":
                async for volume in store.volumes.list():
                    rows.append(row_of_volume(volume))
                    if len(rows) >= _MOST_ROWS:
                        break
            else:
                async for snapshot in store.snapshots.list():
                    rows.append(row_of_snapshot(snapshot))
                    if len(rows) >= _MOST_ROWS:
                        break
    remember(session.account, kind, rows)
    return 0
