"""`do-blockstore actions ...`"""

from __future__ import annotations

from ..options import TableOptions, current

__all__ = ["get", "list_", "wait"]

_WAIT_S = 120.0
_TABLE = TableOptions()


async def list_(volume: str, /, *, region: str | None = None, table: TableOptions = _TABLE) -> int:
    """List the actions of a volume.

    Args:
        volume: the volume's name or id.
        region: the name's region, where the name is not unique.
    """
    from ..output.columns import ACTIONS, lean_json
    from ..output.tables import RowWriter
    from ..session import open_session
    from .targets import id_or_volume, told_what_is_near

    rows = RowWriter(current().shown, ACTIONS, noun="actions", options=table, json_of=lean_json)
    async with open_session() as session:
        store = session.store
        target = await id_or_volume(store, volume, region)
        async with told_what_is_near(store, volume):
            async for page in store.actions.list(target).pages():
                rows.add(page.items, is_last=len(page.items) >= page.total)
    rows.end()
    return 0


async def get(volume: str, action_id: int, /, *, region: str | None = None) -> int:
    """Show one action, as it stands.

    Args:
        volume: the volume's name or id.
        action_id: the action's number.
        region: the name's region, where the name is not unique.
    """
    from ..output.columns import ACTIONS, lean_json
    from ..output.tables import show_one
    from ..session import open_session
    from .targets import id_or_volume, told_what_is_near

    async with open_session() as session:
        store = session.store
        target = await id_or_volume(store, volume, region)
        async with told_what_is_near(store, volume, f"action {action_id}"):
            action = await store.actions.get(target, action_id)
    show_one(current().shown, ACTIONS, action, json_of=lean_json)
    return 0


async def wait(volume: str, action_id: int, /, *, region: str | None = None) -> int:
    """Wait until an action has finished: at most 120 s, or --timeout.

    Args:
        volume: the volume's name or id.
        action_id: the action's number.
        region: the name's region, where the name is not unique.
    """
    from ..output.columns import ACTIONS, lean_json
    from ..output.tables import show_one
    from ..session import open_session
    from .targets import id_or_volume, told_what_is_near

    async with open_session() as session:
        store = session.store
        target = await id_or_volume(store, volume, region)
        async with told_what_is_near(store, volume, f"action {action_id}"):
            action = await store.actions.get(target, action_id)
        action = await store.actions.wait(action, timeout=current().timeout_s or _WAIT_S)
    show_one(current().shown, ACTIONS, action, json_of=lean_json)
    return 0
