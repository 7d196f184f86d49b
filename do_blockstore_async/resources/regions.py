"""Regions: where volumes can be (API reference, "Regions")."""

from __future__ import annotations

from .._deadline import Timeout
from .._http.engine import Engine
from .._schema.json_to_models import Codec
from ..models import Region
from ._listing import AsyncListing
from ._pagination import ListingCall

__all__ = ["RegionManager"]


class RegionManager:
    """The data center regions: `store.regions`."""

    def __init__(self, engine: Engine, codec: Codec) -> None:
        self._engine = engine
        self._codec = codec

    def list(self, *, timeout: Timeout = None) -> AsyncListing[Region]:
        """List every region, those without block storage included (see `Region.features`).

        Scopes: `regions:read`. Requests: 1.

        Args:
            timeout: seconds or a timedelta, for the whole listing.

        Raises:
            BlockStoreError: see `errors`.
        """
        call = ListingCall(
            path="/v2/regions",
            route="/v2/regions",
            decode=self._codec.regions,
            scopes=("regions:read",),
            identity=lambda region: region.slug,
            created_at=None,
        )
        return AsyncListing(self._engine, call, timeout=timeout)
