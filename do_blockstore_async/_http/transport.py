"""The wire: one transmission of one request over aiohttp. The only place that knows aiohttp.

T1. A lease is taken for each transmission, in an aiohttp client middleware, directly before the
    request goes out, and closed when the headers of its response are here: completed; cancelled if
    it was never written; else abandoned.
T2. aiohttp itself re-sends an idempotent request once when a kept-alive connection turns out to be
    dropped. The middleware raises an error of its own instead, so that each transmission is one
    attempt of the engine, which alone decides on sending again.
T3. Redirects are not followed. Bodies are read to `Config.max_body_bytes` after decompression and
    no further.
T4. A transmission ends by its deadline and by `Config.attempt_timeout_s` from the moment of its
    lease, and at once when the transport is closed; its connection goes with it.
T5. A transmission holds a slot for a socket of its own, so aiohttp never queues it: what waits for
    a slot has sent nothing.
T6. Nothing that is handed on of a response holds the token: no header, no body, and no body of an
    error in which JSON escapes hide it.
T7. No exception that leaves this module refers to the request's headers, and no local variable of
    this layer or of `client.py` shows the token (`secret.py`): some tools report those too.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import ClientSession, ClientTimeout, hdrs
from multidict import CIMultiDict, istr
from yarl import URL

from .._ratelimit.middleware import StaleLeaseError, never_written
from ..config import Config
from ..errors import (
    BlockStoreError,
    ClientClosedError,
    ConfigError,
    DecodeError,
    RequestTimeoutError,
    TransportError,
)
from .attempt_timer import AttemptTimer, expire
from .credentials import Credentials
from .request import Attempt, RawResponse, Request, encode_json, is_answer
from .secret import Secret

if TYPE_CHECKING:
    from .._ratelimit.throttle import Throttle

__all__ = ["AiohttpTransport", "Transport", "check_session", "make_transport"]

_READ_AT_ONCE: Final = 64 * 1024
# Without it, a wait for the budget that ends too late would end as a response that did.
_LEAST_RESPONSE_S: Final = 0.01
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_JSON_ESCAPE: Final = re.compile(rb"\\(?:u00([0-7][0-9a-fA-F])|([^u]))")
# A shorter one would be found by chance.
_SHORTEST_TOKEN: Final = 16
_value_of: Final = itemgetter(1)  # of a raw header


class Transport(Protocol):
    """What the engine needs of the wire; the in-process simulator offers the same."""

    async def send(self, request: Request[Any], attempt: Attempt) -> RawResponse:
        """Transmit once and return the whole response, whatever its status.

        Takes a lease from the throttle, keeps to `attempt.deadline`, calls `attempt.begin` in the
        caller's own task.

        Raises:
            TransportError: no usable response; `sent` says whether the request may have arrived.
            RequestTimeoutError: not in time.
            QuotaWaitTooLongError: the budget cannot serve it before the deadline.
        """

    async def aclose(self) -> None:
        """End every transmission in flight and give all resources back."""


class _Lost(Exception):  # noqa: N818 -- a signal between two functions, not an error for users
    """The connection broke; carries whether the request may have been written."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


_Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


