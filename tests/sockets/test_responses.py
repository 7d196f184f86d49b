"""Every operation with every status: the right error, with all that a caller needs to act."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from do_blockstore_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnprocessableEntityError,
)
from tests.support.operations import OPERATIONS, Operation, ids, statuses_of
from tests.support.scripted_server import ScriptedServer, error_body, http, listing

ERRORS: dict[int, type[APIStatusError]] = {
    302: APIStatusError,
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    418: APIStatusError,
    422: UnprocessableEntityError,
    429: RateLimitedError,
    500: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    599: ServerError,
}
HTML = b"<html><head><title>Bad   Gateway</title></head>\n<body>nginx</body></html>"
CASES = [
    pytest.param(operation, status, id=f"{operation.key}-{status}")
    for operation in OPERATIONS
    for status in statuses_of(operation)
]


@pytest.mark.parametrize(("operation", "status"), CASES)
async def test_status(operation: Operation, status: int, server: ScriptedServer) -> None:
    gateway = status in {502, 503, 504}
    refusal = http(
        status,
        HTML if gateway else error_body(),
        content_type="text/html" if gateway else "application/json",
        headers={"location": "http://127.0.0.1:1/elsewhere"} if status == 302 else {},
    )
    server.answers(otherwise=refusal)
    # One attempt: what is retried, and how, is tested on its own.
    async with server.store(max_attempts=1) as store:
        with pytest.raises((APIStatusError, OutcomeUnknownError)) as caught:
            await operation.call(store)
    error: Any = caught.value
    if isinstance(error, OutcomeUnknownError):
        # Sent, and neither idempotent nor told: the look-up was refused by the same server.
        assert not operation.idempotent
        assert status >= 500
        assert isinstance(error.__cause__, ServerError)
        assert (error.method, error.path) == (operation.method, operation.path)
        assert len(server.requests) == 2
        assert server.requests[1].method == "GET"
        error = error.__cause__
    else:
        assert (error.method, error.path) == (operation.method, operation.path)
        assert error.attempts == 1
        assert len(server.requests) == 1 + (operation.is_explained and status in {409, 422})
    assert type(error) is ERRORS[status]
    assert error.status == status
    assert error.request_id == ("req-from-headers" if gateway else "req-from-body")
    assert error.id == ("" if gateway else "the_id")
    assert ("Bad Gateway" if gateway else "redirect" if status == 302 else "the message") in str(
        error
    )
    if isinstance(error, PermissionDeniedError):
        assert error.scopes == operation.scopes or set(operation.scopes) <= set(error.scopes)
        assert operation.scopes[0] in str(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.status != 204], ids=ids)
async def test_any_success_with_the_documented_body_is_success(
    operation: Operation, status: int, server: ScriptedServer
) -> None:
    server.answers(http(status, operation.answer))
    async with server.store() as store:
        assert await operation.call(store) is not None


REMAINING_0 = {
    "ratelimit-limit": "5000",
    "ratelimit-remaining": "0",
    "ratelimit-reset": "1795432000",
}
KINDS = [
    ("burst", "API rate limit exceeded.", {**REMAINING_0, "retry-after": "7"}, 7.0),
    ("hourly", "API rate limit exceeded.", REMAINING_0, None),
    (
        "snapshot_cooldown",
        "failed to create snapshot: this operation is rate-limited - one request per 10m0s",
        {},
        None,
    ),
    (
        "capacity",
        "failed to create volume: volume/snapshot capacity limit exceeded",
        {"retry-after": "5"},
        5.0,
    ),
    (
        "route",
        "Too many requests to this endpoint.",
        {**REMAINING_0, "ratelimit-remaining": "4000", "retry-after": "3"},
        3.0,
    ),
]


@pytest.mark.parametrize(
    ("kind", "message", "headers", "retry_after"), KINDS, ids=[kind for kind, *_ in KINDS]
)
@pytest.mark.parametrize("operation", OPERATIONS, ids=ids)
async def test_the_five_kinds_of_429(
    operation: Operation,
    kind: str,
    message: str,
    headers: dict[str, str],
    retry_after: float | None,
    server: ScriptedServer,
) -> None:
    server.answers(
        http(429, error_body("too_many_requests", message), headers=headers),
    )
    async with server.store(max_attempts=1) as store:
        with pytest.raises(RateLimitedError) as caught:
            await operation.call(store)
    assert caught.value.kind == kind
    assert caught.value.retry_after == retry_after
    assert caught.value.id == "too_many_requests"
    assert len(server.requests) == 1


IDEMPOTENT = [operation for operation in OPERATIONS if operation.idempotent]
OTHERS = [operation for operation in OPERATIONS if not operation.idempotent]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("operation", IDEMPOTENT, ids=ids)
async def test_reads_and_deletes_are_sent_again(
    operation: Operation, status: int, server: ScriptedServer
) -> None:
    server.answers(http(status), http(status), http(operation.status, operation.answer))
    async with server.store(max_attempts=3) as store:
        await operation.call(store)
    assert len(server.requests) == 3
    assert len({(r.method, r.target) for r in server.requests}) == 1


@pytest.mark.parametrize("operation", IDEMPOTENT, ids=ids)
async def test_reads_and_deletes_give_up_in_the_end(
    operation: Operation, server: ScriptedServer
) -> None:
    server.answers(otherwise=http(503, error_body()))
    async with server.store(max_attempts=3) as store:
        with pytest.raises(ServerError) as caught:
            await operation.call(store)
    assert caught.value.attempts == 3
    assert "3 attempts" in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422, 302])
@pytest.mark.parametrize("operation", OPERATIONS, ids=ids)
async def test_an_answer_is_not_asked_for_again(
    operation: Operation, status: int, server: ScriptedServer
) -> None:
    server.answers(otherwise=http(status, error_body()))
    async with server.store(max_attempts=4) as store:
        with pytest.raises(APIStatusError):
            await operation.call(store)
    sent, *others = server.requests
    assert (sent.method, sent.path) == (operation.method, operation.path)
    # What a refusal means may be looked up, once; the request itself is not sent again.
    is_explained = operation.is_explained and status in {409, 422}
    assert [other.method for other in others] == ["GET"] * is_explained


@pytest.mark.parametrize("operation", OTHERS, ids=ids)
async def test_a_refusal_for_now_is_waited_out_by_any_operation(
    operation: Operation, server: ScriptedServer
) -> None:
    busy = http(
        429,
        error_body("too_many_requests", "slow down"),
        headers={**REMAINING_0, "ratelimit-remaining": "10", "retry-after": "0"},
    )
    server.answers(busy, http(operation.status, operation.answer))
    async with server.store(max_attempts=2) as store:
        await operation.call(store)
    assert [r.method for r in server.requests] == [operation.method] * 2


async def test_capacity_is_never_asked_for_again(server: ScriptedServer) -> None:
    full = http(429, error_body("x", "failed: volume/snapshot capacity limit exceeded"))
    server.answers(otherwise=full)
    async with server.store(max_attempts=5) as store:
        with pytest.raises(RateLimitedError) as caught:
            await store.volumes.create("a", region="nyc1", size_gigabytes=1)
    assert caught.value.kind == "capacity"
    assert len(server.requests) == 1


async def test_capacity_as_403_says_so(server: ScriptedServer) -> None:
    message = "failed to create volume: volume/snapshot capacity limit exceeded"
    server.answers(otherwise=http(403, error_body("forbidden", message)))
    async with server.store() as store:
        with pytest.raises(PermissionDeniedError, match="capacity limit exceeded"):
            await store.volumes.create("a", region="nyc1", size_gigabytes=1)


async def test_a_delete_that_finds_nothing_after_a_lost_answer_has_succeeded(
    server: ScriptedServer,
) -> None:
    for operation in IDEMPOTENT:
        if operation.method == "DELETE":
            server.answers(http(504), http(404, error_body()))
            async with server.store() as store:
                await operation.call(store)


async def test_an_empty_page_of_everything(server: ScriptedServer) -> None:
    server.answers(http(200, listing("volumes")))
    async with server.store() as store:
        pages = [page async for page in store.volumes.pages()]
    assert [(page.items, page.total) for page in pages] == [((), 0)]
