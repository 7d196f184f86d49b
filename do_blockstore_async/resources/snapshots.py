"""Snapshots of volumes (API reference, "Block Storage": volume snapshots; "Snapshots")."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

from .._deadline import Deadline, Timeout
from .._http.engine import Engine
from .._http.recovery.rules import classify_create
from .._http.request import Listing, Reconciliation, Request
from .._interop.habits import answering_async
from .._schema.json_to_models import Codec
from .._schema.validation import (
    check_snapshot_id,
    check_snapshot_name,
    check_tags,
    check_volume_id,
    fold_tags,
)
from ..models import Page, Volume, VolumeSnapshot
from ._listing import AsyncListing
from ._pagination import ListingCall, collect

__all__ = ["SnapshotManager", "matches_request", "reading_of"]

_READ = ("block_storage_snapshot:read",)
_ONE = "/v2/volumes/snapshots/{snapshot_id}"
_OF_VOLUME = "/v2/volumes/{volume_id}/snapshots"


class SnapshotManager:
    """Snapshots of volumes: `store.snapshots`."""

    def __init__(self, engine: Engine, codec: Codec) -> None:
        self._engine = engine
        self._codec = codec

    def _listing(
        self, volume_id: str | Volume | None, per_page: int
    ) -> ListingCall[VolumeSnapshot]:
        if volume_id is None:
            path = route = "/v2/snapshots"
            params: tuple[tuple[str, str], ...] = (("resource_type", "volume"),)
            scopes: tuple[str, ...] = ("snapshot:read",)
        else:
            path, route = f"/v2/volumes/{check_volume_id(volume_id)}/snapshots", _OF_VOLUME
            params, scopes = (), _READ
        return ListingCall(
            path=path,
            route=route,
            decode=self._codec.snapshots,
            scopes=scopes,
            identity=attrgetter("id"),
            created_at=attrgetter("created_at"),
            params=params,
            per_page=per_page,
        )

    def list(
        self,
        volume_id: str | Volume | None = None,
        *,
        per_page: int = 200,
        timeout: Timeout = None,
    ) -> AsyncListing[VolumeSnapshot]:
        """List the snapshots of one volume, or of every volume of the account in one listing.

        Scopes: `block_storage_snapshot:read` for one volume, `snapshot:read` for the account.
        Requests: ceil(n / per_page).

        Args:
            volume_id: the volume, or its id; None means every volume of the account.
            per_page: items in one page, 1 to 200.
            timeout: seconds or a timedelta, for the whole listing.

        Raises:
            InvalidArgumentError: invalid volume id or page size.
            NotFoundError: no such volume.
            ListingChangedError: it changed during each of three passes.
        """
        return AsyncListing(self._engine, self._listing(volume_id, per_page), timeout=timeout)

    def pages(
        self,
        volume_id: str | Volume | None = None,
        *,
        per_page: int = 200,
        timeout: Timeout = None,
    ) -> AsyncGenerator[Page[VolumeSnapshot], None]:
        """List snapshots as `list` does, page by page.

        Scopes: `block_storage_snapshot:read` for one volume, `snapshot:read` for the account.

        Args:
            volume_id: the volume, or its id; None means every volume of the account.
            per_page: items in one page, 1 to 200.
            timeout: seconds or a timedelta, for the whole listing, including time the caller
                spends between pages.

        Raises:
            InvalidArgumentError: invalid volume id or page size.
            NotFoundError: no such volume.
            ListingChangedError: it changed during each of three passes.
        """
        return self.list(volume_id, per_page=per_page, timeout=timeout).pages()

    @answering_async
    async def get(
        self, snapshot_id: str | VolumeSnapshot, *, timeout: Timeout = None
    ) -> VolumeSnapshot:
        """Return one snapshot.

        Scopes: `block_storage_snapshot:read`.

        Args:
            snapshot_id: its id, hexadecimal digits and hyphens; or the snapshot, to read it again.
            timeout: seconds or a timedelta, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid id; no request was sent.
            NotFoundError: no such snapshot.
        """
        return await self._engine.call(reading_of(self._codec, snapshot_id), timeout=timeout)

    @answering_async
    async def create(
        self,
        volume_id: str | Volume,
        name: str,
        *,
        tags: Iterable[str] | None = (),
        timeout: Timeout = None,
    ) -> VolumeSnapshot:
        """Take a snapshot of a volume.

        The API takes one of a volume in ten minutes and keeps 25 of a volume at most. When the
        response is lost, the volume's snapshots are queried by name before anything is sent again.

        Scopes: `block_storage_snapshot:create` (and `tag:create` for tags).

        Args:
            volume_id: the volume or its id, attached or not.
            name: printable, at most 255 long; unique on the volume.
            tags: tag names, existing or new.
            timeout: seconds or a timedelta, the wait for quota included. With a timeout longer than
                the cooldown of ten minutes a snapshot rejected by it is tried again.

        Raises:
            InvalidArgumentError: invalid name, tag or id; no request was sent.
            NotFoundError: no such volume.
            ConflictError: the name is taken on this volume.
            RateLimitedError: kind `snapshot_cooldown`.
            OutcomeUnknownError: the response was lost, and its outcome could not be found out.
        """
        volume_id = check_volume_id(volume_id)
        path = f"/v2/volumes/{volume_id}/snapshots"
        body: dict[str, Any] = {"name": check_snapshot_name(name)}
        checked = check_tags(tags)
        if checked:
            body["tags"] = list(checked)

        async def query(deadline: Deadline) -> Listing[VolumeSnapshot]:
            return await collect(self._engine, self._listing(volume_id, 200), deadline=deadline)

        request: Request[VolumeSnapshot] = Request(
            method="POST",
            path=path,
            route=_OF_VOLUME,
            decode=self._codec.snapshot,
            json=body,
            scopes=("block_storage_snapshot:create",),
            # Whether the API trims names is not known; it must not look like another's answer.
            identifies=lambda made: (
                (made.name.strip(), made.resource_id.lower()) == (name.strip(), volume_id.lower())
            ),
            reconciliation=Reconciliation(
                query=query,
                classify=partial(
                    classify_create,
                    is_candidate=lambda found: found.name == name,
                    matches_request=lambda found: matches_request(found, body),
                ),
                # That names are unique on a volume is known of one client's tests only.
                server_rejects_duplicates=False,
                hint=f"check volume {volume_id} for a snapshot {name!r}",
                key=("snapshot", volume_id, name),
            ),
        )
        snapshot = await self._engine.call(request, timeout=timeout)
        self._engine.remember(snapshot.id)
        return snapshot

    @answering_async
    async def delete(self, snapshot_id: str | VolumeSnapshot, *, timeout: Timeout = None) -> None:
        """Delete a snapshot permanently.

        Scopes: `block_storage_snapshot:delete`.

        Args:
            snapshot_id: the snapshot, or its id.
            timeout: seconds or a timedelta, the wait for quota included.

        Raises:
            InvalidArgumentError: invalid id; no request was sent.
            NotFoundError: no such snapshot.
        """
        request = Request(
            method="DELETE",
            path=f"/v2/volumes/snapshots/{check_snapshot_id(snapshot_id)}",
            route=_ONE,
            decode=self._codec.nothing,
            idempotent=True,
            scopes=("block_storage_snapshot:delete",),
        )
        await self._engine.call(request, timeout=timeout)


def reading_of(codec: Codec, snapshot_id: str | VolumeSnapshot) -> Request[VolumeSnapshot]:
    """Describe the request for one snapshot."""
    wanted = check_snapshot_id(snapshot_id)
    return Request(
        method="GET",
        path=f"/v2/volumes/snapshots/{wanted}",
        route=_ONE,
        decode=codec.snapshot,
        idempotent=True,
        scopes=_READ,
        identifies=lambda found: found.id.lower() == wanted.lower(),
    )


def matches_request(snapshot: VolumeSnapshot, wanted: Mapping[str, Any]) -> bool:
    """Tell whether `snapshot`, found under the requested name, is what a create asked for. Pure.

    Args:
        snapshot: the snapshot that was found.
        wanted: fields of the create; None, or a missing field, means that it was left to the API.
    """
    # Others may have added tags since, so more of them than asked for are fine.
    return fold_tags(wanted.get("tags") or ()) <= fold_tags(snapshot.tags)
