"""`do-blockstore regions ...`"""

from __future__ import annotations

from ..options import TableOptions, current

__all__ = ["list_"]

_TABLE = TableOptions()


async def list_(*, storage: bool = False, table: TableOptions = _TABLE) -> int:
    """List the regions.

    Args:
        storage: only those with block storage.
    """
    from ..completion.cache import remember
    from ..output.columns import REGIONS, lean_json
    from ..output.tables import RowWriter
    from ..session import open_session

    rows = RowWriter(current().shown, REGIONS, noun="regions", options=table, json_of=lean_json)
    seen: list[tuple[str, str]] = []
    async with open_session() as session:
        async for page in session.store.regions.list().pages():
            found = [each for each in page.items if not storage or "storage" in each.features]
            rows.add(found, is_last=len(page.items) >= page.total)
            # Volumes can be in these only.
            seen += [(each.slug, each.name) for each in found if "storage" in each.features]
    rows.end()
    remember(session.account, "regions", seen)
    return 0
