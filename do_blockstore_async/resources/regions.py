"""Regions: where volumes can be (API reference, "Regions")."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from .._http.engine import Engine
from .._schema.json_to_models import Codec
from ..models import Region
from ._pagination import ListingCall, items

__all__ = ["RegionManager"]


class RegionManager:
    """The data center regions: `store.regions`."""

    def __init__(self, engine: Engine, codec: Codec) -> None:
        self._engine = engine
        self._codec = codec

    def list(self, *, timeout: float | None = None) -> AsyncGenerator[Region, None]:
        """List every region, those without block storage included (see `Region.features`).

        Scopes: `regions:read`. Requests: 1.

        Args:
            timeout: seconds for the whole listing.

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
        return items(self._engine, call, timeout=timeout)
