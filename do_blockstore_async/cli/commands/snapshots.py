"""`do-blockstore snapshots ...`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..options import current

__all__ = ["create", "delete", "get", "list_"]


async def list_(*, volume: str | None = None) -> int:
    """List snapshots of one volume, or of every volume of the account.

    Args:
        volume: the volume's id.
    """
    from ..completion.cache import remember, row_of_snapshot
    from ..output.columns import SNAPSHOTS
    from ..output.tables import show_rows
    from ..session import open_session

    async with open_session() as session:
        found = [s async for s in session.store.snapshots.list(volume)]
    if volume is None:
        remember(session.account, "snapshots", map(row_of_snapshot, found))
    show_rows(current().output, SNAPSHOTS, found)
    return 0


async def get(snapshot_id: str, /) -> int:
    """Show one snapshot.

    Args:
        snapshot_id: the snapshot's id.
    """
    from ..output.columns import SNAPSHOTS
    from ..output.tables import show_one
    from ..session import open_session

    async with open_session() as session:
        snapshot = await session.store.snapshots.get(snapshot_id)
    show_one(current().output, SNAPSHOTS, snapshot)
    return 0


async def create(volume_id: str, name: str, /, *, tag: tuple[str, ...] = ()) -> int:
    """Take a snapshot of a volume; at most one in ten minutes, and 25 per volume.

    Args:
        volume_id: the volume's id.
        name: unique on the volume, at most 255 characters.
        tag: a tag; repeat it for more.
    """
    from ..output.columns import SNAPSHOTS
    from ..output.tables import show_one
    from ..session import open_session

    async with open_session() as session:
        snapshot = await session.store.snapshots.create(volume_id, name, tags=tag)
    show_one(current().output, SNAPSHOTS, snapshot)
    return 0


async def delete(
    snapshot_id: str, /, *, yes: Annotated[bool, Parameter(alias="-y")] = False
) -> int:
    """Delete a snapshot permanently.

    Args:
        snapshot_id: the snapshot's id.
        yes: do not ask.
    """
    from ..output.prompts import check_can_ask, confirm
    from ..output.terminal import print_stderr
    from ..session import open_session

    check_can_ask(yes=yes)
    async with open_session() as session:
        label = f"snapshot {snapshot_id}"
        if not yes:
            found = await session.store.snapshots.get(snapshot_id)
            label = f"snapshot {found.name!r} of {found.created_at:%Y-%m-%d %H:%M}"
        confirm(f"Delete {label} permanently?", yes=yes)
        await session.store.snapshots.delete(snapshot_id)
    print_stderr(f"deleted {label}")
    return 0
