"""The security list, row by row: each guard has a test that fails when the guard is taken out.

Where it is practical that is shown here: a "mutant" is the same client with one guard removed, and
the test asserts that the harm then happens.

What is promised of the token: it is in no repr, text, log record, exception (with its chain,
attributes, notes and pickle), event or warning, and in no local variable of the client's frames,
for the sake of tools that report those. The caller's own frames hold it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import pickle
import re
import socket
import ssl
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

import do_blockstore_async
from do_blockstore_async import (
    BlockStore,
    BlockStoreError,
    Config,
    ConfigError,
    InvalidArgumentError,
    Simulator,
    TransportError,
)
from do_blockstore_async._http import transport
from do_blockstore_async._schema import json_to_models as codec
from do_blockstore_async.resources import volumes
from tests.support.scripted_server import (
    PATIENCE_S,
    VOLUME,
    VOLUME_ID,
    Exchange,
    ScriptedServer,
    error_body,
    http,
    quick,
)

PACKAGE = Path(do_blockstore_async.__file__).parent
CANARY = "dop_v1_canary5f3c9a7e1d2b4c6f8a0b1c2d3e4f5a6b"
GOOD = http(200, {"volume": VOLUME})


# The canary.


class Watch:
    """Collects everything that somebody could read."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def text(self, text: str) -> None:
        self.texts.append(text)

    def value(self, value: Any) -> None:
        self.texts += [repr(value), str(value)]

    def error(self, error: BaseException | None, seen: set[int] | None = None) -> None:
        """An error and everything that hangs on it."""
        seen = set() if seen is None else seen
        if error is None or id(error) in seen:
            return
        seen.add(id(error))
        self.value(error)
        self.anything(error.args, seen)
        self.anything(vars(error), seen)
        for note in getattr(error, "__notes__", ()):
            self.text(note)
        self.text("".join(traceback.format_exception(error)))
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        for frame in told.stack:
            if Path(frame.filename).is_relative_to(PACKAGE):
                self.texts += [str(frame.locals)]
        if isinstance(error, BlockStoreError):
            self.texts.append(repr(pickle.dumps(error)))
        self.error(error.__cause__, seen)
        self.error(error.__context__, seen)

    def anything(self, value: Any, seen: set[int]) -> None:
        if isinstance(value, BaseException):
            self.error(value, seen)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.anything(key, seen)
                self.anything(item, seen)
        elif isinstance(value, list | tuple | set):
            for item in value:
                self.anything(item, seen)
        else:
            self.value(value)

    def holds(self, secret: str) -> list[str]:
        return [text[:500] for text in self.texts if secret in text]


