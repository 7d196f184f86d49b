"""Actions on volumes: attach, detach, resize (API reference, "Block Storage Actions")."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import attrs
import msgspec

from .._deadline import NEVER, Deadline, Timeout, current_deadline
from .._http.checks import check_timeout
from .._http.engine import Engine
from .._http.recovery.rules import classify_create
from .._http.request import (
    Evidence,
    Finding,
    Listing,
    RawResponse,
    Reconciliation,
    Request,
)
from .._interop.habits import answering_async
from .._schema.json_to_models import Codec
from .._schema.validation import check_action_id, check_volume_id, shown
from ..errors import (
    ActionFailedError,
    ActionTimeoutError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QuotaWaitTooLongError,
    Refusal,
    RequestTimeoutError,
)
from ..models import Action, Volume
from ._listing import AsyncListing
from ._pagination import ListingCall, collect

__all__ = [
    "ActionManager",
    "ActionReconciler",
    "ActionTarget",
    "decode_action",
    "listing_of",
    "matches_request",
    "start_action",
]

_READ = ("block_storage_action:read",)
_SCOPE = "block_storage_action:create"
_BY_ID = "/v2/volumes/{volume_id}/actions"
_BY_NAME = "/v2/volumes/actions"
_FIRST_POLL_S = 1.0
_SLOWEST_POLL_S = 10.0
# A GET right after the POST can be a 404 (rexray PR 1344): for this long it means "not yet".
_NOT_FOUND_YET_S = 10.0
# Actions take 3 to 5 s (rexray 1368).
_ENDS_S = 15.0
_POLL_S = 1.0
_ENDED = frozenset({"completed", "errored"})


class ActionManager:
    """Actions on volumes, and waiting for them: `store.actions`."""

    def __init__(self, engine: Engine, codec: Codec) -> None:
        self._engine = engine
        self._codec = codec

    def list(self, volume_id: str | Volume, *, timeout: Timeout = None) -> AsyncListing[Action]:
        """List the actions of a volume.

        Scopes: `block_storage_action:read`. Requests: ceil(n / 200).

        Args:
            volume_id: the volume, or its id.
            timeout: seconds or a timedelta, for the whole listing.

        Raises:
            InvalidArgumentError: invalid id; no request was sent.
            NotFoundError: no such volume.
            ListingChangedError: it changed during each of three passes.
        """
        return AsyncListing(self._engine, listing_of(self._codec, volume_id), timeout=timeout)

    @answering_async
    async def get(
        self, volume_id: str | Volume, action_id: int | Action, *, timeout: Timeout = None
    ) -> Action:
        """Return one action of a volume, as it stands.

        Scopes: `block_storage_action:read`.

        Args:
            volume_id: the volume, or its id.
            action_id: the action's number, 1 or more; or the action, to read it again.
            timeout: seconds or a timedelta, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid id; no request was sent.
            NotFoundError: no such volume or action, or not yet.
        """
        return await self._get(check_volume_id(volume_id), action_id, timeout=timeout)

    async def _get(
        self,
        volume_id: str | None,
        action_id: int | Action,
        *,
        timeout: Timeout = None,
        deadline: Deadline = NEVER,
    ) -> Action:
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
            identifies=lambda found: found.id == number,
        )
        return await self._engine.call(request, timeout=timeout, deadline=deadline)

    @answering_async
    async def wait(self, action: Action, *, timeout: Timeout = 120.0) -> Action:
        """Wait until an action has finished.

        Polls after 1 s, then at growing intervals of 10 s at most; actions take 3 to 5 s mostly.
        An action addressed by the volume's name is polled at `/v2/actions/{id}`.

        Scopes: `block_storage_action:read` (by name: `actions:read`).

        Args:
            action: what `attach`, `detach` or `resize` returned.
            timeout: seconds or a timedelta, the waits for quota included; None waits as long as it
                takes. A deadline of the surrounding `deadline()` counts where it is earlier.

        Returns:
            The action, completed.

        Raises:
            InvalidArgumentError: `timeout` is not a number of seconds; no request was sent.
            NotFoundError: the API still knows of no such action after 10 s.
            ActionFailedError: it ended `errored`; `.action` holds it.
            ActionTimeoutError: it has not finished in time; `.action` holds it as last read.
            ClientClosedError: the client was closed meanwhile.
        """
        timeout_s = check_timeout(timeout)
        _check_actions([action])
        clock = self._engine.clock
        began = clock.monotonic()
        deadline = current_deadline().child(timeout_s, began)
        delay_s = _FIRST_POLL_S
        while action.status not in _ENDED:
            if deadline.remaining(clock.monotonic()) <= delay_s:
                raise _timed_out(action, clock.monotonic() - began)
            await self._engine.pause(delay_s)
            delay_s = min(1.5 * delay_s, _SLOWEST_POLL_S)
            try:
                action = await self._get(action.volume_id, action.id, deadline=deadline)
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

    @answering_async
    async def wait_all(
        self, actions: Iterable[Action], *, timeout: Timeout = 300.0
    ) -> builtins.list[Action]:
        """Wait until many actions have ended: one listing a round instead of a poll for each.

        The rounds come after 1 s, then at growing intervals of 10 s at most. Where the token may
        not list the account's actions, or one is not among them, it is polled by itself.

        Scopes: `actions:read`; without it `block_storage_action:read`.
        Requests: for each round ceil(n / 200) for the n actions of the account since the first.

        Args:
            actions: what `attach`, `detach` and `resize` returned.
            timeout: seconds or a timedelta for all, the waits for quota included; None waits as
                long as it takes.

        Returns:
            The actions in the given order, as they ended: look at `status`, which is `completed`
            or `errored`.

        Raises:
            InvalidArgumentError: `timeout` is not a number of seconds; no request was sent.
            NotFoundError: the API still knows of no such action after 10 s.
            ActionTimeoutError: one has not finished in time; `.action` holds it as last read.
            ClientClosedError: the client was closed meanwhile.
        """
        timeout_s = check_timeout(timeout)
        clock = self._engine.clock
        began = clock.monotonic()
        deadline = current_deadline().child(timeout_s, began)
        found = {action.id: action for action in _check_actions(actions)}
        order = [*found]
        delay_s, is_listed = _FIRST_POLL_S, True
        while pending := {n: a for n, a in found.items() if a.status not in _ENDED}:
            first = next(iter(pending.values()))
            if deadline.remaining(clock.monotonic()) <= delay_s:
                raise _timed_out(first, clock.monotonic() - began)
            await self._engine.pause(delay_s)
            delay_s = min(1.5 * delay_s, _SLOWEST_POLL_S)
            try:
                seen: dict[int, Action] = {}
                if is_listed and len(pending) > 1:
                    try:
                        seen = await self._read_recent(pending, deadline)
                    except (PermissionDeniedError, NotFoundError):
                        is_listed = False
                for number, action in pending.items():
                    if number in seen:
                        continue
                    try:
                        seen[number] = await self._get(action.volume_id, number, deadline=deadline)
                    except NotFoundError:
                        if clock.monotonic() - began > _NOT_FOUND_YET_S:
                            raise
            except (RequestTimeoutError, QuotaWaitTooLongError) as error:
                raise _timed_out(first, clock.monotonic() - began) from error
            found.update(seen)
        return [found[number] for number in order]

    async def _read_recent(
        self, pending: Mapping[int, Action], deadline: Deadline
    ) -> dict[int, Action]:
        """Read the account's actions, the newest first, as far back as those waited for."""
        call = ListingCall(
            path="/v2/actions",
            route="/v2/actions",
            decode=self._codec.actions,
            scopes=("actions:read",),
            identity=attrgetter("id"),
            created_at=attrgetter("started_at"),
        )
        oldest = min(action.started_at for action in pending.values())
        seen: dict[int, Action] = {}
        number = 0
        while len(seen) < len(pending):
            number += 1
            page = (await self._engine.call(call.page(number), deadline=deadline)).items
            for action in page:
                if action.id in pending:
                    seen[action.id] = attrs.evolve(action, volume_id=pending[action.id].volume_id)
            if len(page) < call.per_page or page[-1].started_at < oldest:
                break
        return seen


