"""Actions: what is being done to a volume (API reference, "Block Storage Actions")."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import attrs

from .._deadline import NEVER, current_deadline
from ..errors import (
    ActionFailedError,
    ActionTimeoutError,
    NotFoundError,
    QuotaWaitTooLongError,
    RequestTimeoutError,
)
from ..models import Action, Volume
from ..wire.arguments import check_action_id, check_id, check_timeout
from ..wire.codec import Codec
from ..wire.engine import Engine
from ..wire.messages import RawResponse, Request
from .pagination import ListingCall, items

__all__ = ["Actions", "decode_action", "listing_of", "matches_request"]

_READ = ("block_storage_action:read",)
_FIRST_POLL_S = 1.0
_SLOWEST_POLL_S = 10.0
# A GET right after the POST can be a 404 (rexray PR 1344): for this long it means "not yet".
_NOT_FOUND_YET_S = 10.0


class Actions:
    """What is being done to volumes, and waiting for its end: `store.actions`."""

    def __init__(self, engine: Engine, codec: Codec) -> None:
        self._engine = engine
        self._codec = codec

    async def list(
        self, volume_id: str, *, timeout: float | None = None
    ) -> AsyncGenerator[Action, None]:
        """Every action of a volume.

        Scopes: `block_storage_action:read`. Requests: ceil(n / 200).

        Args:
            volume_id: the volume's id.
            timeout: seconds for the whole listing.

        Raises:
            InvalidArgumentError: not an id; nothing was sent.
            NotFoundError: no such volume.
            ListingChangedError: it kept changing while it was read.
        """
        source = items(self._engine, listing_of(self._codec, volume_id), timeout=timeout)
        try:
            async for action in source:
                yield attrs.evolve(action, volume_id=volume_id)
        finally:
            await source.aclose()

    async def get(self, volume_id: str, action_id: int, *, timeout: float | None = None) -> Action:
        """One action of a volume, as it stands.

        Scopes: `block_storage_action:read`.

        Args:
            volume_id: the volume's id.
            action_id: the action's number, 1 or more.
            timeout: seconds, the wait for quota included.

        Raises:
            InvalidArgumentError: not an id; nothing was sent.
            NotFoundError: no such volume or action, or not yet.
        """
        return await self._get(check_id(volume_id, "volume id"), action_id, timeout)

    async def _get(self, volume_id: str | None, action_id: int, timeout: float | None) -> Action:
        number = check_action_id(action_id)
        if volume_id is None:
            path, route, scopes = (
                f"/v2/actions/{number}",
                "/v2/actions/{action_id}",
                ("actions:read",),
            )
        else:
            path = f"/v2/volumes/{volume_id}/actions/{number}"
            route, scopes = "/v2/volumes/{volume_id}/actions/{action_id}", _READ
        request = Request(
            method="GET",
            path=path,
            route=route,
            decode=partial(decode_action, self._codec, volume_id),
            idempotent=True,
            scopes=scopes,
        )
        return await self._engine.call(request, timeout=timeout)

    async def wait(self, action: Action, *, timeout: float | None = 120.0) -> Action:
        """Wait until an action has ended.

        Polls after 1 s, then at growing intervals of 10 s at most; actions take 3 to 5 s mostly.
        An action addressed by the volume's name is polled at `/v2/actions/{id}`.

        Scopes: `block_storage_action:read` (by name: `actions:read`).

        Args:
            action: as `attach`, `detach` or `resize` returned it.
            timeout: seconds, the waits for quota included; None waits as long as it takes. A
                deadline of the surrounding `deadline()` counts where it is earlier.

        Returns:
            The action, completed.

        Raises:
            InvalidArgumentError: `timeout` is not a number of seconds; nothing was sent.
            NotFoundError: the API still knows of no such action after 10 s.
            ActionFailedError: it ended `errored`; `.action` holds it.
            ActionTimeoutError: it has not ended in time; `.action` holds it as last seen.
            ClientClosedError: the client was closed meanwhile.
        """
        check_timeout(timeout)
        clock = self._engine.clock
        began = clock.monotonic()
        until = current_deadline().child(timeout, began)
        deadline = None if until is NEVER else until.at
        delay_s = _FIRST_POLL_S
        while action.status not in {"completed", "errored"}:
            left_s = None if deadline is None else deadline - clock.monotonic()
            if left_s is not None and left_s <= delay_s:
                raise _timed_out(action, clock.monotonic() - began)
            await self._engine.pause(delay_s)
            delay_s = min(1.5 * delay_s, _SLOWEST_POLL_S)
            # Never 0 or less: what is left after the sleep may have been eaten by a busy loop.
            left_s = None if deadline is None else max(1e-3, deadline - clock.monotonic())
            try:
                action = await self._get(action.volume_id, action.id, left_s)
            except (RequestTimeoutError, QuotaWaitTooLongError) as error:
                raise _timed_out(action, clock.monotonic() - began) from error
            except NotFoundError:
                if clock.monotonic() - began > _NOT_FOUND_YET_S:
                    raise
        if action.status == "errored":
            raise ActionFailedError(
                f"action {action.id} ({action.type}) ended with status errored", action=action
            )
        return action


def listing_of(codec: Codec, volume_id: str) -> ListingCall[Action]:
    """The listing of a volume's actions, described."""
    return ListingCall(
        path=f"/v2/volumes/{check_id(volume_id, 'volume id')}/actions",
        route="/v2/volumes/{volume_id}/actions",
        decode=codec.actions,
        scopes=_READ,
        identity=attrgetter("id"),
        created_at=attrgetter("started_at"),
    )


def decode_action(codec: Codec, volume_id: str | None, raw: RawResponse) -> Action:
    """The action in an answer, with the volume it was asked of."""
    return attrs.evolve(codec.action(raw), volume_id=volume_id)


def matches_request(volume: Volume, wanted: Mapping[str, Any]) -> bool:
    """Tell whether `volume` is as an action was to leave it. Pure.

    Args:
        volume: the volume after the action.
        wanted: the fields of the request: `type`, with `droplet_id` or `size_gigabytes`.
    """
    if wanted["type"] == "resize":
        return bool(volume.size_gigabytes == wanted["size_gigabytes"])
    return (wanted["droplet_id"] in volume.droplet_ids) is (wanted["type"] == "attach")


def _timed_out(action: Action, waited_s: float) -> ActionTimeoutError:
    return ActionTimeoutError(
        f"action {action.id} ({action.type}) was still {action.status} after {waited_s:.1f} s",
        action=action,
    )