class Records(logging.Handler):
    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.NOTSET)
        self.watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self.watch.text(self.format(record))
        self.watch.text(repr(record.__dict__))


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Every logger at DEBUG, and every warning."""
    watch = Watch()
    handler = Records(watch)
    root = logging.getLogger()
    level = root.level
    names = [None, "asyncio", "aiohttp", "aiohttp.client", "do_blockstore_async"]
    levels = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield watch
            for warning in caught:
                watch.value(warning.message)
    finally:
        root.removeHandler(handler)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        root.setLevel(level)


def then_close(data: bytes) -> Callable[[Exchange], Any]:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.close()

    return answer


async def stall(exchange: Exchange) -> None:
    await exchange.until_gone()


async def echo(exchange: Exchange) -> None:
    """A gateway that shows the request it failed on."""
    shown = "".join(f"{k}: {v}<br>" for k, v in exchange.received.headers.items())
    await exchange.send(http(502, f"<html>{shown}</html>".encode(), content_type="text/html"))


async def echo_json(exchange: Exchange) -> None:
    bearer = exchange.received.headers["authorization"]
    await exchange.send(http(400, error_body(bearer, f"cannot parse {bearer}")))


PLENTY = {
    "ratelimit-limit": "5000",
    "ratelimit-remaining": "4000",
    "ratelimit-reset": "1795432000",
    "retry-after": "0",
}
ANSWERS: list[tuple[str, Any]] = [
    ("200", GOOD),
    *((str(status), http(status, error_body())) for status in (400, 401, 403, 404, 409, 422)),
    ("429", http(429, error_body(), headers=PLENTY)),
    ("500", http(500, error_body())),
    ("302", http(302, b"", headers={"location": "https://attacker.invalid/"})),
    ("html", http(502, b"<html>", content_type="text/html")),
    ("not JSON", http(200, b"<html>")),
    ("wrong field", http(200, {"volume": {**VOLUME, "size_gigabytes": "x"}})),
    ("too large", http(200, b" " * 2_000_001)),
    ("reset", then_close(b"")),
    ("cut", then_close(http(200, b"{", length=10))),
    ("garbage", then_close(b"garbage\r\n\r\n")),
    ("header too long", then_close(http(200, b"", headers={"x": "y" * 100_000}))),
    ("stall", stall),
    ("echo", echo),
    ("echo as JSON", echo_json),
]


async def everything(watch: Watch, server: ScriptedServer, answer: Any) -> None:
    """Each kind of call, against one kind of answer."""
    asyncio.get_running_loop().set_debug(True)
    server.answers(otherwise=answer)
    events: list[Any] = []
    config = quick(
        hooks=(events.append,), attempt_timeout_s=0.05, max_attempts=2, max_body_bytes=2_000_000
    )
    store = BlockStore(CANARY, base_url=server.url, config=config)
    watch.value(store)
    async with store:
        for thing in (store, store.volumes, store.snapshots, store.actions, store.regions):
            watch.value(thing)
        watch.value(store.throttle)
        watch.value(store.quota)
        watch.value(config)
        calls = [
            store.volumes.get(VOLUME_ID),
            store.volumes.create("a", region="nyc1", size_gigabytes=1),
            store.volumes.delete(VOLUME_ID),
            store.volumes.delete_by_name("a", region="nyc1"),
            store.snapshots.create(VOLUME_ID, "a"),
            store.request("POST", "/v2/tags", json={"name": "a"}),
            store.request("GET", "/v2/account"),
            store.volumes.get("../x"),
        ]
        for call in calls:
            try:
                async with asyncio.timeout(0.4):
                    watch.value(await call)
            except (BlockStoreError, TimeoutError) as error:
                watch.error(error)
        for task in asyncio.all_tasks():
            watch.value(task)
    watch.value(store)
    with pytest.raises(BlockStoreError) as caught:
        await store.volumes.get(VOLUME_ID)
    watch.error(caught.value)
    for event in events:
        watch.value(event)


@pytest.mark.parametrize("answer", [a for _, a in ANSWERS], ids=[name for name, _ in ANSWERS])
async def test_the_token_is_nowhere_to_be_read(
    answer: Any, server: ScriptedServer, watch: Watch
) -> None:
    await everything(watch, server, answer)
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert len(watch.texts) > 50
    assert not watch.holds(CANARY)
    assert not watch.holds(CANARY[10:])


async def test_mutant_headers_that_show_themselves(
    server: ScriptedServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "Secret", str)
    await everything(watch, server, then_close(b""))
    assert watch.holds(CANARY)


async def test_mutant_library_errors_left_in_the_chain(
    server: ScriptedServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's errors hold the request with its headers."""
    real = aiohttp.ClientSession.request
    kept: list[BaseException] = []

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["raise_for_status"] = True
        return real(self, *args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "request", wrapped)
    server.answers(otherwise=http(404))
    async with server.store(CANARY, max_attempts=1) as store:
        with pytest.raises(TransportError) as caught:
            await store.volumes.get(VOLUME_ID)
    watch.error(caught.value)
    assert not watch.holds(CANARY), "whatever aiohttp raises, it does not stay on as a context"
    assert not kept