class _Transmission:
    """The middleware of one `send`: the lease's life, and the start of the attempt's clock."""

    __slots__ = ("_attempt", "_owner", "_scope", "headers", "holds_slot")

    def __init__(self, owner: AiohttpTransport, attempt: Attempt, scope: asyncio.Timeout) -> None:
        self._owner = owner
        self._attempt = attempt
        self._scope = scope
        self.holds_slot = False
        self.headers: Mapping[str, str] | None = None

    def __deepcopy__(self, _: Any) -> _Transmission:
        # aioresponses and the like copy what a session is called with; a loop cannot be copied.
        return self

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: _Handler
    ) -> aiohttp.ClientResponse:
        attempt, throttle, slots = self._attempt, self._owner.throttle, self._owner.slots
        loop = asyncio.get_running_loop()
        wait_s = attempt.deadline.timeout(loop.time())
        if wait_s is not None:
            # A lease that leaves no time for the response is useless: fail at once instead.
            wait_s -= min(max(throttle._response_s, _LEAST_RESPONSE_S), wait_s / 2)
        attempt.waits = True
        async with throttle.acquire(timeout=wait_s) as lease:
            attempt.waits = False
            try:
                if slots is not None and not self.holds_slot:
                    await slots.acquire()
                    self.holds_slot = True
                if attempt.gate is not None:
                    attempt.is_late = await attempt.gate()
            except BaseException:
                lease.cancel()
                raise
            if self._owner.credentials.generation != attempt.generation:
                # Another token than when it began to wait.
                request.headers[hdrs.AUTHORIZATION] = self._owner.carry_token()
                attempt.generation = self._owner.credentials.generation
            now = loop.time()
            attempt.begin(now)
            self._owner.timer.begin(self._scope, now)
            try:
                with throttle._fence(request, lease, attempt.is_late):
                    response = await handler(request)
            except StaleLeaseError:
                lease.cancel()
                attempt.sent_at = None
                raise _Lost("the process stood still before it was written", sent=False) from None
            except (aiohttp.ClientError, OSError) as error:
                is_sent = not never_written(error)
                if not is_sent:
                    lease.cancel()
                    attempt.sent_at = None
                raise _Lost(_reason(error), sent=is_sent) from None
            self.headers = self._owner.headers_of(response)
            lease.complete(self.headers, response.status)
            return response


