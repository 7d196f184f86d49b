"""What pydantic is told of a model; imported only when pydantic asks. Pure.

To pydantic a model is a dataclass: an instance is taken as it is, a dict or JSON is validated field
by field and made one. Descriptions in JSON schemas, and so in a page of OpenAPI, are those of the
docstrings; the examples are those of the API reference.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_type_hints

import attrs
from pydantic_core import core_schema

__all__ = ["core_schema_of", "json_schema_of", "serializer_of"]

_REGION: Final = {
    "slug": "nyc1",
    "name": "New York 1",
    "available": True,
    "features": ["backups", "ipv6", "metadata", "storage"],
    "sizes": ["s-1vcpu-1gb", "s-2vcpu-2gb"],
}
_EXAMPLES: Final[dict[str, Any]] = {
    "Region": _REGION,
    "Volume": {
        "id": "506f78a4-e098-11e5-ad9f-000f53306ae1",
        "name": "example",
        "size_gigabytes": 10,
        "region": _REGION,
        "created_at": "2020-03-02T17:00:49Z",
        "description": "Block store for examples",
        "droplet_ids": [11612190],
        "filesystem_type": "ext4",
        "filesystem_label": "example",
        "tags": ["production"],
    },
    "VolumeSnapshot": {
        "id": "8fa70202-873f-11e6-8b68-000f533176b1",
        "name": "big-data-snapshot",
        "created_at": "2020-09-30T18:56:12Z",
        "resource_id": "506f78a4-e098-11e5-ad9f-000f53306ae1",
        "resource_type": "volume",
        "regions": ["nyc1"],
        "min_disk_size": 10,
        "size_gigabytes": 0.5,
        "tags": ["nightly"],
    },
    "Action": {
        "id": 72531856,
        "status": "completed",
        "type": "attach_volume",
        "started_at": "2020-11-12T17:51:03Z",
        "completed_at": "2020-11-12T17:51:14Z",
        "resource_id": None,
        "resource_type": "volume",
        "region": _REGION,
        "region_slug": "nyc1",
        "volume_id": "506f78a4-e098-11e5-ad9f-000f53306ae1",
    },
    "RateLimit": {"limit": 5000, "remaining": 4816, "reset": "2020-11-12T18:51:03Z"},
}


def core_schema_of(model: type[Any], source: Any, handler: Any) -> core_schema.CoreSchema:
    """Return the core schema of a model, or of a generic one such as `Page[Volume]`.

    Args:
        model: the class.
        source: the annotation that names it.
        handler: pydantic's, which makes the schemas of the fields.
    """
    hints = get_type_hints(model)
    parameter = (*get_args(source), Any)[0]
    fields = []
    shown = {}
    for field in attrs.fields(model):
        schema = handler.generate_schema(_filled(hints[field.name], parameter))
        if hints[field.name] is not Any:
            schema = _with_zone(schema)
        if field.default is not attrs.NOTHING:
            schema = core_schema.with_default_schema(schema, default=field.default)
        shown[field.name] = core_schema.typed_dict_field(schema, required=True)
        fields.append(core_schema.dataclass_field(field.name, schema))
    name = model.__name__
    return core_schema.dataclass_schema(
        model,
        core_schema.dataclass_args_schema(name, fields),
        [field.name for field in attrs.fields(model)],
        cls_name=name,
        slots=True,
        frozen=True,
        # pydantic's own way would look for the marks of a dataclass on the instance.
        # The inner serializer keeps to `include`, `exclude` and the like.
        serialization=core_schema.wrap_serializer_function_ser_schema(
            lambda value, serialized: serialized(dict(value)),
            schema=core_schema.typed_dict_schema(shown),
        ),
        ref=_reference(model, get_args(source)),
    )


def _with_zone(schema: Any) -> Any:
    """Ask times for their zone, optional ones too."""
    if schema["type"] == "nullable":
        return {**schema, "schema": _with_zone(schema["schema"])}
    if schema["type"] == "datetime":
        return core_schema.datetime_schema(tz_constraint="aware")
    return schema


def _filled(hint: Any, parameter: Any) -> Any:
    """Put the parameter of a generic model in its place: `tuple[T, ...]` is its only use."""
    return (
        tuple[parameter, ...] if any(isinstance(arg, TypeVar) for arg in get_args(hint)) else hint
    )


def _reference(model: type[Any], arguments: tuple[Any, ...]) -> str:
    """A name for the model among the definitions, by pydantic's own rule."""
    named = f"{model.__module__}.{model.__qualname__}:{id(model)}"
    if not arguments:
        return named
    inner = ",".join(
        f"{each.__module__}.{each.__qualname__}:{id(each)}"
        if isinstance(each, type)
        else re.sub(r"\W", "_", repr(each))
        for each in arguments
    )
    return f"{named}[{inner}]"


def json_schema_of(model: Any, schema: Any, handler: Any) -> dict[str, Any]:
    """Return the JSON schema of a model, with its descriptions and an example."""
    made: dict[str, Any] = handler(schema)
    told: dict[str, Any] = handler.resolve_ref_schema(made)
    told.setdefault("title", model.__name__)
    summary, of_fields = _described(model)
    if summary:
        told["description"] = summary
    for name, prop in told.get("properties", {}).items():
        if name in of_fields:
            prop.setdefault("description", of_fields[name])
    if model.__name__ in _EXAMPLES:
        told.setdefault("examples", [_EXAMPLES[model.__name__]])
    return made


@cache
def _described(model: type[Any]) -> tuple[str, dict[str, str]]:
    """Read a docstring: its first paragraph, and what it says of each attribute."""
    summary, _, rest = inspect.cleandoc(model.__doc__ or "").partition("\n\n")
    _, _, attributes = rest.partition("Attributes:\n")
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE):
        for name in names.split(", "):
            found[name] = (text[0].upper() + " ".join(text.split())[1:]).replace("`", "")
    return " ".join(summary.split()), found


@cache
def serializer_of(model: type[Any]) -> Any:
    """Return pydantic's serializer of a model."""
    from pydantic import TypeAdapter

    return TypeAdapter(model).serializer
