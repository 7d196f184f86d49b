"""What the vendor's public description requires of a Droplet: names and types, by hand."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft7Validator


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT, NUMBER, WHOLE, YES_NO = (
    {"type": name} for name in ("string", "number", "integer", "boolean")
)
REGION = _object(name=TEXT, slug=TEXT, features=_list(TEXT), available=YES_NO, sizes=_list(TEXT))
SIZE = _object(
    slug=TEXT,
    memory=WHOLE,
    vcpus=WHOLE,
    disk=WHOLE,
    transfer=NUMBER,
    price_monthly=NUMBER,
    price_hourly=NUMBER,
    regions=_list(TEXT),
    available=YES_NO,
    description=TEXT,
)
DROPLET = Draft7Validator(
    _object(
        id=WHOLE,
        name=TEXT,
        memory={"type": "integer", "multipleOf": 8},
        vcpus=WHOLE,
        disk=WHOLE,
        locked=YES_NO,
        status={"enum": ["new", "active", "off", "archive"]},
        created_at={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        features=_list(TEXT),
        backup_ids=_list(WHOLE),
        next_backup_window={"type": ["object", "null"]},
        snapshot_ids=_list(WHOLE),
        image=_object(
            id=WHOLE, name=TEXT, distribution=TEXT, slug=TEXT, public=YES_NO, regions=_list(TEXT)
        ),
        volume_ids=_list(TEXT),
        size=SIZE,
        size_slug=TEXT,
        networks=_object(
            v4=_list(_object(ip_address=TEXT, netmask=TEXT, gateway=TEXT, type=TEXT)),
            v6=_list({"type": "object"}),
        ),
        region=REGION,
        tags=_list(TEXT),
        vpc_uuid=TEXT,
    )
)
