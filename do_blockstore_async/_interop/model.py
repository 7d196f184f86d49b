"""The base of the models: what makes them at home in other libraries.

Each of the special methods is found and called by one library only, and imports it only then; who
uses none of them pays for none, and no more for what writes text. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import attrs

__all__ = ["Model", "ShownByFields", "json_default", "row_of"]


class _SerializerOfPydantic:
    """pydantic's serializer of a model, made when pydantic asks for it.

    It asks where a model stands in a field of type `Any`, as in a route that returns
    `dict[str, Any]`.
    """

    def __get__(self, instance: Any, owner: Any) -> Any:
        try:
            from .pydantic_schema import serializer_of
        except ImportError:
            raise AttributeError("__pydantic_serializer__") from None
        return serializer_of(owner)


class ShownByFields:
    """Base of attrs classes that are shown by their fields, as attrs would show them.

    For `attrs.frozen(repr=False)`: to compile a `__repr__` for each class takes a sixth of what
    the class costs on import, and every program imports these.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        shown = []
        for field in _fields(type(self)):
            if field.repr:
                text = field.repr if callable(field.repr) else repr
                shown.append(f"{field.name}={text(getattr(self, field.name))}")
        return f"{type(self).__name__}({', '.join(shown)})"


class Model(ShownByFields):
    """Base of the models; see `to_dict`, and `dict(model)` for the fields as they are."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # IPython takes a class's own `__repr__` before what its bases have.
        cls._repr_pretty_ = Model._repr_pretty_  # type: ignore[method-assign] # the same

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them: dicts, lists, times in ISO 8601 in UTC."""
        from .._export import builtins_of

        plain: dict[str, Any] = builtins_of(self)
        return plain

    # `dict(model)`; FastAPI's `jsonable_encoder` asks for the same.

    def keys(self) -> tuple[str, ...]:
        """Return the names of the fields, for `dict(model)`."""
        return tuple(field.name for field in _fields(type(self)))

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    # It would otherwise be iterated by number.
    __iter__ = None

    # rich, and consoles and notebooks of IPython.

    def __rich_repr__(self) -> Iterator[tuple[str, Any]]:
        for field in _fields(type(self)):
            if field.repr:
                yield field.name, _short(getattr(self, field.name))

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=type(self).__name__, show_header=False, title_justify="left")
        for name, text in _table(self):
            table.add_row(Text(name), Text(text))
        return table

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in _table(self)
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        from .._export import aligned_text

        # Inside of a list, a line for each.
        if cycle or len(printer.stack) > 1:
            printer.text(repr(self))
        else:
            printer.text(aligned_text((type(self).__name__, ""), _table(self)).rstrip())

    # pydantic, and FastAPI with it.

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from .pydantic_schema import core_schema_of

        return core_schema_of(cls, source, handler)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        from .pydantic_schema import json_schema_of

        return json_schema_of(cls, schema, handler)

    __pydantic_serializer__ = _SerializerOfPydantic()


def json_default(value: Any) -> Any:
    """Say what a model or a time is in JSON: the `default=` of `json.dumps` and `orjson.dumps`.

    Args:
        value: what the encoder does not know.

    Raises:
        TypeError: it is neither a model nor a time.
    """
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, datetime):
        from .._export import iso_time

        return iso_time(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


json_default.__module__ = "do_blockstore_async"


def row_of(model: Any) -> dict[str, Any]:
    """Return a model as one row of a table, for pandas or polars.

    A region is its slug, tuples are lists, times stay times.
    """
    return {field.name: _cell(getattr(model, field.name)) for field in _fields(type(model))}


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_cell(part) for part in value]
    return getattr(value, "slug", value)


def _short(value: Any) -> Any:
    return getattr(value, "slug", value)


def _table(model: Model) -> list[tuple[str, str]]:
    """The fields that are not empty, as text."""
    from .._export import iso_time

    rows = []
    for name, value in row_of(model).items():
        if value not in (None, "", []):
            if isinstance(value, list):
                parts = [str(part) for part in value]
                text = ", ".join(parts) if len(parts) <= 8 else f"{len(parts)} of them"
            else:
                text = iso_time(value) if isinstance(value, datetime) else str(value)
            rows.append((name, text))
    return rows


_fields: Callable[[type[Any]], tuple[attrs.Attribute[Any], ...]] = attrs.fields
