"""Decoding alone: the bytes of one page, or of one volume, into whatever each way makes of them.

| way | what it makes |
| --- | --- |
| project | attrs models with aware datetimes and tuples, links and totals, by its `Codec` |
| json | dicts and texts, `json.loads` |
| orjson | dicts and texts |
| msgspec | dicts and texts |
| msgspec-attrs | attrs models with datetimes, each region built anew: a floor for the plain way |
| cattrs | the same models by cattrs without detailed validation, from orjson's dicts |
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import attrs

from .answers import PER_PAGE, page_body, volume

__all__ = ["prepare"]


@attrs.frozen
class Region:
    slug: str
    name: str
    available: bool
    features: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()


@attrs.frozen
class Volume:
    id: str
    name: str
    size_gigabytes: int
    region: Region
    created_at: datetime
    description: str = ""
    droplet_ids: tuple[int, ...] = ()
    filesystem_type: str = ""
    filesystem_label: str = ""
    tags: tuple[str, ...] = ()


@attrs.frozen
class Page:
    volumes: tuple[Volume, ...]


@attrs.frozen
class One:
    volume: Volume


def _way(name: str, form: str) -> Callable[[bytes], Any]:
    if name == "project":
        from do_blockstore_async._http.request import RawResponse
        from do_blockstore_async._schema.json_to_models import Codec

        codec = Codec()
        decode: Any = codec.volumes if form == "page" else codec.volume
        headers = {"date": "Mon, 23 Nov 2026 12:00:00 GMT"}
        return lambda body: decode(RawResponse(200, headers, body))
    if name == "json":
        return json.loads
    if name == "orjson":
        import orjson

        return orjson.loads
    if name == "cattrs":
        import cattrs.preconf.orjson
        import orjson

        converter = cattrs.preconf.orjson.make_converter(detailed_validation=False)
        cls = Page if form == "page" else One
        return lambda body: converter.structure(orjson.loads(body), cls)
    import msgspec

    if name == "msgspec":
        return msgspec.json.Decoder().decode
    return msgspec.json.Decoder(Page if form == "page" else One).decode


async def prepare(spec: dict[str, Any]) -> tuple[Callable[[], Awaitable[None]], int]:
    decode = _way(spec["client"], spec["form"])
    count = spec["count"]
    if spec["form"] == "page":
        bodies = [page_body(n + 1, count, "https://api.test") for n in range(count // PER_PAGE)]
    else:
        bodies = [
            json.dumps({"volume": volume(n)}, separators=(",", ":")).encode() for n in range(count)
        ]

    async def once() -> None:
        for body in bodies:
            decode(body)

    return once, count