def _check_actions(actions: Iterable[Action]) -> builtins.list[Action]:
    """Return them in a list.

    Raises:
        InvalidArgumentError: they are not what `attach`, `detach` and `resize` return.
    """
    checked = [*actions] if isinstance(actions, Iterable) else [actions]
    for action in checked:
        if not isinstance(action, Action):
            raise InvalidArgumentError(
                "wait for what `await store.volumes.attach(...)` and the like return, not for "
                f"{shown(action)}"
            )
    return checked


def listing_of(codec: Codec, volume_id: str | Volume) -> ListingCall[Action]:
    """Describe the listing of a volume's actions."""
    wanted = check_volume_id(volume_id)

    def decode(raw: RawResponse) -> Listing[Action]:
        page = codec.actions(raw)
        noted = [attrs.evolve(action, volume_id=wanted) for action in page.items]
        return msgspec.structs.replace(page, items=tuple(noted))

    return ListingCall(
        path=f"/v2/volumes/{wanted}/actions",
        route="/v2/volumes/{volume_id}/actions",
        decode=decode,
        scopes=_READ,
        identity=attrgetter("id"),
        created_at=attrgetter("started_at"),
    )


def decode_action(codec: Codec, volume_id: str | None, raw: RawResponse) -> Action:
    """Return the action in a response, with the volume it was requested for."""
    return attrs.evolve(codec.action(raw), volume_id=volume_id)


def _timed_out(action: Action, waited_s: float) -> ActionTimeoutError:
    return ActionTimeoutError(
        f"action {action.id} ({action.type}) was still {action.status} after {waited_s:.1f} s",
        action=action,
    )


class ActionTarget(msgspec.Struct, frozen=True):
    """The volume that an action is addressed to.

    Attributes:
        volume_id: its id, checked; None for an action addressed by the volume's name.
        locate: returns its id, or None if no volume has the name.
        read: describes the request for the volume with an id.
    """

    volume_id: str | None
    locate: Callable[[Deadline], Awaitable[str | None]]
    read: Callable[[str], Request[Volume]]


