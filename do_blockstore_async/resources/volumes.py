"""Volumes, and actions on them (API reference, "Block Storage", "Block Storage Actions")."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from operator import attrgetter
from typing import Any, Final

import msgspec

from .._deadline import (
    NEVER,
    Deadline,
    Timeout,
    current_deadline,
    deadline_at,
)
from .._http.checks import check_timeout
from .._http.engine import Engine
from .._http.recovery.rules import SAME_SECOND_S, classify_create, clock_margin_s
from .._http.request import Evidence, Finding, Listing, Reconciliation, Request
from .._interop.habits import answering_async
from .._schema.json_to_models import Codec
from .._schema.validation import (
    check_description,
    check_droplet_id,
    check_filesystem,
    check_region,
    check_size,
    check_snapshot_id,
    check_tags,
    check_text,
    check_volume_id,
    check_volume_name,
    fold_tags,
)
from ..errors import InvalidArgumentError, Refusal
from ..models import Action, Page, Region, Volume, VolumeSnapshot
from ._attachment import Attachment
from ._listing import AsyncListing
from ._pagination import ListingCall, collect
from .actions import ActionManager, ActionTarget, listing_of, start_action
from .snapshots import reading_of

__all__ = ["VolumeManager", "classify_delete", "matches_request"]

_VOLUMES = "/v2/volumes"
_ONE = "/v2/volumes/{volume_id}"
# What a volume keeps of a create as it was asked; its name and region are what it is found by.
_KEPT_FIELDS: Final = ("description", "filesystem_type", "filesystem_label")


class VolumeManager:
    """Volumes, with attaching, detaching and resizing: `store.volumes`."""

    def __init__(self, engine: Engine, codec: Codec, actions: ActionManager) -> None:
        self._engine = engine
        self._codec = codec
        self._actions = actions

    # Reading.

    def _listing(
        self, region: str | Region | None, name: str | None, per_page: int
    ) -> ListingCall[Volume]:
        params: list[tuple[str, str]] = []
        if name is not None:
            params.append(("name", check_text(name, "a volume's name")))
        if region is not None:
            params.append(("region", check_region(region)))
        return ListingCall(
            path=_VOLUMES,
            route=_VOLUMES,
            decode=self._codec.volumes,
            scopes=("block_storage:read", "api:read", "api:write"),
            identity=attrgetter("id"),
            created_at=attrgetter("created_at"),
            params=tuple(params),
            per_page=per_page,
        )

    def list(
        self,
        *,
        region: str | Region | None = None,
        name: str | None = None,
        per_page: int = 200,
        timeout: Timeout = None,
    ) -> AsyncListing[Volume]:
        """List the volumes of the account, in all regions at once, or of one region or name.

        Each volume that exists throughout is yielded exactly once, also while others are created
        and deleted. Leaving the loop early cancels the requests in flight.

        Scopes: `block_storage:read`, or `api:read`, or `api:write`.
        Requests: ceil(n / per_page), fetched side by side after the first.

        Args:
            region: a region, or its slug, such as `nyc3`.
            name: a volume's name; at most one volume in each region has it.
            per_page: items in one page, 1 to 200.
            timeout: seconds or a timedelta, for the whole listing.

        Raises:
            InvalidArgumentError: invalid region slug, name or page size.
            ListingChangedError: it changed during each of three passes.
        """
        call = self._listing(region, name, per_page)
        return AsyncListing(self._engine, call, timeout=timeout)

    def pages(
        self,
        *,
        region: str | Region | None = None,
        name: str | None = None,
        per_page: int = 200,
        timeout: Timeout = None,
    ) -> AsyncGenerator[Page[Volume], None]:
        """List volumes as `list` does, page by page.

        Scopes: `block_storage:read`, or `api:read`, or `api:write`.

        Args:
            region: a region, or its slug, such as `nyc3`.
            name: a volume's name; at most one volume in each region has it.
            per_page: items in one page, 1 to 200.
            timeout: seconds or a timedelta, for the whole listing, including time the caller
                spends between pages.

        Raises:
            InvalidArgumentError: invalid region slug, name or page size.
            ListingChangedError: it changed during each of three passes.
        """
        listing = self.list(region=region, name=name, per_page=per_page, timeout=timeout)
        return listing.pages()

    @answering_async
    async def get(self, volume_id: str | Volume, *, timeout: Timeout = None) -> Volume:
        """Return one volume.

        Scopes: `block_storage:read`.

        Args:
            volume_id: its id, hexadecimal digits and hyphens; or the volume, to read it again.
            timeout: seconds or a timedelta, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid id; no request was sent.
            NotFoundError: no such volume.
        """
        return await self._engine.call(self._reading(volume_id), timeout=timeout)

    def _reading(self, volume: str | Volume) -> Request[Volume]:
        volume_id = check_volume_id(volume)
        return Request(
            method="GET",
            path=f"/v2/volumes/{volume_id}",
            route=_ONE,
            decode=self._codec.volume,
            idempotent=True,
            scopes=("block_storage:read",),
            identifies=lambda found: found.id.lower() == volume_id.lower(),
        )

    @answering_async
    async def find(
        self, name: str, *, region: str | Region, timeout: Timeout = None
    ) -> Volume | None:
        """Return the volume with this name in this region, or None.

        Scopes: `block_storage:read`, or `api:read`, or `api:write`. Requests: 1.

        Args:
            name: the exact name.
            region: the region, or its slug; names are unique in a region only.
            timeout: seconds or a timedelta, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid name or region slug; no request was sent.
        """
        slug = check_region(region)
        listing = await self._named(name, slug, timeout_s=check_timeout(timeout))
        return listing.items[0] if listing.items else None

    async def _named(
        self,
        name: str,
        region: str,
        deadline: Deadline = NEVER,
        *,
        timeout_s: float | None = None,
    ) -> Listing[Volume]:
        call = self._listing(region, name, 200)
        listing = await collect(self._engine, call, timeout=timeout_s, deadline=deadline)
        # The filter is the server's; what is adopted or deleted must match to the letter.
        exact = [v for v in listing.items if v.name == name and v.region.slug == region]
        return msgspec.structs.replace(listing, items=tuple(exact))

    # Creating and deleting.

    @answering_async
    async def create(
        self,
        name: str,
        *,
        region: str | Region,
        size_gigabytes: int | None = None,
        description: str | None = None,
        filesystem_type: str | None = None,
        filesystem_label: str | None = None,
        snapshot_id: str | VolumeSnapshot | None = None,
        tags: Iterable[str] | None = (),
        timeout: Timeout = None,
    ) -> Volume:
        """Create a volume.

        Never creates two: when the response is lost, the volume is queried by name and region, and
        adopted if it matches the request, or created again if it does not exist. Prefer `timeout=`
        to `asyncio.timeout`: a call cancelled from outside cannot query any more. The exception
        then carries a note; use `find(name, region=...)` to check.

        Scopes: `block_storage:create` or `api:write` (and `tag:create` for tags).

        Args:
            name: lower-case letters, digits and hyphens, a letter first, at most 64.
            region: the region, or its slug, such as `nyc3`.
            size_gigabytes: 1 to 16,384 GiB. Required unless `snapshot_id` is given: a volume made
                from a snapshot has the snapshot's size, whatever size is given; resize it
                afterwards.
            description: free text.
            filesystem_type: `ext4` or `xfs`, to format it.
            filesystem_label: at most 16 characters on ext4, 12 on xfs.
            snapshot_id: the volume snapshot to start from, or its id; see `restore`.
            tags: tag names, existing or new.
            timeout: seconds or a timedelta, the wait for quota included.

        Raises:
            InvalidArgumentError: an invalid argument; no request was sent.
            ConflictError: the name is taken in this region.
            PermissionDeniedError: a scope is missing, or the account's capacity is exhausted.
            UnprocessableEntityError: the region has no block storage, and the like.
            RateLimitedError: kind `capacity`: the account's capacity, reported in another way.
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        check_filesystem(filesystem_type, filesystem_label)
        if size_gigabytes is None and snapshot_id is None:
            raise InvalidArgumentError("give size_gigabytes or snapshot_id")
        slug = check_region(region)
        wanted: dict[str, Any] = {
            "name": check_volume_name(name),
            "region": slug,
            "size_gigabytes": None if size_gigabytes is None else check_size(size_gigabytes),
            "description": check_description(description),
            "filesystem_type": filesystem_type,
            "filesystem_label": filesystem_label,
            "snapshot_id": None if snapshot_id is None else check_snapshot_id(snapshot_id),
            "tags": list(check_tags(tags)) or None,
        }
        body = {field: value for field, value in wanted.items() if value is not None}
        request: Request[Volume] = Request(
            method="POST",
            path=_VOLUMES,
            route=_VOLUMES,
            decode=self._codec.volume,
            json=body,
            scopes=("block_storage:create", "api:write"),
            identifies=lambda made: _is_named(made, wanted),
            reconciliation=Reconciliation(
                query=partial(self._named, name, slug),
                classify=partial(
                    classify_create,
                    is_candidate=lambda found: True,
                    matches_request=lambda found: matches_request(found, wanted),
                ),
                server_rejects_duplicates=True,
                hint=f"check for a volume {name!r} in {slug}",
                key=("volume", name, slug),
            ),
        )
        volume = await self._engine.call(request, timeout=timeout)
        self._engine.remember(volume.id)
        return volume

    @answering_async
    async def restore(
        self,
        snapshot_id: str | VolumeSnapshot,
        name: str,
        *,
        region: str | Region | None = None,
        size_gigabytes: int | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = (),
        timeout: Timeout = None,
    ) -> Volume:
        """Create a volume from a snapshot, grow it if asked to, and wait until that is done.

        When growing it fails, the error carries a note: the volume is there, in the snapshot's
        size. Its filesystem has to be grown on the Droplet.

        Scopes: `block_storage:create` or `api:write`; to grow it `block_storage_action:create`,
        `block_storage_action:read` and `block_storage:read`; for a snapshot given by its id
        `block_storage_snapshot:read`.
        Requests: 1; 1 more for a snapshot given by its id; 3 or more to grow it.

        Args:
            snapshot_id: the snapshot, or its id.
            name: of the new volume: lower-case letters, digits and hyphens, a letter first, at most
                64.
            region: the region or its slug; it may be left out where the snapshot is in one only.
            size_gigabytes: the volume's size in GiB, at least the snapshot's; None for the same.
            description: free text.
            tags: tag names, existing or new.
            timeout: seconds or a timedelta for everything, the wait for quota included. Without it
                growing is waited for up to 120 s.

        Raises:
            InvalidArgumentError: an invalid argument, such as a size below the snapshot's.
            NotFoundError: no such snapshot.
            ConflictError: the name is taken in this region.
            ActionFailedError, ActionTimeoutError: of growing it; see `actions.wait`.
            OutcomeUnknownError: a response was lost, and its outcome could not be found out.
        """
        began = self._engine.clock.monotonic()
        deadline = current_deadline().child(check_timeout(timeout), began)
        check_volume_name(name)
        if size_gigabytes is not None:
            check_size(size_gigabytes)
        with deadline_at(deadline.when()):
            snapshot = (
                snapshot_id
                if isinstance(snapshot_id, VolumeSnapshot)
                else await self._engine.call(reading_of(self._codec, snapshot_id))
            )
            volume = await self.create(
                name,
                region=_region_of(snapshot) if region is None else region,
                snapshot_id=snapshot,
                size_gigabytes=_size_of(snapshot, size_gigabytes),
                description=description,
                tags=tags,
            )
            if size_gigabytes is None or volume.size_gigabytes >= size_gigabytes:
                return volume
            try:
                limit = None if timeout is not None else 120.0
                action = await self.resize(volume, size_gigabytes)
                await self._actions.wait(action, timeout=limit)
                return await self.get(volume)
            except BaseException as error:
                error.add_note(
                    f"volume {volume.id} was made from the snapshot and has "
                    f"{volume.size_gigabytes} GiB"
                )
                raise

    @answering_async
    async def delete(self, volume_id: str | Volume, *, timeout: Timeout = None) -> None:
        """Delete a volume and all its data permanently. Its snapshots are kept.

        Scopes: `block_storage:delete` (`block_storage_action:read` to tell busy from attached).
        Requests: 1; one more when it is refused as attached.

        Args:
            volume_id: the volume, or its id.
            timeout: seconds or a timedelta, the wait for quota included; a volume that is still
                being detached is waited for within it.

        Raises:
            InvalidArgumentError: invalid id; no request was sent.
            NotFoundError: no such volume.
            ConflictError: it is attached, or (`refusal` is `busy`) still being detached.
        """
        await self._engine.call(self._deletion(volume_id), timeout=timeout)

    def _deletion(self, volume: str | Volume) -> Request[None]:
        volume_id = check_volume_id(volume)
        return Request(
            method="DELETE",
            path=f"/v2/volumes/{volume_id}",
            route=_ONE,
            decode=self._codec.nothing,
            idempotent=True,
            scopes=("block_storage:delete",),
            explain=partial(self._explain_deletion, volume_id),
        )

    async def _explain_deletion(self, volume_id: str, deadline: Deadline) -> Refusal | None:
        """A volume that is still being detached is refused like one that is attached."""
        listing = await collect(self._engine, listing_of(self._codec, volume_id), deadline=deadline)
        in_progress = any(action.status == "in-progress" for action in listing.items)
        return "busy" if in_progress else None

    @answering_async
    async def delete_by_name(
        self, name: str, *, region: str | Region, timeout: Timeout = None
    ) -> None:
        """Delete the volume with this name in this region permanently.

        Never repeated blindly: between two deletes by name another client may have created a new
        volume of that name. When the response is lost, the name is queried first, and the volume
        that existed before is then deleted by its id.

        Scopes: `block_storage:delete` or `api:write`.

        Args:
            name: the exact name.
            region: the region, or its slug. The API takes it as optional; here it is required:
                a name is unique in a region only.
            timeout: seconds or a timedelta, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid name or region slug; no request was sent.
            NotFoundError: no such volume.
            ConflictError: it is attached, or still being detached.
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        slug = check_region(region)
        request = Request(
            method="DELETE",
            path=_VOLUMES,
            route=_VOLUMES,
            decode=self._codec.nothing,
            params=(
                ("name", check_text(name, "a volume's name")),
                ("region", slug),
            ),
            scopes=("block_storage:delete", "api:write"),
            reconciliation=Reconciliation(
                query=partial(self._named, name, slug),
                classify=classify_delete,
                server_rejects_duplicates=True,
                hint=f"check for a volume {name!r} in {slug}",
                key=("volume", name, slug),
                replacement=lambda found: self._deletion(found.id),
            ),
        )
        await self._engine.call(request, timeout=timeout)

    # Actions.

    @answering_async
    async def attach(
        self,
        volume_id: str | Volume,
        droplet_id: int,
        *,
        region: str | Region | None = None,
        wait: bool = False,
        timeout: Timeout = None,
    ) -> Action:
        """Attach a volume to a Droplet of the same region.

        A Droplet takes one volume event at a time: with `timeout=` a busy one is waited for.

        Scopes: `block_storage_action:create`.

        Args:
            volume_id: the volume, or its id.
            droplet_id: the Droplet's number. A Droplet takes 15 volumes at most.
            region: the region or its slug, optional.
            wait: whether to return only when the action has ended, 120 s at most without `timeout`.
            timeout: seconds or a timedelta for everything, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid id or region slug; no request was sent.
            NotFoundError: no such volume or Droplet.
            UnprocessableEntityError: attached already (`refusal` is `already` if to this Droplet),
                the Droplet is busy (`busy`) or full.
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        fields = {"type": "attach", "droplet_id": check_droplet_id(droplet_id)}
        return await self._act(volume_id, fields, region, timeout, wait=wait)

    @answering_async
    async def detach(
        self,
        volume_id: str | Volume,
        droplet_id: int,
        *,
        region: str | Region | None = None,
        wait: bool = False,
        timeout: Timeout = None,
    ) -> Action:
        """Detach a volume from a Droplet; with `timeout=` a busy one is waited for.

        Scopes: `block_storage_action:create`.

        Args:
            volume_id: the volume, or its id.
            droplet_id: the number of the Droplet that it is attached to.
            region: the region or its slug, optional.
            wait: whether to return only when the action has ended, 120 s at most without `timeout`.
            timeout: seconds or a timedelta for everything, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid id or region slug; no request was sent.
            NotFoundError: no such volume or Droplet.
            UnprocessableEntityError: not attached to it (`refusal` is `already`), or the Droplet is
                busy (`busy`).
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        fields = {"type": "detach", "droplet_id": check_droplet_id(droplet_id)}
        return await self._act(volume_id, fields, region, timeout, wait=wait)

    @answering_async
    async def resize(
        self,
        volume_id: str | Volume,
        size_gigabytes: int,
        *,
        region: str | Region | None = None,
        wait: bool = False,
        timeout: Timeout = None,
    ) -> Action:
        """Make a volume larger; volumes never shrink. With `timeout=` a busy one is waited for.

        Scopes: `block_storage_action:create`.

        Args:
            volume_id: the volume, or its id.
            size_gigabytes: the new size in GiB, at most 16,384.
            region: the region or its slug, optional.
            wait: whether to return only when the action has ended, 120 s at most without `timeout`.
            timeout: seconds or a timedelta for everything, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid id, size or region slug; no request was sent.
            NotFoundError: no such volume.
            UnprocessableEntityError: not larger than it is (`refusal` is `already` if it has that
                size), or the volume is busy (`busy`).
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        fields = {"type": "resize", "size_gigabytes": check_size(size_gigabytes)}
        return await self._act(volume_id, fields, region, timeout, wait=wait)

    def attached(
        self,
        volume_id: str | Volume,
        droplet_id: int,
        *,
        region: str | Region | None = None,
        timeout: Timeout = 120.0,
        detach_timeout: Timeout = 120.0,
    ) -> AbstractAsyncContextManager[Action]:
        """Attach a volume for the time of a block, and detach it at the end, whatever happens.

            async with store.volumes.attached(volume, droplet_id):
                ...  # mount it, copy, unmount it

        The end comes by leaving the block, an exception, a cancellation or a deadline; the detach
        has a time of its own and is not cancelled. When it fails, the block's own exception, if
        there is one, is raised with a note that says so; else that of the detach. A process that is
        killed detaches nothing, nor does a client that is closed inside the block. What is mounted
        must be unmounted inside.

        Scopes: `block_storage_action:create`, `block_storage_action:read`.
        Requests: 4 or more: two actions, and the polls until they have ended.

        Args:
            volume_id: the volume, or its id.
            droplet_id: the Droplet's number.
            region: the region or its slug, optional.
            timeout: seconds or a timedelta, to attach it.
            detach_timeout: seconds or a timedelta, to detach it at the end.

        Returns:
            A context manager; what it gives is the attach action, completed.

        Raises:
            InvalidArgumentError: invalid id or region slug; no request was sent.
            NotFoundError: no such volume or Droplet.
            UnprocessableEntityError: it is attached already, which is then left as it is, or the
                Droplet is full.
            ActionFailedError, ActionTimeoutError: see `actions.wait`.
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        volume_id = check_volume_id(volume_id)
        check_droplet_id(droplet_id)
        slug = None if region is None else check_region(region)
        detach_timeout_s = check_timeout(detach_timeout)
        return Attachment(
            volume_id=volume_id,
            droplet_id=droplet_id,
            attach=partial(self.attach, volume_id, droplet_id, region=slug),
            detach=partial(
                self.detach, volume_id, droplet_id, region=slug, wait=True, timeout=detach_timeout_s
            ),
            wait=partial(self._actions.wait, timeout=None),
            clock=self._engine.clock,
            timeout_s=check_timeout(timeout),
            detach_timeout_s=detach_timeout_s,
        ).held()

    @answering_async
    async def attach_by_name(
        self,
        name: str,
        droplet_id: int,
        *,
        region: str | Region,
        wait: bool = False,
        timeout: Timeout = None,
    ) -> Action:
        """Attach the volume with this name in this region to a Droplet.

        Scopes: `block_storage_action:create` or `api:write`.

        Args:
            name: the volume's exact name.
            droplet_id: the Droplet's number.
            region: the region, or its slug.
            wait: whether to return only when the action has ended, 120 s at most without `timeout`.
            timeout: seconds or a timedelta for everything, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid name, id or region slug; no request was sent.
            NotFoundError: no such volume or Droplet.
            ActionFailedError, ActionTimeoutError: with `wait`, see `actions.wait`.
            UnprocessableEntityError: attached already (`refusal` is `already` if to this Droplet),
                the Droplet is busy (`busy`) or full.
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        return await self._act_by_name("attach", name, droplet_id, region, timeout, wait=wait)

    @answering_async
    async def detach_by_name(
        self,
        name: str,
        droplet_id: int,
        *,
        region: str | Region,
        wait: bool = False,
        timeout: Timeout = None,
    ) -> Action:
        """Detach the volume with this name in this region from a Droplet.

        Scopes: `block_storage_action:create` or `api:write`.

        Args:
            name: the volume's exact name.
            droplet_id: the number of the Droplet that it is attached to.
            region: the region, or its slug.
            wait: whether to return only when the action has ended, 120 s at most without `timeout`.
            timeout: seconds or a timedelta for everything, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid name, id or region slug; no request was sent.
            NotFoundError: no such volume or Droplet.
            ActionFailedError, ActionTimeoutError: with `wait`, see `actions.wait`.
            UnprocessableEntityError: not attached to it (`refusal` is `already`), or the Droplet is
                busy (`busy`).
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        return await self._act_by_name("detach", name, droplet_id, region, timeout, wait=wait)

    async def _act(
        self,
        volume: str | Volume,
        fields: dict[str, Any],
        region: str | Region | None,
        timeout: Timeout,
        *,
        wait: bool,
    ) -> Action:
        volume_id = check_volume_id(volume)
        if region is not None:
            fields["region"] = check_region(region)

        async def locate(_: Deadline) -> str:
            return volume_id

        target = ActionTarget(volume_id, locate, self._reading)
        return await self._started(fields, target, timeout, wait=wait)

    async def _started(
        self, fields: dict[str, Any], target: ActionTarget, timeout: Timeout, *, wait: bool
    ) -> Action:
        timeout_s = check_timeout(timeout)
        began = self._engine.clock.monotonic()
        action = await start_action(self._engine, self._codec, fields, target, timeout_s)
        if not wait:
            return action
        if timeout_s is None:
            return await self._actions.wait(action)
        with deadline_at(began + timeout_s):
            return await self._actions.wait(action, timeout=None)

    async def _act_by_name(
        self,
        kind: str,
        name: str,
        droplet_id: int,
        region: str | Region,
        timeout: Timeout,
        *,
        wait: bool,
    ) -> Action:
        fields = {
            "type": kind,
            "volume_name": check_text(name, "a volume's name"),
            "droplet_id": check_droplet_id(droplet_id),
            "region": (slug := check_region(region)),
        }

        async def locate(deadline: Deadline) -> str | None:
            listing = await self._named(name, slug, deadline)
            return listing.items[0].id if listing.items else None

        target = ActionTarget(None, locate, self._reading)
        return await self._started(fields, target, timeout, wait=wait)


def _region_of(snapshot: VolumeSnapshot) -> str:
    if len(snapshot.regions) != 1:
        raise InvalidArgumentError(
            f"give region: the snapshot is in {', '.join(snapshot.regions) or 'none that is known'}"
        )
    return snapshot.regions[0]


def _size_of(snapshot: VolumeSnapshot, size_gigabytes: int | None) -> int | None:
    """The size to ask for, which the API may not heed; never below the snapshot's."""
    if size_gigabytes is not None and size_gigabytes < snapshot.min_disk_size:
        raise InvalidArgumentError(
            f"size_gigabytes must be {snapshot.min_disk_size} or more, as the snapshot needs, "
            f"not {size_gigabytes}"
        )
    return size_gigabytes


