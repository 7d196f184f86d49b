"""`do-blockstore regions ...`"""

from __future__ import annotations

from ..options import current

__all__ = ["list_"]


async def list_(*, storage: bool = False) -> int:
    """List the regions.

    Args:
        storage: only those with block storage.
    """
    from ..completion.cache import remember
    from ..output.columns import REGIONS
    from ..output.tables import show_rows
    from ..session import open_session

    async with open_session() as session:
        found = [
            region
            async for region in session.store.regions.list()
            if not storage or "storage" in region.features
        ]
    # Volumes can be in these only.
    kept = ((each.slug, each.name) for each in found if "storage" in each.features)
    remember(session.account, "regions", kept)
    show_rows(current().output, REGIONS, found)
    return 0