async def start_action(
    engine: Engine,
    codec: Codec,
    fields: Mapping[str, Any],
    target: ActionTarget,
    timeout: Timeout,
) -> Action:
    """Post an action; if its response is lost, find out what became of it.

    Args:
        engine: sends the request.
        codec: decodes the response.
        fields: the body, checked; for an action by name with `volume_name` and `region`.
        target: the volume.
        timeout: for everything, the wait for quota included.
    """
    volume_id = target.volume_id
    by_name = volume_id is None

    async def explain(deadline: Deadline) -> Refusal | None:
        found = await target.locate(deadline)
        if found is None:
            return None
        volume = await engine.call(target.read(found), deadline=deadline)
        return "already" if matches_request(volume, fields) else None

    request: Request[Action] = Request(
        method="POST",
        path=_BY_NAME if by_name else f"/v2/volumes/{volume_id}/actions",
        route=_BY_NAME if by_name else _BY_ID,
        decode=partial(decode_action, codec, volume_id),
        json=fields,
        scopes=(_SCOPE, "api:write") if by_name else (_SCOPE,),
        reconciliation=ActionReconciler(engine, codec, fields, target).reconciliation(),
        explain=explain,
    )
    action = await engine.call(request, timeout=timeout)
    engine.remember(_identity(action))
    return action


class _ActionListing(Listing[Action], frozen=True):
    """A volume's actions, and the volume after them; None if none is of the kind asked for."""

    volume: Volume | None = None


class ActionReconciler:
    """Find out what became of an action whose response was lost.

    The API lists what was done to a volume, but not with which parameters. So an action of the same
    kind that began since the request was sent is adopted only if it has completed and the volume is
    as it was asked to be: attached to that Droplet, or not any more, or that large. An older one
    means nothing.
    """

    def __init__(
        self, engine: Engine, codec: Codec, fields: Mapping[str, Any], target: ActionTarget
    ) -> None:
        self._engine = engine
        self._codec = codec
        self._fields = fields
        self._target = target

    def reconciliation(self) -> Reconciliation[Action, _ActionListing]:
        """Return what the engine needs to know."""
        volume_id, fields = self._target.volume_id, self._fields
        return Reconciliation(
            query=self.query,
            classify=self.classify,
            server_rejects_duplicates=False,
            hint=f"check the actions of volume {volume_id or fields['volume_name']}",
            key=(
                "action",
                fields["type"],
                volume_id or (fields["volume_name"], fields["region"]),
            ),
        )

    def is_kind(self, action: Action) -> bool:
        """Tell whether `action` does what the request asked for."""
        # `attach` is shown as `attach_volume` (rexray 1368) or as `attach`.
        return bool(action.type.split("_")[0] == self._fields["type"])

    def classify(self, found: _ActionListing, evidence: Evidence) -> Finding[Action]:
        """Classify the lost request by the rules of evidence."""
        volume = found.volume
        as_requested = volume is not None and matches_request(volume, self._fields)
        return classify_create(
            found,
            evidence,
            is_candidate=self.is_kind,
            matches_request=lambda action: action.status == "completed" and as_requested,
            created_at=attrgetter("started_at"),
            identity=_identity,
            unique_name=False,
        )

    async def query(self, deadline: Deadline) -> _ActionListing:
        """Fetch the volume's actions, once those of the kind have ended, and then the volume."""
        clock = self._engine.clock
        now = clock.monotonic()
        volume_id = await self._target.locate(deadline)
        if volume_id is None:
            return _ActionListing((), 0, None, None)
        # An action that is still in progress shows nothing yet: give it the time that actions take,
        # but keep half of what is left for sending the request again.
        poll_until = now + min(_ENDS_S, deadline.remaining(now) / 2)
        while True:
            listing = await collect(
                self._engine, listing_of(self._codec, volume_id), deadline=deadline
            )
            of_kind = [action for action in listing.items if self.is_kind(action)]
            in_progress = any(action.status == "in-progress" for action in of_kind)
            if not in_progress or clock.monotonic() + _POLL_S >= poll_until:
                break
            await self._engine.pause(_POLL_S)
        volume = None
        if of_kind:
            # Read after the actions have ended, so it shows what they have done.
            volume = await self._engine.call(self._target.read(volume_id), deadline=deadline)
        return _ActionListing(
            tuple(of_kind),
            listing.total,
            listing.last_page,
            listing.date_s,
            volume,
        )


def _identity(action: Action) -> Hashable:
    return ("action", action.id)


def matches_request(volume: Volume, wanted: Mapping[str, Any]) -> bool:
    """Tell whether `volume` is as an action was to leave it. Pure.

    Args:
        volume: the volume after the action.
        wanted: the fields of the request: `type`, with `droplet_id` or `size_gigabytes`.
    """
    if wanted["type"] == "resize":
        return bool(volume.size_gigabytes == wanted["size_gigabytes"])
    return (wanted["droplet_id"] in volume.droplet_ids) is (wanted["type"] == "attach")
