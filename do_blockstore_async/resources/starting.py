"""Starting an action: one POST, and where its answer is lost a look at the volume's own actions.

The API keeps a list of what was done to a volume. An action of the same kind that began since the
request was sent is the one that was asked for; an older one means nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from operator import attrgetter
from typing import Any

import attrs
import msgspec

from ..models import Action, Volume
from ..wire.codec import Codec
from ..wire.engine import Engine
from ..wire.messages import Listing, Request, Settlement
from ..wire.settle import judge_created
from .actions import decode_action, listing_of
from .pagination import collect

__all__ = ["start_action"]

_BY_ID = "/v2/volumes/{volume_id}/actions"
_BY_NAME = "/v2/volumes/actions"


async def start_action(
    engine: Engine,
    codec: Codec,
    fields: dict[str, Any],
    *,
    volume_id: str | None = None,
    named: Callable[[float | None], Awaitable[Listing[Volume]]] | None = None,
    timeout: float | None,
) -> Action:
    """Post an action, addressed by the volume's id or, in `fields`, by its name and region.

    Args:
        fields: the body, checked.
        volume_id: the volume, checked; None for an action by name.
        named: looks the volume up by its name, for an action by name.
        timeout: seconds, the wait for quota included.
    """
    kind: str = fields["type"]

    async def look(timeout_s: float | None) -> Listing[Action]:
        target = volume_id
        if target is None and named is not None:
            found = await named(timeout_s)
            if not found.items:
                return Listing((), 0, None, found.date_s)
            target = found.items[0].id
        listing = await collect(engine, listing_of(codec, str(target)), timeout_s)
        noted = (attrs.evolve(action, volume_id=target) for action in listing.items)
        return msgspec.structs.replace(listing, items=tuple(noted))

    path = _BY_NAME if volume_id is None else f"/v2/volumes/{volume_id}/actions"
    request: Request[Action] = Request(
        method="POST",
        path=path,
        route=_BY_NAME if volume_id is None else _BY_ID,
        decode=partial(decode_action, codec, volume_id),
        json=fields,
        scopes=("block_storage_action:create", "api:write"),
        settle=Settlement(
            look=look,
            judge=partial(
                judge_created,
                # `attach` is answered as `attach_volume` (rexray 1368) or as `attach`.
                is_candidate=lambda found: found.type.split("_")[0] == kind,
                is_as_asked=lambda found: True,
                made_at=attrgetter("started_at"),
                identity=lambda found: ("action", found.id),
                exclusive=False,
            ),
            unique=False,
            hint=f"look at the actions of volume {volume_id or fields['volume_name']}",
            key=("action", path, *fields.values()),
        ),
    )
    action = await engine.call(request, timeout=timeout)
    engine.remember(("action", action.id))
    return action
