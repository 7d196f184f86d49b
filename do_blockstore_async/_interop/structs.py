"""Structs of msgspec that attrs knows too.

What there are hundreds of thousands of, the steps of a plan say, are structs: a third of an attrs
value to make, and none of them is anything to the garbage collector, which would otherwise stop the
event loop to look at them all. `attrs.evolve`, `attrs.asdict` and `attrs.fields` take them all the
same. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import msgspec

__all__ = ["known_to_attrs"]

S = TypeVar("S", bound=type[msgspec.Struct])


def known_to_attrs(*order: str) -> Callable[[S], S]:
    """Let the functions of attrs take a struct, and show it as attrs would.

    Args:
        order: of the fields, for attrs and for `repr`; the struct's own by default.
    """

    def known(struct: S) -> S:
        found = {field.name: field for field in msgspec.structs.fields(struct)}
        fields: dict[str, Any] = {}
        for name in order or tuple(found):
            field = found.pop(name)
            default = attrs.NOTHING if field.default is msgspec.NODEFAULT else field.default
            fields[name] = attrs.field(default=default, type=field.type, kw_only=True)
        if found:
            raise TypeError(f"{struct.__name__} has more fields: {', '.join(found)}")
        stand_in = attrs.make_class(struct.__name__, fields)
        struct.__attrs_attrs__ = stand_in.__attrs_attrs__  # type: ignore[attr-defined] # for attrs
        struct.__repr__ = stand_in.__repr__  # type: ignore[method-assign, assignment]
        return struct

    return known