async def test_an_unreachable_server_tells_nothing(watch: Watch) -> None:
    asyncio.get_running_loop().set_debug(True)
    config = quick(max_attempts=2, connect_timeout_s=0.2)
    for url in ("http://127.0.0.1:1", "https://host.invalid", "https://127.0.0.1:1"):
        async with BlockStore(CANARY, base_url=url, config=config) as store:
            with pytest.raises(TransportError) as caught:
                await store.volumes.get(VOLUME_ID, timeout=5)
        assert not caught.value.sent
        watch.error(caught.value)
    assert not watch.holds(CANARY)


async def test_the_simulator_tells_nothing_either(watch: Watch) -> None:
    asyncio.get_running_loop().set_debug(True)
    async with Simulator(token=CANARY, volumes=3, faults="html_502:0.3, stall:0.1") as simulator:
        config = quick(attempt_timeout_s=0.1)
        async with BlockStore(CANARY, base_url=simulator.url, config=config) as store:
            for _ in range(5):
                try:
                    watch.value([volume async for volume in store.volumes.list()])
                except BlockStoreError as error:
                    watch.error(error)
        watch.value(simulator)
        watch.value(simulator.world)
        watch.value(simulator.requests)
    assert not watch.holds(CANARY)


# Tokens and addresses.


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "canary token",
        "canary\n",
        "canary\r\nX-Evil: 1",
        "canary\x00",
        "can\u00e4ry",
        "canary\u2028",
        "dor_v1_canary",
        None,
        5,
        b"canary",
    ],
)
def test_tokens_that_no_header_may_carry(token: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        BlockStore(token)
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value)


GOOD_URL = "https://api.digitalocean.com"


@pytest.mark.parametrize(
    "settings",
    [
        {"DIGITALOCEAN_TOKEN": f"{CANARY}\n"},
        {"DIGITALOCEAN_ACCESS_TOKEN": f"dor_v1_{CANARY}"},
        {"DIGITALOCEAN_TOKEN": CANARY, "DIGITALOCEAN_API_URL": "http://api.example"},
    ],
)
def test_a_refused_token_is_not_shown(settings: dict[str, str], watch: Watch) -> None:
    token, url = next(iter(settings.values())), settings.get("DIGITALOCEAN_API_URL", GOOD_URL)
    with pytest.raises(ConfigError) as by_environment:
        BlockStore.from_env(settings)
    with pytest.raises(ConfigError) as by_hand:
        BlockStore(token, base_url=url)
    with pytest.raises(ConfigError) as as_bytes:
        BlockStore(token.encode())  # type: ignore[arg-type]
    for caught in (by_environment, by_hand, as_bytes):
        watch.error(caught.value)
    assert not watch.holds(CANARY)


@pytest.mark.parametrize("token", ["dop_v1_x", "doo_v1_x", "x", "new_v9_~!#$%^&*()", "a" * 5000])
def test_other_tokens_are_let_through(token: str) -> None:
    assert token not in repr(BlockStore(token))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.digitalocean.com",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://2130706433",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "api.digitalocean.com",
        "//api.digitalocean.com",
        "https://",
        "https:///v2",
        "https://user:canary@api.digitalocean.com",
        "https://canary@api.digitalocean.com",
        "https://api.digitalocean.com?x=canary",
        "https://api.digitalocean.com#canary",
        "https://api.digitalocean.com:port",
        "https://api.digitalocean.com/a b",
        "https://api.digitalocean.com/\r\nX-Evil: 1",
        "https://api.digital\nocean.com",
        "https://api.digital ocean.com",
        "https://api.digitalocean.com\\@evil.example",
        "https://[::1",
        "",
        None,
        5,
    ],
)
def test_addresses_that_are_refused(url: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        BlockStore(CANARY, base_url=url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.digitalocean.com",
        "https://api.digitalocean.com/",
        "HTTPS://proxy.example:8443/do",
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://[::1]:8080",
    ],
)
def test_addresses_that_are_not(url: str) -> None:
    BlockStore(CANARY, base_url=url)


