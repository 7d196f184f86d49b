"""`do-blockstore actions ...`"""

from __future__ import annotations

from ..options import current

__all__ = ["get", "list_", "wait"]

_WAIT_S = 120.0


async def list_(volume_id: str, /) -> int:
    """List the actions of a volume.

    Args:
        volume_id: the volume's id.
    """
    from ..output.columns import ACTIONS
    from ..output.tables import show_rows
    from ..session import open_session

    async with open_session() as session:
        found = [a async for a in session.store.actions.list(volume_id)]
    show_rows(current().output, ACTIONS, found)
    return 0


async def get(volume_id: str, action_id: int, /) -> int:
    """Show one action, as it stands.

    Args:
        volume_id: the volume's id.
        action_id: the action's number.
    """
    from ..output.columns import ACTIONS
    from ..output.tables import show_one
    from ..session import open_session

    async with open_session() as session:
        action = await session.store.actions.get(volume_id, action_id)
    show_one(current().output, ACTIONS, action)
    return 0


async def wait(volume_id: str, action_id: int, /) -> int:
    """Wait until an action has finished: at most 120 s, or --timeout.

    Args:
        volume_id: the volume's id.
        action_id: the action's number.
    """
    from ..output.columns import ACTIONS
    from ..output.tables import show_one
    from ..session import open_session

    async with open_session() as session:
        actions = session.store.actions
        action = await actions.get(volume_id, action_id)
        action = await actions.wait(action, timeout=current().timeout_s or _WAIT_S)
    show_one(current().output, ACTIONS, action)
    return 0
