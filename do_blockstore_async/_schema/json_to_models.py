"""Bytes to models and back: the one place that knows how a response's JSON is laid out.

Two ways lead to the same models:

- the fast one: msgspec parses the bytes straight into small wire structs, from which the attrs
  models are built. The region, four fifths of a volume's bytes, is cut out unparsed and looked up
  by its bytes, so that equal regions are parsed once and are one object;
- the diagnosing one: cattrs, with detailed validation. It runs only when the fast one fails,
  names the field that does not fit, and decides.

C1. Both give equal models for every response that both accept (held by a property test).
C2. Nothing but DecodeError leaves this module for any bytes whatever.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from .._dates import date_header_s
from .._http.request import Listing, RawResponse, encode_json
from ..errors import DecodeError, InvalidArgumentError
from ..models import Action, Region, Volume, VolumeSnapshot

__all__ = ["Codec", "check_encodable"]

T = TypeVar("T")

Aware: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
_MAX_REGIONS: Final = 256


class _Wire(msgspec.Struct, gc=False):
    """Base of the wire structs: they live for one loop turn and hold no cycles."""


class _Region(_Wire):
    slug: str
    name: str
    available: bool
    features: tuple[str, ...] | None = None
    sizes: tuple[str, ...] | None = None


class _Volume(_Wire):
    id: str
    name: str
    size_gigabytes: int | float
    region: msgspec.Raw
    created_at: Aware
    description: str | None = None
    droplet_ids: tuple[int, ...] | None = None
    filesystem_type: str | None = None
    filesystem_label: str | None = None
    tags: tuple[str, ...] | None = None


class _Snapshot(_Wire):
    id: str
    name: str
    created_at: Aware
    resource_id: str
    resource_type: str
    regions: tuple[str, ...] | None
    min_disk_size: int | float
    size_gigabytes: float
    tags: tuple[str, ...] | None = None


class _Action(_Wire):
    id: int
    status: str
    type: str
    started_at: Aware
    completed_at: Aware | None = None
    resource_id: int | None = None
    resource_type: str | None = None
    region: msgspec.Raw = msgspec.Raw(b"null")
    region_slug: str | None = None


class _Meta(_Wire):
    total: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _PageLinks(_Wire):
    last: str | None = None


class _Links(_Wire):
    pages: _PageLinks | None = None


class _VolumePage(_Wire):
    volumes: list[_Volume] | None
    meta: _Meta | None = None
    links: _Links | None = None


class _SnapshotPage(_Wire):
    snapshots: list[_Snapshot] | None
    meta: _Meta | None = None
    links: _Links | None = None


class _ActionPage(_Wire):
    actions: list[_Action] | None
    meta: _Meta | None = None
    links: _Links | None = None


class _RegionPage(_Wire):
    regions: list[_Region] | None
    meta: _Meta | None = None
    links: _Links | None = None


class _OneVolume(_Wire):
    volume: _Volume


class _OneSnapshot(_Wire):
    snapshot: _Snapshot


class _OneAction(_Wire):
    action: _Action


_decode_volumes = msgspec.json.Decoder(_VolumePage).decode
_decode_volume = msgspec.json.Decoder(_OneVolume).decode
_decode_snapshots = msgspec.json.Decoder(_SnapshotPage).decode
_decode_snapshot = msgspec.json.Decoder(_OneSnapshot).decode
_decode_actions = msgspec.json.Decoder(_ActionPage).decode
_decode_action = msgspec.json.Decoder(_OneAction).decode
_decode_regions = msgspec.json.Decoder(_RegionPage).decode
_decode_region = msgspec.json.Decoder(_Region).decode
_decode_any = msgspec.json.Decoder().decode


def check_encodable(params: tuple[tuple[str, str], ...], json: Any) -> None:
    """Reject what a URL or JSON cannot hold, before anything is sent.

    Raises:
        InvalidArgumentError: an object without a JSON form, or a lone surrogate.
    """
    try:
        encode_json((params, json))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgumentError(f"cannot be encoded as JSON: {type(error).__name__}") from None


def _last_page(links: _Links | None) -> int | None:
    """Return the page number of a link, and nothing else of it: its host is never used."""
    if links is None or links.pages is None or not links.pages.last:
        return None
    try:
        number = parse_qs(urlsplit(links.pages.last).query)["page"][0]
    except (ValueError, KeyError):
        return None
    # int() would take "١٢" and "1_0"; a thousand digits would cost time.
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 9 else None


class Codec:
    """Makes models of responses for one client; keeps the regions it has seen."""

    __slots__ = ("_regions", "_regions_by_bytes")

    def __init__(self) -> None:
        self._regions_by_bytes: dict[bytes, Region] = {}
        self._regions: dict[Region, Region] = {}

    # One method for each form of response.

    def volume(self, raw: RawResponse) -> Volume:
        """`{"volume": {...}}`."""
        return self._fast(raw, _decode_volume, lambda one: self._volume(one.volume), "volume")

    def volumes(self, raw: RawResponse) -> Listing[Volume]:
        """`{"volumes": [...], "links": ..., "meta": ...}`."""
        return self._listing(raw, _decode_volumes, "volumes", self._volume)

    def snapshot(self, raw: RawResponse) -> VolumeSnapshot:
        """`{"snapshot": {...}}`."""
        return self._fast(raw, _decode_snapshot, lambda one: _snapshot(one.snapshot), "snapshot")

    def snapshots(self, raw: RawResponse) -> Listing[VolumeSnapshot]:
        """`{"snapshots": [...], ...}`."""
        return self._listing(raw, _decode_snapshots, "snapshots", _snapshot)

    def action(self, raw: RawResponse) -> Action:
        """`{"action": {...}}`."""
        return self._fast(raw, _decode_action, lambda one: self._action(one.action), "action")

    def actions(self, raw: RawResponse) -> Listing[Action]:
        """`{"actions": [...], ...}`."""
        return self._listing(raw, _decode_actions, "actions", self._action)

    def regions(self, raw: RawResponse) -> Listing[Region]:
        """`{"regions": [...], ...}`."""
        return self._listing(raw, _decode_regions, "regions", self._intern)

    @staticmethod
    def nothing(raw: RawResponse) -> None:
        """Decode a response without a body, such as 204."""

    @staticmethod
    def anything(raw: RawResponse) -> Any:
        """Decode any JSON; None for an empty body."""
        if not raw.body.strip():
            return None
        try:
            return _decode_any(raw.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise _not_json(raw, error) from None

    # The fast way.

    def _fast(
        self,
        raw: RawResponse,
        decode: Callable[[bytes], Any],
        build: Callable[[Any], T],
        key: str,
    ) -> T:
        try:
            return build(decode(raw.body))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError):
            pass
        return self._explain(raw, key)  # type: ignore[no-any-return]

    def _listing(
        self,
        raw: RawResponse,
        decode: Callable[[bytes], Any],
        key: str,
        build: Callable[[Any], T],
    ) -> Listing[T]:
        def listing(page: Any) -> Listing[T]:
            return Listing(
                tuple(map(build, getattr(page, key) or ())),
                None if page.meta is None else page.meta.total,
                _last_page(page.links),
                date_header_s(raw.headers),
            )

        return self._fast(raw, decode, listing, key)

    def _volume(self, wire: _Volume) -> Volume:
        size = wire.size_gigabytes
        return Volume(
            wire.id,
            wire.name,
            size if size.__class__ is int else _whole(size),
            self._region(wire.region),
            wire.created_at,
            wire.description or "",
            wire.droplet_ids or (),
            wire.filesystem_type or "",
            wire.filesystem_label or "",
            wire.tags or (),
        )

    def _action(self, wire: _Action) -> Action:
        return Action(
            wire.id,
            wire.status,
            wire.type,
            wire.started_at,
            wire.completed_at,
            wire.resource_id,
            wire.resource_type or "",
            None if wire.region == b"null" else self._region(wire.region),
            wire.region_slug,
        )

    def _region(self, raw: msgspec.Raw) -> Region:
        key = bytes(raw)
        region = self._regions_by_bytes.get(key)
        if region is None:
            # An action's region has been seen as a slug alone (packer#1814).
            region = (
                self._intern(_Region(slug := _decode_any(key), slug, True))
                if key.startswith(b'"')
                else self._intern(_decode_region(key))
            )
            if len(self._regions_by_bytes) >= _MAX_REGIONS:
                # A server that sends ever new regions must not fill the memory.
                self._regions_by_bytes.clear()
                self._regions.clear()
            self._regions_by_bytes[key] = region
        return region

    def _intern(self, wire: _Region) -> Region:
        region = Region(wire.slug, wire.name, wire.available, wire.features or (), wire.sizes or ())
        return self._regions.setdefault(region, region)

    # The diagnosing way.

    def _explain(self, raw: RawResponse, key: str) -> Any:
        try:
            document = _decode_any(raw.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise _not_json(raw, error) from None
        # Imported only here: cattrs takes longer to import than most programs need it.
        from .cattrs_hooks import structure_answer

        values, meta, links = structure_answer(document, key, raw.status)
        if not key.endswith("s"):
            return values
        return Listing(
            values,
            None if meta is None else meta,
            _last_page(_Links(_PageLinks(links)) if links else None),
            date_header_s(raw.headers),
        )


def _whole(number: int | float) -> int:
    """Return a whole number that came as 10.0 (godo#115)."""
    if isinstance(number, float) and not number.is_integer():
        raise msgspec.ValidationError("expected a whole number")
    return int(number)


def _snapshot(wire: _Snapshot) -> VolumeSnapshot:
    return VolumeSnapshot(
        wire.id,
        wire.name,
        wire.created_at,
        wire.resource_id,
        wire.resource_type,
        wire.regions or (),
        _whole(wire.min_disk_size),
        wire.size_gigabytes,
        wire.tags or (),
    )


def _not_json(raw: RawResponse, error: Exception) -> DecodeError:
    if not raw.body.strip():
        return DecodeError("the response has no body", status=raw.status)
    return DecodeError(f"the response is not JSON: {error}", status=raw.status)
