"""Pages: `page` and `per_page`, `links` and `meta`, around items that are encoded already. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from .._errors import api_error
from .._messages import encode
from ..state.account import Account
from .request import Call

__all__ = ["page_of", "page_of_list"]

T = TypeVar("T")

DEFAULT_PER_PAGE = 20
MAX_PER_PAGE = 200  # Larger ones are clamped silently: kubermatic/machine-controller#692.


def _positive(call: Call, name: str, default: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    # A page may be absurd; it is then past the end. The length bounds the cost of reading it.
    if not (text.isascii() and text.isdigit() and len(text) < 40 and int(text) > 0):
        raise api_error("page")
    return int(text)


def page_of(
    account: Account,
    call: Call,
    key: str,
    total: int,
    items: Callable[[int, int], Sequence[bytes]],
) -> tuple[int, bytes]:
    """The response to a listing.

    Args:
        account: for the base of the links.
        call: the request.
        key: the name of the list in the response.
        total: how many items there are.
        items: (offset, count) to the encoded items; empty past the end.
    """
    page = _positive(call, "page", 1)
    per_page = min(_positive(call, "per_page", DEFAULT_PER_PAGE), MAX_PER_PAGE)
    last = max(1, -(-total // per_page))
    encoded = items((page - 1) * per_page, per_page) if page <= last else ()
    links: dict[str, dict[str, str]] = {}
    if last > 1:
        numbers = {}
        if page > 1:
            numbers["first"] = 1
            numbers["prev"] = min(page - 1, last)
        if page < last:
            numbers["next"] = page + 1
            numbers["last"] = last
        kept = {k: v for k, v in call.query.items() if k not in ("page", "per_page")}
        base = account.link_base + call.path
        links = {
            "pages": {
                rel: f"{base}?{urlencode({**kept, 'page': number, 'per_page': per_page})}"
                for rel, number in numbers.items()
            }
        }
    tail = encode({"links": links, "meta": {"total": total}})
    return 200, b'{"%s":[%s],%s' % (key.encode(), b",".join(encoded), tail[1:])


def page_of_list(
    account: Account, call: Call, key: str, items: Sequence[T], encoded: Callable[[T], bytes]
) -> tuple[int, bytes]:
    """The response to a short listing; only what is on the page gets encoded."""
    return page_of(
        account,
        call,
        key,
        len(items),
        lambda start, count: [encoded(item) for item in items[start : start + count]],
    )
