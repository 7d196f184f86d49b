"""The cattrs converter for the models: strict about types, generous about nulls and extra fields.

Users meet it to turn models into plain data and back, and may register hooks of their own on it.
The codec uses it to find out which field of a response does not fit.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final, get_origin

import attrs
import cattrs
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from ..errors import DecodeError
from ..models import Action, Region, Volume, VolumeSnapshot

__all__ = ["make_converter", "structure_answer"]

_MODEL_OF: Final[dict[str, type]] = {
    "region": Region,
    "volume": Volume,
    "snapshot": VolumeSnapshot,
    "action": Action,
}


def make_converter() -> cattrs.Converter:
    """Make a cattrs converter for `Volume`, `VolumeSnapshot`, `Action` and `Region`.

    `converter.unstructure(volume)` gives plain JSON data with the API's field names and ISO 8601
    dates; `converter.structure(data, Volume)` gives the model back. Types are not coerced: a
    number in quotes is an error. But 10.0 is the integer 10, and a region may be its slug alone.
    """
    converter = cattrs.Converter(detailed_validation=True)
    for primitive in (str, bool):
        converter.register_structure_hook(primitive, _exactly(primitive))
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(datetime, _datetime)
    converter.register_structure_hook_factory(_is_tuple, _from_list)
    converter.register_unstructure_hook(datetime, _iso)
    # Made when first used, so that they take up hooks that users have registered by then.
    converter.register_structure_hook_factory(
        _is_model, lambda model: _null_means_default(converter, model)
    )
    converter.register_unstructure_hook_factory(_is_model, partial(_plain, converter))
    return converter


make_converter.__module__ = "do_blockstore_async"


def _is_model(cls: Any) -> bool:
    return cls in _MODEL_OF.values()


def _plain(converter: cattrs.Converter, model: type) -> Any:
    if model is Action:
        # Noted by the client, not part of the API's form.
        return make_dict_unstructure_fn(model, converter, volume_id=override(omit=True))
    return make_dict_unstructure_fn(model, converter)


@cache
def _own_converter() -> cattrs.Converter:
    """The codec's own, without hooks of users: making one takes 20 ms of code generation."""
    return make_converter()


def _exactly(primitive: type) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not primitive:
            raise TypeError(f"expected {primitive.__name__}, got {_name(value)}")
        return value

    return structure


def _name(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _is_tuple(wanted: Any) -> bool:
    return get_origin(wanted) is tuple


def _from_list(wanted: Any, converter: cattrs.Converter) -> Any:
    """Take lists only: a string would be split into letters, an object into its keys."""
    structure: Any = homogenous_tuple_structure_factory(wanted, converter)

    def strict(value: Any, cls: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected a list, got {_name(value)}")
        return structure(value, cls)

    return strict


def _integer(value: Any, _: Any) -> int:
    if type(value) is float and value.is_integer():
        return int(value)  # seen as 10.0 (godo#115)
    if type(value) is not int:
        raise TypeError(f"expected int, got {_name(value)}")
    return value


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {_name(value)}")
    return float(value)


def _datetime(value: Any, _: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError(f"expected an ISO 8601 date, got {_name(value)}")
    date = datetime.fromisoformat(value)
    if date.tzinfo is None:
        raise ValueError("expected a date with its offset from UTC")
    return date


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _null_means_default(converter: cattrs.Converter, model: type) -> Any:
    """Take null in a field that has a default for the default: the API sends null for empty."""
    structure: Any = make_dict_structure_fn(model, converter)
    defaulted = {field.name for field in attrs.fields(model) if field.default is not attrs.NOTHING}
    defaulted.add("regions")  # of a snapshot: documented as required, seen as null

    def generous(value: Any, cls: Any) -> Any:
        if model is Region and isinstance(value, str):
            return Region(value, value, True)  # a slug alone (packer#1814)
        if not isinstance(value, dict):
            raise TypeError(f"expected an object, got {_name(value)}")
        nulls = [name for name in defaulted if name in value and value[name] is None]
        if nulls:
            value = {name: item for name, item in value.items() if name not in nulls}
            if "regions" in nulls:
                value["regions"] = ()
        return structure(value, cls)

    return generous


def structure_answer(document: Any, key: str, status: int) -> tuple[Any, int | None, str | None]:
    """The model or models under `key`, with `meta.total` and the last page's link of a listing.

    Raises:
        DecodeError: naming the field that does not fit.
    """
    if not isinstance(document, dict) or key not in document:
        raise DecodeError(f"the response has no {key!r}", field=key, status=status)
    converter = _own_converter()
    model = _MODEL_OF[key.removesuffix("s")]
    wanted: Any = tuple[model, ...] if key.endswith("s") else model  # type: ignore[valid-type]
    if key.endswith("s") and document[key] is None:
        document = {**document, key: []}
    if key.endswith("s") and not isinstance(document[key], list):
        raise DecodeError(
            f"{key}: expected a list, got {_name(document[key])}", field=key, status=status
        )
    try:
        value = converter.structure(document[key], wanted)
    except Exception as error:  # noqa: BLE001 -- hooks of users may raise anything; all of it means "does not fit"
        where, why = _first_leaf(error, key)
        why = why[:200]  # it may quote what the server sent
        raise DecodeError(f"{where}: {why}", field=where, status=status) from None
    return value, _total(document, status), _last(document)


def _total(document: dict[str, Any], status: int) -> int | None:
    meta = document.get("meta")
    total = meta.get("total") if isinstance(meta, dict) else None
    if total is not None and (type(total) is not int or total < 0):
        got = "a negative number" if type(total) is int else _name(total)
        raise DecodeError(
            f"meta.total: expected a count, got {got}", field="meta.total", status=status
        )
    return total


def _last(document: dict[str, Any]) -> str | None:
    pages = document.get("links")
    for name in ("pages", "last"):
        pages = pages.get(name) if isinstance(pages, dict) else None
    return pages if isinstance(pages, str) else None


def _first_leaf(error: BaseException, path: str) -> tuple[str, str]:
    """Return the path and the reason of the first field that failed, from a tree of exceptions."""
    if isinstance(error, BaseExceptionGroup):
        child = error.exceptions[0]
        for note in getattr(child, "__notes__", ()):
            if isinstance(note, cattrs.IterableValidationNote):
                path = f"{path}[{note.index}]"
            elif isinstance(note, cattrs.AttributeValidationNote):
                path = f"{path}.{note.name}"
        return _first_leaf(child, path)
    if isinstance(error, KeyError):
        return path, "missing"
    return path, str(error)
