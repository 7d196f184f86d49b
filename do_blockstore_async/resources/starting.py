"""Starting an action: one POST, and where its answer is lost a look at the volume's own actions.

The API keeps a list of what was done to a volume, but not with which parameters. So an action of
the same kind that began since the request was sent is adopted only when it has ended and the volume
is as it was asked to be: attached to that Droplet, or not any more, or that large. An older one
means nothing.
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
from ..wire.messages import Listing, Reconciliation, Request
from ..wire.settle import classify_create
from .actions import decode_action, listing_of, matches_request
from .pagination import collect

__all__ = ["start_action"]

_BY_ID = "/v2/volumes/{volume_id}/actions"
_BY_NAME = "/v2/volumes/actions"
_SCOPE = "block_storage_action:create"
# Actions take 3 to 5 s (rexray 1368).
_ENDS_S = 15.0
_POLL_S = 1.0


async def start_action(
    engine: Engine,
    codec: Codec,
    fields: dict[str, Any],
    *,
    get: Callable[..., Awaitable[Volume]],
    volume_id: str | None = None,
    named: Callable[[float | None], Awaitable[Listing[Volume]]] | None = None,
    timeout: float | None,
) -> Action:
    """Post an action, addressed by the volume's id or, in `fields`, by its name and region.

    Args:
        fields: the body, checked.
        get: reads a volume.
        volume_id: the volume, checked; None for an action by name.
        named: looks the volume up by its name, for an action by name.
        timeout: seconds, the wait for quota included.
    """
    kind: str = fields["type"]

    seen: list[Volume] = []

    def is_kind(found: Action) -> bool:
        # `attach` is answered as `attach_volume` (rexray 1368) or as `attach`.
        return found.type.split("_")[0] == kind

    def is_done(found: Action) -> bool:
        return found.status == "completed" and bool(seen) and matches_request(seen[-1], fields)

    async def query(timeout_s: float | None) -> Listing[Action]:
        clock = engine.clock
        began = clock.monotonic()

        def left_s() -> float | None:
            if timeout_s is None:
                return None
            # Never 0 or less: what is left may have been eaten by a busy loop.
            return max(1e-3, began + timeout_s - clock.monotonic())

        target = volume_id
        if target is None and named is not None:
            found = await named(left_s())
            if not found.items:
                return Listing((), 0, None, found.date_s)
            target = found.items[0].id
        until = began + (_ENDS_S if timeout_s is None else min(_ENDS_S, timeout_s / 2))
        while True:
            listing = await collect(engine, listing_of(codec, str(target)), left_s())
            under_way = any(is_kind(a) and a.status == "in-progress" for a in listing.items)
            if not under_way or clock.monotonic() + _POLL_S >= until:
                break
            await engine.pause(_POLL_S)
        if any(map(is_kind, listing.items)):
            seen.append(await get(str(target), timeout=left_s()))
        noted = (attrs.evolve(action, volume_id=target) for action in listing.items)
        return msgspec.structs.replace(listing, items=tuple(noted))

    path = _BY_NAME if volume_id is None else f"/v2/volumes/{volume_id}/actions"
    request: Request[Action] = Request(
        method="POST",
        path=path,
        route=_BY_NAME if volume_id is None else _BY_ID,
        decode=partial(decode_action, codec, volume_id),
        json=fields,
        scopes=(_SCOPE,) if volume_id is not None else (_SCOPE, "api:write"),
        reconciliation=Reconciliation(
            query=query,
            classify=partial(
                classify_create,
                is_candidate=is_kind,
                matches_request=is_done,
                created_at=attrgetter("started_at"),
                identity=lambda found: ("action", found.id),
                unique_name=False,
            ),
            server_rejects_duplicates=False,
            hint=f"look at the actions of volume {volume_id or fields['volume_name']}",
            key=("action", kind, volume_id or (fields["volume_name"], fields["region"])),
        ),
    )
    action = await engine.call(request, timeout=timeout)
    engine.remember(("action", action.id))
    return action
