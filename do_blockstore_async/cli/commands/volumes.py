"""`do-blockstore volumes ...`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..exit_codes import UsageError
from ..options import TableOptions, current, gigabytes_of

if TYPE_CHECKING:
    from ...client import BlockStore
    from ...models import Action

__all__ = ["attach", "create", "delete", "detach", "get", "list_", "resize"]

_WAIT_S = 120.0
_TABLE = TableOptions()


async def list_(
    *,
    region: tuple[str, ...] = (),
    tag: tuple[str, ...] = (),
    name: str | None = None,
    attached: bool = False,
    unattached: bool = False,
    older_than: str | None = None,
    table: TableOptions = _TABLE,
) -> int:
    """List volumes, in all regions at once.

    Args:
        region: only of this region, such as nyc3; repeat it for more.
        tag: only with this tag; repeat it: with all of them.
        name: only whose name matches this pattern, such as 'db-*'.
        attached: only those attached to a Droplet.
        unattached: only those that are not.
        older_than: only those made longer ago than this, such as 30d, 12h or 1y6m.
    """
    from ..completion.cache import MAX_ROWS, remember, row_of_volume
    from ..output.columns import VOLUMES, lean_json
    from ..output.tables import RowWriter
    from ..session import open_session
    from .filters import Filter
    from .targets import check_regions

    wanted = Filter(
        regions=region,
        tags=tag,
        name=name,
        attached=attached,
        unattached=unattached,
        older_than=older_than,
    )
    rows = RowWriter(
        current().shown,
        VOLUMES,
        noun="volumes",
        is_filtered=not wanted.is_everything,
        options=table,
        json_of=lean_json,
    )
    async with open_session() as session:
        volumes = session.store.volumes
        is_empty = True
        seen: list[tuple[object, ...]] = []
        # What the API can filter by is left to it: one region, and a name without wildcards.
        async for page in volumes.pages(region=wanted.only_region, name=wanted.only_name):
            found = [volume for volume in page.items if wanted.takes_volume(volume)]
            is_empty = is_empty and not found
            rows.add(found, is_last=len(page.items) >= page.total)
            seen.extend(map(row_of_volume, found[: MAX_ROWS - len(seen)]))
        if is_empty and region:
            await check_regions(session.store, *region)
    rows.end()
    if wanted.is_everything:
        remember(session.account, "volumes", seen)
    return 0


async def get(volume: str, /, *, region: str | None = None) -> int:
    """Show one volume.

    Args:
        volume: its name or id.
        region: the name's region, where the name is not unique.
    """
    from ..output.columns import VOLUMES, lean_json
    from ..output.tables import show_one
    from ..session import open_session
    from .targets import find_volume

    async with open_session() as session:
        found = await find_volume(session.store, volume, region)
    show_one(current().shown, VOLUMES, found, json_of=lean_json)
    return 0


async def create(
    name: str,
    /,
    *,
    region: str,
    size: Annotated[str | None, Parameter(alias="--size-gigabytes")] = None,
    description: str | None = None,
    filesystem_type: Literal["ext4", "xfs"] | None = None,
    filesystem_label: str | None = None,
    snapshot: str | None = None,
    tag: tuple[str, ...] = (),
) -> int:
    """Create a volume. It is never created twice, even if the response is lost.

    Args:
        name: lower-case letters, digits and hyphens, a letter first, at most 64.
        region: the region's slug, such as nyc3.
        size: 1 to 16384 GiB: 100, 100GB, 100GiB or 1TiB; GB of the vendor are GiB. With --snapshot
            the snapshot's size counts.
        description: free text.
        filesystem_type: format it.
        filesystem_label: at most 16 characters on ext4, 12 on xfs.
        snapshot: id or name of the volume snapshot to start from.
        tag: a tag; repeat it for more.
    """
    from ...errors import UnprocessableEntityError
    from ..output.columns import VOLUMES, lean_json
    from ..output.tables import show_one
    from ..session import open_session
    from .targets import check_regions, find_snapshot

    if size is None and snapshot is None:
        raise UsageError("pass --size or --snapshot")
    gigabytes = None if size is None else gigabytes_of(size, "--size")
    async with open_session() as session:
        store = session.store
        source = None if snapshot is None else await find_snapshot(store, snapshot)
        try:
            volume = await store.volumes.create(
                name,
                region=region,
                size_gigabytes=gigabytes,
                description=description,
                filesystem_type=filesystem_type,
                filesystem_label=filesystem_label,
                snapshot_id=source,
                tags=tag,
            )
        except UnprocessableEntityError:
            await check_regions(store, region)
            raise
    show_one(current().shown, VOLUMES, volume, json_of=lean_json)
    return 0


async def delete(
    volume: str,
    /,
    *,
    region: str | None = None,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
) -> int:
    """Delete a volume and its data permanently. Its snapshots are kept.

    It is deleted by its id, the one that the question shows: never another of the same name.

    Args:
        volume: its name or id.
        region: the name's region, where the name is not unique.
        yes: do not ask.
    """
    from ..output.prompts import check_can_ask, confirm
    from ..output.terminal import print_stderr
    from ..session import open_session
    from .targets import find_volume, is_id, told_what_is_near

    check_can_ask(yes=yes)
    async with open_session() as session:
        volume_id, label = volume, f"volume {volume}"
        if not (yes and is_id(volume) and region is None):
            found = await find_volume(session.store, volume, region, to_delete=True)
            volume_id = found.id
            label = (
                f"volume {found.name} ({found.id}, {found.size_gigabytes} GiB, {found.region.slug})"
            )
            attached = ", ".join(map(str, found.droplet_ids))
            label += f", attached to Droplet {attached}," if attached else ""
        confirm(f"Delete {label} and its data permanently?", yes=yes)
        async with told_what_is_near(session.store, volume):
            await session.store.volumes.delete(volume_id)
    print_stderr(f"deleted {label}")
    return 0


async def attach(
    volume: str, /, *, droplet: int, region: str | None = None, wait: bool = False
) -> int:
    """Attach a volume to a Droplet of the same region.

    Args:
        volume: its name or id.
        droplet: the Droplet's number.
        region: the name's region, where the name is not unique.
        wait: until the action has finished; at most 120 s, or --timeout.
    """
    from ..session import open_session
    from .targets import id_or_volume, told_what_is_near

    async with open_session() as session:
        target = await id_or_volume(session.store, volume, region)
        async with told_what_is_near(session.store, volume, f"Droplet {droplet}"):
            action = await session.store.volumes.attach(target, droplet, region=region)
        return await _finish(session.store, action, wait)


async def detach(
    volume: str, /, *, droplet: int, region: str | None = None, wait: bool = False
) -> int:
    """Detach a volume from a Droplet.

    Args:
        volume: its name or id.
        droplet: the Droplet's number.
        region: the name's region, where the name is not unique.
        wait: until the action has finished; at most 120 s, or --timeout.
    """
    from ..session import open_session
    from .targets import id_or_volume, told_what_is_near

    async with open_session() as session:
        target = await id_or_volume(session.store, volume, region)
        async with told_what_is_near(session.store, volume, f"Droplet {droplet}"):
            action = await session.store.volumes.detach(target, droplet, region=region)
        return await _finish(session.store, action, wait)


async def resize(
    volume: str, size: str, /, *, region: str | None = None, wait: bool = False
) -> int:
    """Make a volume larger. Volumes never shrink; the filesystem has to be grown separately.

    Args:
        volume: its name or id.
        size: the new size: 200, 200GB, 200GiB or 1TiB, at most 16384 GiB; GB of the vendor are GiB.
        region: the name's region, where the name is not unique.
        wait: until the action has finished; at most 120 s, or --timeout.
    """
    from ..session import open_session
    from .targets import id_or_volume, told_what_is_near

    gigabytes = gigabytes_of(size, "SIZE")
    async with open_session() as session:
        target = await id_or_volume(session.store, volume, region)
        async with told_what_is_near(session.store, volume):
            action = await session.store.volumes.resize(target, gigabytes, region=region)
        return await _finish(session.store, action, wait)


async def _finish(store: BlockStore, action: Action, wait: bool) -> int:
    """Show an action, after waiting for it if the user wants."""
    from ..output.columns import ACTIONS, lean_json
    from ..output.tables import show_one

    if wait:
        action = await store.actions.wait(action, timeout=current().timeout_s or _WAIT_S)
    show_one(current().shown, ACTIONS, action, json_of=lean_json)
    return 0