def _reason(error: BaseException) -> str:
    """Say what broke, in a few words; never aiohttp's own message, which may quote a request."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name could not be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the server's certificate is not valid (own authorities: Config.ca_file)"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "TLS could not be set up"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection could be established in time"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy refused the connection ({error.status})"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "no connection to the proxy could be established"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection could be established"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without a response"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the response's body was cut short or not decodable"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the response is not HTTP"
    return f"the connection broke ({type(error).__name__})"


class AiohttpTransport:
    """The transport over an aiohttp session, of its own or injected.

    An injected session is used as it is and never closed; its own middlewares and default
    redirects do not apply to these requests. Where others use its sockets too, a request may still
    wait for one after it counts as sent.

    Attributes:
        throttle: grants the leases.
        slots: for as many transmissions as there are sockets; None without such a bound.
        timer: ends attempts that take too long.
        credentials: the token in force.
    """

    def __init__(
        self,
        credentials: Credentials,
        base_url: str,
        config: Config,
        throttle: Throttle,
        session: ClientSession | None,
    ) -> None:
        base = urlsplit(base_url)
        self._scheme, self._authority, self._prefix = base.scheme, base.netloc, base.path
        self._config = config
        self.throttle = throttle
        self._proxy = config.proxy or (_proxy_from_env(base_url) if config.trust_env else None)
        self._owns_session = session is None
        self._session = session if session is not None else _make_session(config)
        self.credentials = credentials
        self._carried = 0
        # Those to look for: a response to the last token may come when the next one is in force.
        self._tokens: tuple[bytes, ...] = ()
        self.slots = _slots_of(self._session)
        # In the form that aiohttp would bring them into for each request.
        self._headers = CIMultiDict(
            {
                istr("Accept"): "application/json",
                istr("User-Agent"): config.user_agent,
            }
        )
        self._json_headers = CIMultiDict(self._headers)
        self._json_headers[istr("Content-Type")] = "application/json"
        self.carry_token()
        # The engine keeps the time; aiohttp only bounds the making of a connection.
        self._timeout = ClientTimeout(total=None, sock_connect=config.connect_timeout_s)
        self._scopes: set[asyncio.Timeout] = set()
        self.timer = AttemptTimer(config.attempt_timeout_s)
        self._closed = False

    def carry_token(self) -> Secret:
        """Write the token in force into the headers, and return theirs."""
        credentials = self.credentials
        if self._carried != credentials.generation:
            self._carried = credentials.generation
            if len(credentials.token) >= _SHORTEST_TOKEN:
                self._tokens = (credentials.token.encode(), *self._tokens[:1])
            for headers in (self._headers, self._json_headers):
                headers[istr("Authorization")] = Secret(f"Bearer {credentials.token}")
        return self._headers["Authorization"]  # type: ignore[return-value] # a Secret, set above

    async def send(self, request: Request[Any], attempt: Attempt) -> RawResponse:
        """See `Transport.send`."""
        if self._carried != self.credentials.generation:
            self.carry_token()
        attempt.generation = self._carried
        query = urlencode(request.params, quote_via=quote) if request.params else ""
        headers, body = self._headers, None
        if request.json is not None:
            headers, body = self._json_headers, encode_json(request.json)
        if self._closed:
            raise ClientClosedError("the client was closed")
        scope = asyncio.timeout_at(attempt.deadline.when())
        transmission = _Transmission(self, attempt, scope)
        self._scopes.add(scope)
        # Errors are made here and raised below, outside of `except`, so that no library error,
        # which may hold the request and its headers, stays on as their context.
        failure: BlockStoreError
        try:
            async with scope:
                async with self._session.request(
                    request.method,
                    # Of parts that are known to be well formed: nothing has to be parsed.
                    URL.build(
                        scheme=self._scheme,
                        authority=self._authority,
                        path=self._prefix + request.path,
                        query_string=query,
                        encoded=True,
                    ),
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=self._timeout,
                    proxy=self._proxy,
                    middlewares=(transmission,),
                ) as response:
                    content = await self._read(response)
                    content = self._without_token(content, response.status)
                    headers_in = transmission.headers
                    if headers_in is None:  # a session that runs no middlewares, as in tests
                        headers_in = self.headers_of(response)
                    raw = RawResponse(response.status, headers_in, content)
                    if not is_answer(request, attempt, raw):
                        # The connection is out of step: it must not serve another request.
                        response.close()
                return raw
        except TimeoutError:
            failure = (
                self.throttle._too_late()
                if attempt.waits and not self._closed
                else RequestTimeoutError("no complete response in time", sent=_sent(attempt))
            )
        except _Lost as lost:
            failure = TransportError(lost.reason, sent=lost.sent)
        except aiohttp.ClientError as error:
            failure = TransportError(_reason(error), sent=_sent(attempt))
        except RuntimeError:
            # aiohttp raises this for a closed session.
            if not self._session.closed:
                raise
            failure = ClientClosedError("the HTTP session is closed")
        except ValueError as error:
            if "AUTH" not in str(error):
                raise
            failure = ConfigError(
                "the session has credentials of its own (auth, or trust_env with a .netrc); "
                "leave them out"
            )
        finally:
            if transmission.holds_slot and self.slots is not None:
                self.slots.release()
            self._scopes.discard(scope)
            self.timer.end(scope)
        if self._closed and not _sent(attempt):
            failure = ClientClosedError("the client was closed")
        try:
            raise failure
        finally:
            del failure  # it and this frame would hold each other, and the request with them

    def headers_of(self, response: aiohttp.ClientResponse) -> Mapping[str, str]:
        """Return a response's headers, without the token."""
        headers: Mapping[str, str] = response.headers
        values = b"\n".join(map(_value_of, response.raw_headers))
        for token in self._tokens:
            if token in values:
                text = token.decode()
                headers = CIMultiDict(
                    (name, value.replace(text, "(token)")) for name, value in headers.items()
                )
        return headers

    def _without_token(self, content: bytes, status: int) -> bytes:
        """Take the token out of a body: some gateways show the request that they failed on."""
        for token in self._tokens:
            if token in content:
                content = content.replace(token, b"(token)")
            # Errors quote their response; results do not.
            if status >= 300 and b"\\" in content and token in _JSON_ESCAPE.sub(_letter, content):
                return b'{"message": "the response quoted the token, and is left out here"}'
        return content

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the whole body, decompressed, within the cap."""
        limit = self._config.max_body_bytes
        # A HEAD's response announces a body that does not come.
        announced = response.content_length if response.method != "HEAD" else None
        if announced is not None and announced > limit:
            raise _too_large(response, limit)
        if announced is not None and "Content-Encoding" not in response.headers:
            return await response.read()
        parts: list[bytes] = []
        size = 0
        while part := await response.content.read(_READ_AT_ONCE):
            size += len(part)
            if size > limit:
                raise _too_large(response, limit)
            parts.append(part)
        return b"".join(parts)

    async def aclose(self) -> None:
        """See `Transport.aclose`; an injected session stays open."""
        if self._closed:
            return
        self._closed = True
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            expire(scope, now)
        self.timer.close()
        if self._owns_session:
            await self._session.close()


def _too_large(response: aiohttp.ClientResponse, limit: int) -> DecodeError:
    # The rest of the body is not worth a connection.
    response.close()
    return DecodeError(
        f"the response is larger than {limit} bytes (Config.max_body_bytes)",
        status=response.status,
        request_id=response.headers.get("x-request-id"),
    )


def _sent(attempt: Attempt) -> bool:
    return attempt.sent_at is not None


def _make_session(config: Config) -> ClientSession:
    trusted = True if config.ca_file is None else _trusting(config.ca_file)
    return ClientSession(
        connector=aiohttp.TCPConnector(limit=config.max_connections, ssl=trusted),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _trusting(ca_file: str) -> ssl.SSLContext:
    """Trust the certificate authorities in a PEM file, and no others."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        reason = "it holds no certificates in PEM form"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ConfigError(f"cannot use the CA file {ca_file}: {reason}")