async def test_a_prefix_in_the_address_is_kept(server: ScriptedServer) -> None:
    server.answers(GOOD)
    store = BlockStore(CANARY, base_url=f"{server.url}/proxy/do/", config=quick())
    async with store:
        await store.volumes.get(VOLUME_ID)
    assert server.requests[0].path == f"/proxy/do/v2/volumes/{VOLUME_ID}"


# TLS.

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUQIJONUtW5IOSegTp9acyRrrLROYwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzEzMTUzOFoYDzIxMjYxMDMw
MTMxNTM4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASy4zUgn8lNBi17sSqUGDthG9jGxjB/U3IAG9KRjQyhIJk43SsWj3dJ
w9DpE7TibVIMUUdt9IJDoiUHKr1T3EG9o28wbTAdBgNVHQ4EFgQU0SdupVnQr3pc
DDsmyAz7hHwCezIwHwYDVR0jBBgwFoAU0SdupVnQr3pcDDsmyAz7hHwCezIwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAI1qXT+9UHnAbIWNQoZZa4ao8DY3sm1xbeMmaV9WOcYNAiB6
jXvztPVrtH5leeY6vBzvh5QtQjLdL694r1lVRA99FA==
-----END CERTIFICATE-----
"""
# Signs for nobody: it was made for this test, and no machine trusts it.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1/k5GdCxaXhfjj24
zmY9KyUvZ8yrZignVtqKINEI++ChRANCAASy4zUgn8lNBi17sSqUGDthG9jGxjB/
U3IAG9KRjQyhIJk43SsWj3dJw9DpE7TibVIMUUdt9IJDoiUHKr1T3EG9
-----END PRIVATE KEY-----
"""


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    pem = tmp_path / "both.pem"
    pem.write_text(CERTIFICATE + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    received: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1000))
        writer.write(GOOD)
        writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: None)
    async with listener:
        url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        config = quick(max_attempts=1)
        async with BlockStore(CANARY, base_url=url, config=config) as store:
            with pytest.raises(TransportError, match="certificate is not valid") as caught:
                await store.volumes.get(VOLUME_ID)
        assert not caught.value.sent
        assert received == []
        # The mutant, a session that trusts everybody, gets through: the server itself is fine.
        trusting = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))
        async with (
            trusting,
            BlockStore(CANARY, base_url=url, config=config, session=trusting) as store,
        ):
            assert (await store.volumes.get(VOLUME_ID)).name == "example"
        assert CANARY.encode() in received[0]


def test_no_switch_turns_tls_off() -> None:
    names = {field.name for field in attrs.fields(Config)}
    names |= set(inspect.signature(BlockStore).parameters)
    assert not [name for name in names if re.search("ssl|tls|verify|insecure|cert", name)]
    package = Path(do_blockstore_async.__file__).parent
    for path in package.rglob("*.py"):
        assert not re.search(r"ssl\s*=\s*False|verify_ssl|CERT_NONE", path.read_text()), path