def _is_named(volume: Volume, wanted: Mapping[str, Any]) -> bool:
    """Whether a new volume is the one that was asked for: its name, its region, its size."""
    size = None if wanted.get("snapshot_id") else wanted.get("size_gigabytes")
    named = (volume.name, volume.region.slug) == (wanted["name"], wanted["region"])
    return named and size in {None, volume.size_gigabytes}


def classify_delete(listing: Listing[Volume], evidence: Evidence) -> Finding[None]:
    """Classify a lost delete by name. Pure.

    Not found, or created since: it was deleted, and what has the name now is another volume.
    Created before: not deleted so far.
    """
    if not listing.items:
        return Finding("adopted")
    found = listing.items[0]
    if evidence.earliest_sent_s is None:
        return Finding("unknown", candidate=found)
    created_s = found.created_at.timestamp()
    if created_s + 1.0 + clock_margin_s(evidence) <= evidence.earliest_sent_s:
        return Finding("not_found", candidate=found)
    if created_s >= evidence.earliest_sent_s + SAME_SECOND_S:
        return Finding("adopted")
    # Created within a second of our request: ambiguous. Prefer "unknown" to deleting a new volume.
    return Finding("unknown", candidate=found)


def matches_request(volume: Volume, wanted: Mapping[str, Any]) -> bool:
    """Tell whether `volume`, found under the requested name, is what a create asked for. Pure.

    Args:
        volume: the volume that was found.
        wanted: fields of the create; None, or a missing field, means that it was left to the API.
    """
    # A volume made from a snapshot has the snapshot's size, whatever was asked.
    size = None if wanted.get("snapshot_id") else wanted.get("size_gigabytes")
    if size is not None and volume.size_gigabytes != size:
        return False
    for field in _KEPT_FIELDS:
        value = wanted.get(field)
        if value is not None and getattr(volume, field) != value:
            return False
    # Others may have added tags since, so more of them than asked for are fine.
    return fold_tags(wanted.get("tags") or ()) <= fold_tags(volume.tags)
