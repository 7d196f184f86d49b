"""`do-blockstore snapshots ...`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..options import TableOptions, current

__all__ = ["create", "delete", "get", "list_"]

_TABLE = TableOptions()


async def list_(
    *,
    volume: str | None = None,
    region: tuple[str, ...] = (),
    tag: tuple[str, ...] = (),
    name: str | None = None,
    older_than: str | None = None,
    table: TableOptions = _TABLE,
) -> int:
    """List snapshots of one volume, or of every volume of the account.

    Args:
        volume: the volume's name or id.
        region: only of this region; repeat it for more. It also tells volumes of one name apart.
        tag: only with this tag; repeat it: with all of them.
        name: only whose name matches this pattern, such as 'db-*'.
        older_than: only those taken longer ago than this, such as 30d, 12h or 1y6m.
    """
    from ..completion.cache import MAX_ROWS, remember, row_of_snapshot
    from ..output.columns import SNAPSHOTS, lean_json
    from ..output.tables import RowWriter
    from ..session import open_session
    from .filters import Filter
    from .targets import check_regions, id_or_volume, told_what_is_near

    wanted = Filter(regions=region, tags=tag, name=name, older_than=older_than)
    rows = RowWriter(
        current().shown,
        SNAPSHOTS,
        noun="snapshots",
        is_filtered=volume is not None or not wanted.is_everything,
        options=table,
        json_of=lean_json,
    )
    async with open_session() as session:
        store = session.store
        target = None
        if volume is not None:
            target = await id_or_volume(store, volume, wanted.only_region)
        is_empty = True
        seen: list[tuple[object, ...]] = []
        async with told_what_is_near(store, volume or ""):
            async for page in store.snapshots.pages(target):
                found = [snapshot for snapshot in page.items if wanted.takes_snapshot(snapshot)]
                is_empty = is_empty and not found
                rows.add(found, is_last=len(page.items) >= page.total)
                seen.extend(map(row_of_snapshot, found[: MAX_ROWS - len(seen)]))
        if is_empty and region:
            await check_regions(store, *region)
    rows.end()
    if volume is None and wanted.is_everything:
        remember(session.account, "snapshots", seen)
    return 0


async def get(snapshot: str, /, *, volume: str | None = None, region: str | None = None) -> int:
    """Show one snapshot.

    Args:
        snapshot: its id, or its name, which costs a request for each 200 snapshots.
        volume: name or id of its volume, where the name is not unique.
        region: only one of this region; it also tells volumes of one name apart.
    """
    from ..output.columns import SNAPSHOTS, lean_json
    from ..output.tables import show_one
    from ..session import open_session
    from .targets import find_snapshot, id_or_volume

    async with open_session() as session:
        store = session.store
        of = None if volume is None else await id_or_volume(store, volume, region)
        found = await find_snapshot(store, snapshot, of, region)
    show_one(current().shown, SNAPSHOTS, found, json_of=lean_json)
    return 0


async def create(
    volume: str, name: str, /, *, region: str | None = None, tag: tuple[str, ...] = ()
) -> int:
    """Take a snapshot of a volume; at most one in ten minutes, and 25 per volume.

    Args:
        volume: the volume's name or id.
        name: unique on the volume, at most 255 characters.
        region: the volume's region, where its name is not unique.
        tag: a tag; repeat it for more.
    """
    from ..output.columns import SNAPSHOTS, lean_json
    from ..output.tables import show_one
    from ..session import open_session
    from .targets import id_or_volume, told_what_is_near

    async with open_session() as session:
        store = session.store
        target = await id_or_volume(store, volume, region)
        async with told_what_is_near(store, volume):
            snapshot = await store.snapshots.create(target, name, tags=tag)
    show_one(current().shown, SNAPSHOTS, snapshot, json_of=lean_json)
    return 0


async def delete(
    snapshot: str,
    /,
    *,
    volume: str | None = None,
    region: str | None = None,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
) -> int:
    """Delete a snapshot permanently.

    It is deleted by its id, the one that the question shows.

    Args:
        snapshot: its id, or its name, which costs a request for each 200 snapshots.
        volume: name or id of its volume, where the name is not unique.
        region: only one of this region; it also tells volumes of one name apart.
        yes: do not ask.
    """
    from ..output.prompts import check_can_ask, confirm
    from ..output.terminal import print_stderr
    from ..session import open_session
    from .targets import find_snapshot, id_or_volume, is_id, told_near_snapshots

    check_can_ask(yes=yes)
    async with open_session() as session:
        store = session.store
        snapshot_id, label = snapshot, f"snapshot {snapshot}"
        if not (yes and is_id(snapshot) and volume is None and region is None):
            of = None if volume is None else await id_or_volume(store, volume, region)
            found = await find_snapshot(store, snapshot, of, region, to_delete=True)
            snapshot_id = found.id
            label = f"snapshot {found.name} ({found.id}) of {found.created_at:%Y-%m-%d %H:%M}"
        confirm(f"Delete {label} permanently?", yes=yes)
        async with told_near_snapshots(store, snapshot_id):
            await store.snapshots.delete(snapshot_id)
    print_stderr(f"deleted {label}")
    return 0
