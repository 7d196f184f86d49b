"""`do-blockstore volumes ...`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..exit_codes import CommandError, UsageError
from ..options import current

if TYPE_CHECKING:
    from ...client import BlockStore
    from ...models import Action

__all__ = ["attach", "create", "delete", "detach", "find", "get", "list_", "resize"]

_WAIT_S = 120.0


async def list_(*, region: str | None = None, name: str | None = None) -> int:
    """List volumes, in all regions at once.

    Args:
        region: only of this region, such as nyc3.
        name: only with this name; at most one in each region.
    """
    from ..completion.cache import remember, row_of_volume
    from ..output.columns import VOLUMES
    from ..output.tables import show_rows
    from ..session import open_session

    async with open_session() as session:
        found = [v async for v in session.store.volumes.list(region=region, name=name)]
    if region is None and name is None:
        remember(session.account, "volumes", map(row_of_volume, found))
    show_rows(current().output, VOLUMES, found)
    return 0


async def get(volume_id: str, /) -> int:
    """Show one volume.

    Args:
        volume_id: the volume's id.
    """
    from ..output.columns import VOLUME
    from ..output.tables import show_one
    from ..session import open_session

    async with open_session() as session:
        volume = await session.store.volumes.get(volume_id)
    show_one(current().output, VOLUME, volume)
    return 0


async def find(name: str, /, *, region: str) -> int:
    """Show the volume with this name in this region; exit code 1 when there is none.

    Args:
        name: the exact name.
        region: the region's slug; names are unique in a region only.
    """
    from ..output.columns import VOLUME
    from ..output.tables import show_one
    from ..session import open_session

    async with open_session() as session:
        volume = await session.store.volumes.find(name, region=region)
    if volume is None:
        raise CommandError(f"no volume {name!r} in {region}")
    show_one(current().output, VOLUME, volume)
    return 0


async def create(
    name: str,
    /,
    *,
    region: str,
    size_gigabytes: Annotated[int | None, Parameter(alias="--size")] = None,
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
        size_gigabytes: 1 to 16384 GiB; with --snapshot the snapshot's size counts.
        description: free text.
        filesystem_type: format it.
        filesystem_label: at most 16 characters on ext4, 12 on xfs.
        snapshot: id of the volume snapshot to start from.
        tag: a tag; repeat it for more.
    """
    from ..output.columns import VOLUME
    from ..output.tables import show_one
    from ..session import open_session

    async with open_session() as session:
        volume = await session.store.volumes.create(
            name,
            region=region,
            size_gigabytes=size_gigabytes,
            description=description,
            filesystem_type=filesystem_type,
            filesystem_label=filesystem_label,
            snapshot_id=snapshot,
            tags=tag,
        )
    show_one(current().output, VOLUME, volume)
    return 0


async def delete(
    volume_id: str | None = None,
    /,
    *,
    name: str | None = None,
    region: str | None = None,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
) -> int:
    """Delete a volume and its data permanently. Its snapshots are kept.

    Args:
        volume_id: the volume's id; or give --name and --region.
        name: the volume's exact name.
        region: the name's region.
        yes: do not ask.
    """
    from ..output.prompts import check_can_ask, confirm
    from ..output.terminal import print_stderr
    from ..session import open_session

    target = _one_of(volume_id, name, region)
    check_can_ask(yes=yes)
    async with open_session() as session:
        volumes = session.store.volumes
        if isinstance(target, str):
            label = f"volume {target}"
            if not yes:
                found = await volumes.get(target)
                label = f"volume {found.name!r} ({found.size_gigabytes} GiB, {found.region.slug})"
            confirm(f"Delete {label} and its data permanently?", yes=yes)
            await volumes.delete(target)
        else:
            label = f"volume {target[0]!r} in {target[1]}"
            confirm(f"Delete {label} and its data permanently?", yes=yes)
            await volumes.delete_by_name(target[0], region=target[1])
    print_stderr(f"deleted {label}")
    return 0


def _one_of(volume_id: str | None, name: str | None, region: str | None) -> str | tuple[str, str]:
    """The volume's id, or its name and region."""
    if volume_id is not None and name is None:
        return volume_id
    if volume_id is not None or name is None:
        raise UsageError("give either the volume's id, or --name and --region")
    if region is None:
        raise UsageError("--name needs --region: names are unique in a region only")
    return name, region


async def attach(
    volume_id: str | None = None,
    /,
    *,
    droplet: int,
    name: str | None = None,
    region: str | None = None,
    wait: bool = False,
) -> int:
    """Attach a volume to a Droplet of the same region.

    Args:
        volume_id: the volume's id; or give --name and --region.
        droplet: the Droplet's number.
        name: the volume's exact name.
        region: the region's slug.
        wait: until the action has finished; at most 120 s, or --timeout.
    """
    from ..session import open_session

    target = _one_of(volume_id, name, region)
    async with open_session() as session:
        volumes = session.store.volumes
        if isinstance(target, str):
            action = await volumes.attach(target, droplet, region=region)
        else:
            action = await volumes.attach_by_name(target[0], droplet, region=target[1])
        return await _finish(session.store, action, wait)


async def detach(
    volume_id: str | None = None,
    /,
    *,
    droplet: int,
    name: str | None = None,
    region: str | None = None,
    wait: bool = False,
) -> int:
    """Detach a volume from a Droplet.

    Args:
        volume_id: the volume's id; or give --name and --region.
        droplet: the Droplet's number.
        name: the volume's exact name.
        region: the region's slug.
        wait: until the action has finished; at most 120 s, or --timeout.
    """
    from ..session import open_session

    target = _one_of(volume_id, name, region)
    async with open_session() as session:
        volumes = session.store.volumes
        if isinstance(target, str):
            action = await volumes.detach(target, droplet, region=region)
        else:
            action = await volumes.detach_by_name(target[0], droplet, region=target[1])
        return await _finish(session.store, action, wait)


async def resize(
    volume_id: str, size_gigabytes: int, /, *, region: str | None = None, wait: bool = False
) -> int:
    """Make a volume larger. Volumes never shrink; the filesystem has to be grown separately.

    Args:
        volume_id: the volume's id.
        size_gigabytes: the new size in GiB, at most 16384.
        region: the region's slug.
        wait: until the action has finished; at most 120 s, or --timeout.
    """
    from ..session import open_session

    async with open_session() as session:
        action = await session.store.volumes.resize(volume_id, size_gigabytes, region=region)
        return await _finish(session.store, action, wait)


async def _finish(store: BlockStore, action: Action, wait: bool) -> int:
    """Show an action, after waiting for it if the user wants."""
    from ..output.columns import ACTIONS
    from ..output.tables import show_one

    if wait:
        action = await store.actions.wait(action, timeout=current().timeout_s or _WAIT_S)
    show_one(current().output, ACTIONS, action)
    return 0