# The environment.


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A proxy and a .netrc in the environment."""

    def plant(proxy: str, machine: str = "default") -> None:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        netrc = tmp_path / "netrc"
        netrc.write_text(f"{machine} login planted password planted")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))

    return plant


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    server: ScriptedServer, planted: Callable[..., None]
) -> None:
    server.answers(otherwise=GOOD)
    async with ScriptedServer() as proxy:
        planted(proxy.url)
        async with BlockStore(CANARY, base_url=server.url, config=quick()) as store:
            await store.volumes.get(VOLUME_ID)
        assert proxy.connections == 0
        assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"


async def test_a_proxy_of_the_environment_is_used_if_asked_for_and_netrc_never(
    planted: Callable[..., None],
) -> None:
    refusal = http(407, b"")
    async with ScriptedServer() as proxy:
        planted(proxy.url)
        proxy.answers(otherwise=refusal)
        config = quick(trust_env=True, max_attempts=1)
        async with BlockStore(CANARY, base_url="https://api.invalid", config=config) as store:
            with pytest.raises(
                TransportError, match=r"proxy refused the connection .407."
            ) as error:
                await store.volumes.delete(VOLUME_ID)
            assert not error.value.sent
            assert store.quota.windows[0].remaining == store.quota.windows[0].limit
        (request,) = proxy.requests
        assert (request.method, request.target) == ("CONNECT", "api.invalid:443")
        assert CANARY not in str(request.headers)
        assert "planted" not in str(request.headers)


async def test_a_proxy_of_the_environment_is_not_used_for_this_machine_nor_for_no_proxy(
    server: ScriptedServer, planted: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers(otherwise=GOOD)
    async with ScriptedServer() as proxy:
        planted(proxy.url)
        async with BlockStore(CANARY, base_url=server.url, config=quick(trust_env=True)) as store:
            await store.volumes.get(VOLUME_ID)
        assert proxy.connections == 0
        assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
        monkeypatch.setenv("NO_PROXY", ".invalid")
        config = quick(trust_env=True, max_attempts=1)
        async with BlockStore(CANARY, base_url="https://api.invalid", config=config) as store:
            with pytest.raises(TransportError, match="name could not be resolved"):
                await store.volumes.get(VOLUME_ID)
        assert proxy.connections == 0


async def test_a_named_proxy_is_used_and_its_password_not_shown(server: ScriptedServer) -> None:
    async with ScriptedServer() as proxy:
        proxy.answers(otherwise=GOOD)
        config = quick(proxy=proxy.url.replace("//", "//user:hunter2@"))
        assert "hunter2" not in repr(config)
        async with BlockStore(CANARY, base_url=server.url, config=config) as store:
            await store.volumes.get(VOLUME_ID)
        assert (proxy.connections, server.connections) == (1, 0)
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
        assert proxy.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    with pytest.raises(ConfigError, match="proxy must be a URL") as error:
        quick(proxy="user:hunter2@proxy")
    assert "hunter2" not in str(error.value)


async def test_a_session_with_credentials_of_its_own_is_refused_in_words(
    server: ScriptedServer, planted: Callable[..., None]
) -> None:
    planted(server.url)
    server.answers(otherwise=GOOD)
    async with (
        aiohttp.ClientSession(trust_env=True) as session,
        BlockStore(CANARY, base_url=server.url, config=quick(), session=session) as store,
    ):
        with pytest.raises(ConfigError, match="credentials of its own"):
            await store.volumes.get(VOLUME_ID)
        assert store.quota.in_flight == 0
    assert server.connections == 0


# What a response echoes.


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 429, 500])
async def test_a_token_that_a_response_echoes_reaches_no_error(
    server: ScriptedServer, status: int
) -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in CANARY)
    bodies = (
        f'{{"id": "{CANARY}", "message": "{CANARY}", "request_id": "{CANARY}"}}',
        f'{{"id": "x", "message": "header {escaped} rejected"}}',
        f'{{"message": {{"authorization": "Bearer {escaped}"}}}}',
        f"<html>{CANARY}</html>",
    )
    seen: list[object] = []
    headers = {"x-request-id": CANARY, "ratelimit-limit": CANARY, "ratelimit-reset": f"1{CANARY}"}
    config = quick(max_attempts=1, hooks=(seen.append,))
    for body in bodies:
        server.answers(otherwise=http(status, body.encode(), headers=headers))
        # One client each: after a 429 the next call would wait.
        async with BlockStore(CANARY, base_url=server.url, config=config) as store:
            with pytest.raises(BlockStoreError) as error:
                await store.volumes.get(VOLUME_ID)
            caught = error.value
            shown = f"{caught} {caught!r} {vars(caught)}"
            assert CANARY not in shown
            assert escaped not in shown
    assert CANARY not in repr(seen)


def test_the_environment_is_read_by_from_env_and_for_the_users_folders_only() -> None:
    package = Path(do_blockstore_async.__file__).parent
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] in {"cli", "integrations"}:
            continue
        text = path.read_text()
        assert text.count("os.environ") == (path.name in {"client.py", "places.py"}), path
        assert "getenv" not in text, path


# Redirects, cookies and links.


async def redirected(server: ScriptedServer, other: ScriptedServer) -> None:
    server.answers(otherwise=http(302, b"", headers={"location": f"{other.url}/v2/volumes"}))
    other.answers(otherwise=GOOD)
    async with BlockStore(CANARY, base_url=server.url, config=quick(max_attempts=1)) as store:
        try:
            await store.volumes.get(VOLUME_ID)
        except BlockStoreError as error:
            assert "redirect" in str(error)  # noqa: PT017


async def test_redirects_are_not_followed(server: ScriptedServer) -> None:
    async with ScriptedServer() as other:
        await redirected(server, other)
        assert other.connections == 0


async def test_mutant_that_follows_redirects(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = aiohttp.ClientSession.request

    def following(self: Any, *args: Any, **kwargs: Any) -> Any:
        return real(self, *args, **{**kwargs, "allow_redirects": True})

    monkeypatch.setattr(aiohttp.ClientSession, "request", following)
    async with ScriptedServer() as other:
        await redirected(server, other)
        assert other.connections == 1
        await other.wait_until_all_closed()


async def test_cookies_are_neither_kept_nor_sent(server: ScriptedServer) -> None:
    cookie = {"set-cookie": "session=planted; Path=/"}
    server.answers(otherwise=http(200, {"volume": VOLUME}, headers=cookie))
    # By name: a jar keeps no cookies of bare addresses anyway.
    url = server.url.replace("127.0.0.1", "localhost")
    for session in (None, aiohttp.ClientSession()):
        async with BlockStore(CANARY, base_url=url, session=session, config=quick()) as store:
            await store.volumes.get(VOLUME_ID)
            await store.volumes.get(VOLUME_ID)
        if session is not None:
            await session.close()
    assert "cookie" not in server.requests[1].headers
    # The mutant: a session with a jar.
    assert "cookie" in server.requests[3].headers


HOSTILE = "http://attacker.invalid/v2/volumes?page=2&per_page=1"


async def test_a_link_gives_a_page_number_and_nothing_else(server: ScriptedServer) -> None:
    def page(number: int) -> bytes:
        item = {**VOLUME, "id": f"{number:08x}"}
        links = {"pages": {"next": HOSTILE, "last": HOSTILE}}
        return http(200, {"volumes": [item], "links": links})

    server.answers(page(1), page(2), page(1), page(2))
    async with BlockStore(CANARY, base_url=server.url, config=quick()) as store:
        found = [volume async for volume in store.volumes.list(per_page=1)]
    assert len(found) == 2
    assert {request.path for request in server.requests} == {"/v2/volumes"}
    assert {request.headers["host"] for request in server.requests} == {server.url[7:]}


# Ids.

TRICKS = [
    "../droplets/1",
    "..",
    "a/../../x",
    "%2e%2e/x",
    "a?x=1",
    "a#x",
    "a\\b",
    "a b",
    "a\r\nb",
    "\u0661",
    "a" * 65,
    "",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_ids_with_tricks_reach_no_wire(trick: str, server: ScriptedServer) -> None:
    async with BlockStore(CANARY, base_url=server.url, config=quick()) as store:
        for call in (
            store.volumes.get(trick),
            store.volumes.delete(trick),
            store.volumes.attach(trick, 1),
            store.volumes.detach(trick, 1),
            store.volumes.resize(trick, 1),
            store.snapshots.create(trick, "a"),
            store.snapshots.get(trick),
            store.snapshots.delete(trick),
            store.actions.get(trick, 1),
        ):
            with pytest.raises(InvalidArgumentError):
                await call
    assert server.connections == 0


async def test_mutant_that_does_not_check_ids(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "check_volume_id", lambda value: value)
    server.answers(otherwise=http(204))
    async with BlockStore(CANARY, base_url=server.url, config=quick()) as store:
        await store.volumes.delete("../droplets/1")
    assert server.requests[0].path == "/v2/volumes/../droplets/1"


async def test_names_cannot_leave_their_query(server: ScriptedServer) -> None:
    server.answers(otherwise=http(204))
    name = "a&region=fra1#x?y=/../%2e+ \u00fc"
    async with BlockStore(CANARY, base_url=server.url, config=quick()) as store:
        await store.volumes.delete_by_name(name, region="nyc1")
    assert server.requests[0].query == {"name": name, "region": "nyc1"}
    assert server.requests[0].path == "/v2/volumes"
    assert "#" not in server.requests[0].target


# Caps and bounds.


async def test_mutant_without_a_cap_reads_it_all(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(self: Any, response: aiohttp.ClientResponse) -> bytes:
        return await response.read()

    monkeypatch.setattr(transport.AiohttpTransport, "_read", read)
    server.answers(http(200, {"volume": VOLUME, "padding": "x" * 10_000}))
    config = quick(max_body_bytes=1000)
    async with BlockStore(CANARY, base_url=server.url, config=config) as store:
        assert (await store.volumes.get(VOLUME_ID)).name == "example"


async def test_mutant_without_a_bound_on_an_attempt_waits(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on one attempt is ours: aiohttp's own total is off."""
    server.answers(otherwise=stall)
    config = quick(attempt_timeout_s=1000.0)
    async with BlockStore(CANARY, base_url=server.url, config=config) as store:
        call = asyncio.create_task(store.volumes.get(VOLUME_ID))
        await server.wait_until(lambda: bool(server.requests))
        done, _ = await asyncio.wait({call}, timeout=0.2)
        assert not done
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_a_server_that_invents_regions_fills_no_memory(server: ScriptedServer) -> None:
    async with BlockStore(CANARY, base_url=server.url, config=quick()) as store:
        for number in range(3):
            page = [
                {**VOLUME, "id": f"{n:08x}", "region": {**VOLUME["region"], "slug": f"r{n}"}}  # type: ignore[dict-item]
                for n in range(number * 200, number * 200 + 200)
            ]
            server.answers(http(200, {"volumes": page, "meta": {"total": 200}}))
            assert len([volume async for volume in store.volumes.list()]) == 200
        assert len(store._codec._regions_by_bytes) <= codec._MAX_REGIONS


