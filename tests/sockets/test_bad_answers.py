"""Answers that no API should give: each ends in the right error, soon, and leaks nothing.

Every test ends with the server counting its connections (fixture `server`): all are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from do_blockstore_async import (
    APIStatusError,
    BlockStoreError,
    DecodeError,
    ListingChangedError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from tests.support.operations import OPERATIONS, Operation, every, ids
from tests.support.scripted_server import (
    ACTION,
    PATIENCE_S,
    REGION,
    SNAPSHOT,
    VOLUME,
    VOLUME_ID,
    Exchange,
    ScriptedServer,
    error_body,
    http,
    left_to_the_collector,
    listing,
)

READS = [o for o in OPERATIONS if o.method == "GET" and not o.variant]
GOOD = http(200, {"volume": VOLUME})


async def failure(server: ScriptedServer, *answers: Any, **config: Any) -> BlockStoreError:
    """What `volumes.get` raises when it is answered so."""
    if len(answers) == 1:
        server.answers(otherwise=answers[0])
    else:
        server.answers(*answers)
    async with asyncio.timeout(PATIENCE_S):
        async with server.store(**{"max_attempts": 2, **config}) as store:
            with pytest.raises(BlockStoreError) as caught:
                await store.volumes.get(VOLUME_ID)
    assert (caught.value.method, caught.value.path) == ("GET", f"/v2/volumes/{VOLUME_ID}")
    assert caught.value.attempts >= 1
    return caught.value


def change(document: Any, path: str, value: Any) -> Any:
    """A copy of a document with one field changed; `...` removes it."""
    copy = json.loads(json.dumps(document))
    at = copy
    *parents, last = path.split(".")
    for name in parents:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return copy


VOLUME_BREAKS: list[Any] = [
    ("id", 5),
    ("id", None),
    ("id", ...),
    ("name", []),
    ("name", None),
    ("size_gigabytes", "10"),
    ("size_gigabytes", 10.5),
    ("size_gigabytes", True),
    ("size_gigabytes", None),
    ("size_gigabytes", ...),
    ("created_at", 1456938049),
    ("created_at", "yesterday"),
    ("created_at", "2016-03-02T17:00:49"),
    ("created_at", "2016-13-02T17:00:49Z"),
    ("created_at", ""),
    ("created_at", None),
    ("droplet_ids", "7"),
    ("droplet_ids", ["7"]),
    ("droplet_ids", [1.5]),
    ("droplet_ids", {}),
    ("tags", "a"),
    ("tags", [1]),
    ("tags", [None]),
    ("description", 5),
    ("filesystem_type", {}),
    ("filesystem_label", False),
    ("region", None),
    ("region", 1),
    ("region", []),
    ("region", ...),
    ("region.slug", None),
    ("region.available", "yes"),
    ("region.available", 1),
    ("region.features", [5]),
    ("region.sizes", "s"),
]
SNAPSHOT_BREAKS = [
    ("id", 1),
    ("regions", "nyc1"),
    ("regions", [1]),
    ("min_disk_size", "10"),
    ("min_disk_size", 1.5),
    ("size_gigabytes", "0.5"),
    ("size_gigabytes", None),
    ("size_gigabytes", True),
    ("resource_id", ...),
    ("resource_type", 3),
    ("created_at", "2016-09-30"),
    ("tags", {}),
]
ACTION_BREAKS = [
    ("id", "72531856"),
    ("status", None),
    ("status", 1),
    ("type", ...),
    ("started_at", None),
    ("completed_at", "soon"),
    ("resource_id", "x"),
    ("region", 5),
    ("region_slug", 5),
]
REGION_BREAKS = [("slug", None), ("name", 1), ("available", None), ("features", "x")]


def break_id(case: Any) -> str:
    return f"{case[0]}={'missing' if case[1] is ... else json.dumps(case[1])}"


@pytest.mark.parametrize("case", VOLUME_BREAKS, ids=break_id)
async def test_a_volume_that_does_not_fit(case: Any, server: ScriptedServer) -> None:
    error = await failure(server, http(200, {"volume": change(VOLUME, *case)}))
    assert isinstance(error, DecodeError)
    expect_field(error, "volume", case)
    assert len(server.requests) == 1, "an answer is not asked for again because it is strange"


def expect_field(error: DecodeError, prefix: str, case: Any) -> None:
    path = f"{prefix}.{case[0]}"
    # Of a missing field the object is named, or the field itself.
    assert error.field.startswith(path) or path.startswith(error.field), (error.field, path)
    assert error.field.startswith(prefix)
    assert error.status == 200
    assert error.request_id == "req-from-headers"
    assert error.field in str(error)


BREAKS: list[tuple[str, str, Any, Any]] = [
    *(("snapshots", "snapshots[1]", SNAPSHOT, case) for case in SNAPSHOT_BREAKS),
    *(("actions", "actions[1]", ACTION, case) for case in ACTION_BREAKS),
    *(("regions", "regions[1]", REGION, case) for case in REGION_BREAKS),
    *(("volumes", "volumes[1]", VOLUME, case) for case in VOLUME_BREAKS[::6]),
]


@pytest.mark.parametrize(
    ("key", "prefix", "thing", "case"), BREAKS, ids=[f"{b[0]}-{break_id(b[3])}" for b in BREAKS]
)
async def test_an_item_of_a_listing_that_does_not_fit(
    key: str, prefix: str, thing: Any, case: Any, server: ScriptedServer
) -> None:
    server.answers(http(200, listing(key, thing, change(thing, *case))))
    async with server.store() as store:
        sources: dict[str, Any] = {
            "volumes": store.volumes.list,
            "snapshots": store.snapshots.list,
            "actions": lambda: store.actions.list(VOLUME_ID),
            "regions": store.regions.list,
        }
        with pytest.raises(DecodeError) as caught:
            await every(sources[key]())
    expect_field(caught.value, prefix, case)


NULLS = [
    *(("volume", VOLUME, name) for name in ("droplet_ids", "tags", "description")),
    *(("volume", VOLUME, name) for name in ("filesystem_type", "filesystem_label")),
    *(("volume", VOLUME, name) for name in ("region.features", "region.sizes")),
    *(("snapshot", SNAPSHOT, name) for name in ("tags", "regions")),
    *(("action", ACTION, name) for name in ("completed_at", "resource_id", "resource_type")),
    *(("action", ACTION, name) for name in ("region", "region_slug")),
]


@pytest.mark.parametrize(("key", "thing", "name"), NULLS)
async def test_documented_nulls_are_empty_values(
    key: str, thing: Any, name: str, server: ScriptedServer
) -> None:
    server.answers(http(200, {key: change(thing, name, None)}))
    async with server.store() as store:
        got: Any
        if key == "volume":
            got = await store.volumes.get(VOLUME_ID)
        elif key == "snapshot":
            got = await store.snapshots.get(SNAPSHOT["id"])
        else:
            got = await store.actions.get(VOLUME_ID, 72531856)
    for part in name.split("."):
        got = getattr(got, part)
    assert got in ((), "", None)


async def test_unknown_fields_are_ignored_at_every_depth(server: ScriptedServer) -> None:
    grown = {**VOLUME, "new": {"deep": [1, None]}, "region": {**REGION, "new": 1}}
    page = {**listing("volumes", grown), "new": None}
    page["meta"]["new"] = 5
    page["links"] = {"pages": {"new": 1}, "other": []}
    server.answers(http(200, {"volume": grown, "more": True}), http(200, page))
    async with server.store() as store:
        assert (await store.volumes.get(VOLUME_ID)).name == "example"
        assert len(await every(store.volumes.list())) == 1


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


BODIES: list[tuple[str, bytes]] = [
    ("html", b"<!doctype html><html><body>Sign in</body></html>"),
    ("empty", b""),
    ("white space", b" \r\n "),
    ("null", b"null"),
    ("text", b'"volume"'),
    ("list", b"[]"),
    ("number", b"17"),
    ("no volume", b"{}"),
    ("volume null", b'{"volume": null}'),
    ("volume list", b'{"volume": []}'),
    ("half", json.dumps({"volume": VOLUME}).encode()[:100]),
    ("trailing", json.dumps({"volume": VOLUME}).encode() + b"x"),
    ("invalid utf-8", b'{"volume": {"id": "\xff\xfe"}}'),
    ("invalid utf-8 in region", json.dumps({"volume": VOLUME}).encode().replace(b"nyc1", b"\xff")),
    ("utf-16", json.dumps({"volume": VOLUME}).encode("utf-16")),
    ("byte order mark", b"\xef\xbb\xbf" + json.dumps({"volume": VOLUME}).encode()),
    ("lone surrogate", b'{"volume": "\\ud800"}'),
    ("deep", b'{"volume": ' + deep(50_000) + b"}"),
    (
        "deep region",
        json.dumps({"volume": {**VOLUME, "region": 0}})
        .encode()
        .replace(b'"region": 0', b'"region": ' + deep(50_000)),
    ),
    ("nan", json.dumps({"volume": {**VOLUME, "size_gigabytes": float("nan")}}).encode()),
    ("infinity", b'{"volume": Infinity}'),
    (
        "huge int",
        json.dumps({"volume": {**VOLUME, "size_gigabytes": 0}})
        .encode()
        .replace(b'"size_gigabytes": 0', b'"size_gigabytes": 1' + b"0" * 5000),
    ),
    (
        "huge exponent",
        json.dumps({"volume": {**VOLUME, "size_gigabytes": 0}})
        .encode()
        .replace(b'"size_gigabytes": 0', b'"size_gigabytes": 1e999'),
    ),
    ("null bytes", b"\x00" * 100),
]


@pytest.mark.parametrize("body", [b for _, b in BODIES], ids=[name for name, _ in BODIES])
async def test_a_body_that_is_no_answer(body: bytes, server: ScriptedServer) -> None:
    error = await failure(server, http(200, body))
    assert isinstance(error, DecodeError)
    assert error.status == 200
    assert error.request_id == "req-from-headers"
    assert len(str(error)) < 1000


@pytest.mark.parametrize("body", [b for _, b in BODIES], ids=[name for name, _ in BODIES])
async def test_an_error_whose_body_says_nothing(body: bytes, server: ScriptedServer) -> None:
    error = await failure(server, http(422, body))
    assert isinstance(error, APIStatusError)
    assert error.status == 422
    assert error.request_id == "req-from-headers"
    assert len(str(error)) < 1000


async def test_a_repeated_key_is_read_the_usual_way(server: ScriptedServer) -> None:
    text = json.dumps(VOLUME)
    server.answers(http(200, f'{{"volume": {{}}, "volume": {text}}}'.encode()))
    async with server.store() as store:
        assert (await store.volumes.get(VOLUME_ID)).name == "example"


async def test_a_huge_but_whole_number_is_a_number(server: ScriptedServer) -> None:
    server.answers(http(200, {"volume": {**VOLUME, "size_gigabytes": 2**62}}))
    async with server.store() as store:
        assert (await store.volumes.get(VOLUME_ID)).size_gigabytes == 2**62


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=latin-1", None, "§§"])
async def test_the_content_type_does_not_matter(
    content_type: str | None, server: ScriptedServer
) -> None:
    server.answers(http(200, {"volume": VOLUME}, content_type=content_type))
    async with server.store() as store:
        assert (await store.volumes.get(VOLUME_ID)).name == "example"


# Bodies that are too large, or never end.

LIMIT = 100_000


def chunked(*parts: bytes) -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-request-id: req-from-headers\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


async def endless(exchange: Exchange) -> None:
    await exchange.send(chunked(b'{"volume": "'))
    while not exchange.writer.is_closing():
        await exchange.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")


def encoded(name: str, body: bytes) -> bytes:
    return http(200, body, headers={"content-encoding": name})


LARGE = b" " * (50 * LIMIT)
GZIP = b"\r\ncontent-encoding: gzip\r\n\r\n"
OVERSIZE: list[tuple[str, Any]] = [
    ("announced", http(200, b" " * (LIMIT + 1))),
    ("announced only", http(200, b"{", length=10**15)),
    ("until close", http(200, b" " * (LIMIT + 1), length=None)),
    ("chunked", chunked(b" " * LIMIT, b" " * 10, b"")),
    ("endless", endless),
    ("gzip bomb", encoded("gzip", gzip.compress(LARGE))),
    ("deflate bomb", encoded("deflate", zlib.compress(LARGE))),
    ("gzip bomb, chunked", chunked(gzip.compress(LARGE), b"").replace(b"\r\n\r\n", GZIP, 1)),
]  # fmt: skip


@pytest.mark.parametrize("answer", [a for _, a in OVERSIZE], ids=[name for name, _ in OVERSIZE])
async def test_a_body_over_the_cap(answer: Any, server: ScriptedServer) -> None:
    error = await failure(server, answer, max_body_bytes=LIMIT)
    assert isinstance(error, DecodeError)
    assert "max_body_bytes" in str(error)
    assert error.status == 200
    assert len(server.requests) == 1


async def test_a_body_at_the_cap_is_read(server: ScriptedServer) -> None:
    body = json.dumps({"volume": VOLUME}).encode().ljust(LIMIT)
    for answer in (http(200, body), chunked(body, b""), encoded("gzip", gzip.compress(body))):
        server.answers(answer)
        async with server.store(max_body_bytes=LIMIT) as store:
            assert (await store.volumes.get(VOLUME_ID)).name == "example"


async def test_an_error_body_over_the_cap_is_capped_too(server: ScriptedServer) -> None:
    error = await failure(server, http(500, b"x" * (LIMIT + 1)), max_body_bytes=LIMIT)
    assert isinstance(error, DecodeError)
    assert error.status == 500


# Connections that break.


def then_close(data: bytes) -> Callable[[Exchange], Any]:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.close()

    return answer


async def abort(exchange: Exchange) -> None:
    exchange.abort()


MANY = {f"x-{n}": "y" * 50 for n in range(20_000)}
BROKEN: list[tuple[str, Any]] = [
    ("closed at once", then_close(b"")),
    ("reset", abort),
    ("half a status line", then_close(b"HTTP/1.1 2")),
    ("half a header", then_close(b"HTTP/1.1 200 OK\r\ncontent-len")),
    ("head without body", then_close(http(200, b"", length=100))),
    ("truncated", then_close(http(200, b'{"volume":', length=1000))),
    ("truncated chunk", then_close(chunked(b'{"volume":')[:-4])),
    ("bad chunk size", then_close(chunked(b"x")[:-3] + b"\r\nzz\r\n")),
    ("bad gzip", then_close(encoded("gzip", b"this is not gzip"))),
    ("not HTTP", then_close(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")),
    ("garbage", then_close(bytes(range(256)) * 10)),
    ("HTTP/9", then_close(b"HTTP/9.9 200 OK\r\n\r\n")),
    ("status of letters", then_close(b"HTTP/1.1 abc OK\r\n\r\n")),
    ("status of four digits", then_close(b"HTTP/1.1 2000 OK\r\n\r\n")),
    ("two lengths", then_close(http(200, b"{}", headers={"Content-Length": "5"}))),
    ("negative length", then_close(http(200, b"{}", headers={"content-length": "-5"}))),
    ("length of letters", then_close(http(200, b"{}", headers={"content-length": "x"}))),
    ("huge header", then_close(http(200, b"{}", headers={"x-huge": "y" * 100_000}))),
    ("many headers", then_close(http(200, b"{}", headers=MANY))),
    ("header without name", then_close(b"HTTP/1.1 200 OK\r\n: x\r\n\r\n")),
    ("null in header", then_close(b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n")),
]  # fmt: skip


@pytest.mark.parametrize("answer", [a for _, a in BROKEN], ids=[name for name, _ in BROKEN])
async def test_a_connection_that_breaks(answer: Any, server: ScriptedServer) -> None:
    error = await failure(server, answer)
    assert type(error) is TransportError
    assert error.sent
    assert error.attempts == 2
    assert len(server.requests) == 2, "each transmission is an attempt, none is hidden"


@pytest.mark.parametrize("answer", [a for _, a in BROKEN], ids=[name for name, _ in BROKEN])
async def test_a_create_on_a_connection_that_breaks(answer: Any, server: ScriptedServer) -> None:
    server.answers(otherwise=answer)
    async with asyncio.timeout(PATIENCE_S):
        async with server.store(max_attempts=2) as store:
            with pytest.raises(OutcomeUnknownError) as caught:
                await store.volumes.create("a", region="nyc1", size_gigabytes=1)
    assert isinstance(caught.value.__cause__, TransportError)
    assert [request.method for request in server.requests] == ["POST", "GET", "GET"]


async def test_a_break_is_survived(server: ScriptedServer) -> None:
    server.answers(abort, then_close(b"HTTP/1.1 2"), GOOD)
    async with server.store() as store:
        assert (await store.volumes.get(VOLUME_ID)).name == "example"


async def test_a_kept_alive_connection_that_drops_hides_no_transmission(
    server: ScriptedServer,
) -> None:
    """aiohttp would send a GET again by itself: two requests for one lease."""
    server.answers(GOOD, abort, otherwise=GOOD)
    async with server.store() as store:
        await store.volumes.get(VOLUME_ID)
        await store.volumes.get(VOLUME_ID)
        status = store.quota
    assert len(server.requests) == 3
    assert status.granted == 3
    assert (status.done, status.lost) == (2, 1)


# Servers that take their time.


async def stall(exchange: Exchange) -> None:
    await exchange.until_gone()


def stall_after(data: bytes) -> Callable[[Exchange], Any]:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(data)
        await exchange.until_gone()

    return answer


async def drip(exchange: Exchange) -> None:
    """A body that always moves and never ends in time."""
    await exchange.send(http(200, b"", length=10**6))
    gone = asyncio.ensure_future(exchange.until_gone())
    while not gone.done():
        await exchange.send(b" ")
        await asyncio.wait({gone}, timeout=0.005)


SLOW = [
    ("nothing", stall),
    ("half a head", stall_after(b"HTTP/1.1 200 OK\r\n")),
    ("a head", stall_after(http(200, b"", length=10))),
    ("half a body", stall_after(http(200, b"{", length=10))),
    ("a drip", drip),
    ("endless 100s", stall_after(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)),
]


@pytest.mark.parametrize("answer", [a for _, a in SLOW], ids=[name for name, _ in SLOW])
async def test_a_slow_answer_ends_by_the_attempts_bound(
    answer: Any, server: ScriptedServer
) -> None:
    error = await failure(server, answer, attempt_timeout_s=0.1)
    assert type(error) is RequestTimeoutError
    assert error.attempts == 2
    assert error.sent


@pytest.mark.parametrize("answer", [a for _, a in SLOW], ids=[name for name, _ in SLOW])
async def test_a_slow_answer_ends_by_the_calls_deadline(
    answer: Any, server: ScriptedServer
) -> None:
    server.answers(otherwise=answer)
    async with server.store() as store:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(RequestTimeoutError):
            await store.volumes.get(VOLUME_ID, timeout=0.1)
        assert loop.time() - began < 5


async def test_a_switch_of_protocols_is_an_error(server: ScriptedServer) -> None:
    error = await failure(server, http(101, b"", headers={"upgrade": "x"}))
    assert isinstance(error, APIStatusError | TransportError)


# Answers that lead elsewhere.


async def test_a_redirect_is_not_followed_and_nobody_else_is_told(
    server: ScriptedServer,
) -> None:
    async with ScriptedServer() as other:
        for status in (301, 302, 303, 307, 308):
            target = {"location": f"{other.url}/v2/volumes"}
            error = await failure(server, http(status, b"", headers=target))
            assert isinstance(error, APIStatusError)
            assert error.status == status
            assert "redirect" in str(error)
        assert other.connections == 0
    assert len(server.requests) == 5


HOSTILE_LINKS: list[Any] = [
    "http://attacker.invalid/v2/volumes?page=2",
    "//attacker.invalid?page=2",
    "https://api.digitalocean.com/v2/volumes?page=-1",
    "https://api.digitalocean.com/v2/volumes?page=0",
    "https://api.digitalocean.com/v2/volumes?page=99999999999999999999",
    "https://api.digitalocean.com/v2/volumes?page=999999999",
    "https://api.digitalocean.com/v2/volumes?page=1e9",
    "https://api.digitalocean.com/v2/volumes?page=%D9%A2",
    "https://api.digitalocean.com/v2/volumes",
    "javascript:alert(1)",
    "http://[::1",
    "?page=" + "9" * 100_000,
    "",
    None,
    5,
    {},
    ["?page=5"],
]


@pytest.mark.parametrize("link", HOSTILE_LINKS, ids=range(len(HOSTILE_LINKS)))
async def test_page_links_lead_nowhere(link: Any, server: ScriptedServer) -> None:
    """With a total the links are not even looked at; they are never followed."""
    page = listing("volumes", VOLUME)
    page["links"] = {"pages": {"next": link, "last": link, "first": link}}
    server.answers(otherwise=http(200, page))
    async with asyncio.timeout(PATIENCE_S):
        async with server.store() as store:
            try:
                assert len(await every(store.volumes.list())) == 1
            except DecodeError as error:
                assert "links" in error.field  # noqa: PT017
    assert {request.path for request in server.requests} == {"/v2/volumes"}
    assert len(server.requests) == 1


TOTALS: list[tuple[Any, type[BlockStoreError] | None, int]] = [
    (0, ListingChangedError, 3),
    (-1, DecodeError, 1),
    (10**12, DecodeError, 1),
    (10**400, DecodeError, 1),
    ("1", DecodeError, 1),
    (1.0, DecodeError, 1),
    (True, DecodeError, 1),
    (2, ListingChangedError, 6),
    (None, None, 1),
    (..., None, 1),
]


@pytest.mark.parametrize(
    ("total", "wanted", "requests"), TOTALS, ids=[str(t[0])[:9] for t in TOTALS]
)
async def test_hostile_totals(
    total: Any, wanted: type[BlockStoreError] | None, requests: int, server: ScriptedServer
) -> None:
    page = change(listing("volumes", VOLUME), "meta.total", total)
    server.answers(otherwise=http(200, page))
    async with asyncio.timeout(PATIENCE_S):
        async with server.store() as store:
            if wanted is None:
                assert len(await every(store.volumes.list())) == 1
            else:
                with pytest.raises(wanted) as caught:
                    await every(store.volumes.list())
                assert (caught.value.method, caught.value.path) == ("GET", "/v2/volumes")
    assert len(server.requests) == requests


async def test_a_total_that_changes_with_every_page(server: ScriptedServer) -> None:
    items = [{**VOLUME, "id": f"{n:08x}"} for n in range(4)]
    for number in range(50):
        page = {"volumes": items[:2], "meta": {"total": 4 + number % 7}}
        server.answers(http(200, page))
    async with server.store() as store:
        with pytest.raises(ListingChangedError):
            await every(store.volumes.list(per_page=2))


async def test_pages_are_capped(server: ScriptedServer) -> None:
    server.answers(otherwise=http(200, listing("volumes", VOLUME, total=50)))
    async with server.store(max_pages=49) as store:
        with pytest.raises(DecodeError, match="max_pages"):
            await every(store.volumes.list())
    assert len(server.requests) == 1


async def test_items_are_capped(server: ScriptedServer) -> None:
    server.answers(otherwise=http(200, listing("volumes", VOLUME, total=50)))
    async with server.store(max_items=49) as store:
        with pytest.raises(DecodeError, match="max_items"):
            await every(store.volumes.list())


async def test_a_listing_without_a_total_is_capped_as_well(server: ScriptedServer) -> None:
    numbers = iter(range(10**9))

    async def another(exchange: Exchange) -> None:
        page = {"volumes": [{**VOLUME, "id": f"{next(numbers):08x}"} for _ in range(2)]}
        await exchange.send(http(200, page))

    server.answers(otherwise=another)
    async with server.store(max_pages=20) as store:
        with pytest.raises(DecodeError, match="max_pages"):
            await every(store.volumes.list(per_page=2))
    assert len(server.requests) <= 20


@pytest.mark.parametrize("operation", READS, ids=ids)
async def test_every_read_survives_a_bad_moment(
    operation: Operation, server: ScriptedServer
) -> None:
    server.answers(
        then_close(http(200, b"{", length=50)),
        http(503, b"<html>busy</html>", content_type="text/html"),
        http(operation.status, operation.answer),
    )
    async with server.store() as store:
        assert await operation.call(store)


async def test_an_html_page_is_quoted_briefly(server: ScriptedServer) -> None:
    page = b"<html><body><h1>502 Bad Gateway</h1>" + b"<!-- padding -->" * 10_000
    error = await failure(server, http(502, page, content_type="text/html"))
    assert isinstance(error, ServerError)
    assert "502 Bad Gateway" in str(error)
    assert len(str(error)) < 400
    assert len(error.body) <= 500


@pytest.mark.parametrize(
    "body",
    [
        {"id": 5, "message": "m"},
        {"message": None},
        {"id": "x"},
        [],
        {"message": "m" * 100_000},
        {"id": "x", "message": "a\x1b[31mred\x07\nforged line"},
    ],
    ids=range(6),
)
async def test_error_bodies_of_odd_shapes(body: Any, server: ScriptedServer) -> None:
    error = await failure(server, http(409, body))
    assert isinstance(error, APIStatusError)
    assert error.status == 409
    assert len(str(error)) < 2000
    text = str(error)
    assert text.isprintable(), "what a server says must not steer a terminal or forge log lines"


async def test_error_body_wins_over_header_for_the_request_id(server: ScriptedServer) -> None:
    error = await failure(server, http(404, error_body()))
    assert isinstance(error, APIStatusError)
    assert error.request_id == "req-from-body"


@pytest.mark.parametrize("answer", [http(404, error_body()), abort, stall])
async def test_a_failed_call_keeps_nothing_alive(answer: Any, server: ScriptedServer) -> None:
    """Its frames hold the request and what came of it: they go with it, not with the collector."""
    server.answers(otherwise=answer)
    with left_to_the_collector() as left:
        async with server.store(max_attempts=1) as store:
            for _ in range(3):
                with contextlib.suppress(BlockStoreError):
                    await store.volumes.get(VOLUME_ID, timeout=0.1)
    assert left == []