def _slots_of(session: ClientSession) -> asyncio.Semaphore | None:
    """Return a slot for each connection that the session makes at most to one host."""
    connector = session.connector
    if connector is None:
        return None
    limits = [limit for limit in (connector.limit, connector.limit_per_host) if limit]
    return asyncio.Semaphore(min(limits)) if limits else None


def _proxy_from_env(base_url: str) -> str | None:
    """Return the proxy that the environment names for the API, by the rules of `urllib`.

    Not by aiohttp's `trust_env`, which would read credentials from .netrc too.

    Raises:
        ConfigError: it is a proxy of another kind. The message does not quote it.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host in _LOOPBACK or proxy_bypass(host):
        return None
    found = getproxies()
    proxy = found.get(parts.scheme) or found.get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.lower().startswith(("http://", "https://")):
        kind = proxy.partition("://")[0]
        raise ConfigError(f"the environment names a {kind} proxy: only HTTP proxies can be used")
    return proxy


def _letter(escape: re.Match[bytes]) -> bytes:
    code, other = escape.groups()
    return bytes([int(code, 16)]) if code else other


def check_session(session: object) -> None:
    """Reject what is no session of aiohttp, nor a transport.

    Raises:
        ConfigError: such as for a client of another HTTP library.
    """
    if session is None or isinstance(session, ClientSession):
        return
    is_transport = callable(getattr(session, "send", None)) and not hasattr(session, "get")
    if not is_transport:
        kind = type(session)
        raise ConfigError(
            f"session must be an aiohttp.ClientSession, not {kind.__module__}.{kind.__name__}"
        )


def make_transport(
    credentials: Credentials,
    base_url: str,
    config: Config,
    throttle: Throttle,
    session: ClientSession | Transport | None,
) -> Transport:
    """Return the transport for `session`: itself if it is one, else one over aiohttp."""
    if session is None or isinstance(session, ClientSession):
        return AiohttpTransport(credentials, base_url, config, throttle, session)
    return session