async def test_connections_are_bounded(server: ScriptedServer) -> None:
    server.answers(otherwise=stall)
    config = quick(max_connections=3, attempt_timeout_s=PATIENCE_S)
    async with BlockStore(CANARY, base_url=server.url, config=config) as store:
        calls = [asyncio.create_task(store.volumes.get(VOLUME_ID)) for _ in range(10)]
        await server.wait_until(lambda: server.open == 3)
        await asyncio.wait(calls, timeout=0.05)
        assert server.connections == 3
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_making_a_connection_is_bounded(watch: Watch) -> None:
    """A listener that accepts nobody: once its queue is full, the system lets a caller wait."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            config = quick(connect_timeout_s=0.2, max_attempts=1, attempt_timeout_s=PATIENCE_S)
            url = f"http://127.0.0.1:{address[1]}"
            async with BlockStore(CANARY, base_url=url, config=config) as store:
                with pytest.raises(
                    TransportError, match="no connection could be established"
                ) as caught:
                    await store.volumes.create("a", region="nyc1", size_gigabytes=1)
                assert store.quota.in_flight == 0
        finally:
            for filler in fillers:
                filler.close()
    assert not caught.value.sent, "nothing was written, so nothing is unknown"
    watch.error(caught.value)
    assert not watch.holds(CANARY)


def test_nobody_reads_the_tests_environment() -> None:
    """The suite itself must not depend on a real token."""
    assert "api.digitalocean.com" not in os.environ.get("DIGITALOCEAN_API_URL", "")
