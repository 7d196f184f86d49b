"""BlockStore: builds the parts of a client and owns their lifetime. It holds no logic."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from . import _context, _deadline
from ._clock import Clock
from ._deadline import Timeout, seconds_of
from ._http.checks import check_base_url, check_params, check_path
from ._http.credentials import Credentials, TokenSource
from ._http.engine import Engine
from ._http.protocol import rate_limit
from ._http.request import RawResponse, Request
from ._http.secret import Secret, redact
from ._http.transport import Transport, check_session, make_transport
from ._interop.habits import AsyncOnly, answering
from ._lazy import ModuleLater
from ._ratelimit.local_budget import Budget
from ._ratelimit.throttle import Throttle
from ._schema.json_to_models import Codec, check_encodable
from .config import Config
from .errors import ClientClosedError, ConfigError, InvalidArgumentError
from .models import Response
from .resources.actions import ActionManager
from .resources.regions import RegionManager
from .resources.snapshots import SnapshotManager
from .resources.volumes import VolumeManager

if TYPE_CHECKING:
    import aiohttp

    from ._ratelimit import status as _status
    from .bulk import service as _service
else:
    # What annotations name is found where somebody resolves them, and imported only then.
    aiohttp = ModuleLater("aiohttp")
    _status = ModuleLater("do_blockstore_async._ratelimit.status")
    _service = ModuleLater("do_blockstore_async.bulk.service")

__all__ = ["BlockStore"]

_BASE_URL: Final = "https://api.digitalocean.com"
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "DELETE"})
_METHODS: Final = _IDEMPOTENT | {"POST", "PUT", "PATCH"}


def _from_environment(environ: Mapping[str, str]) -> tuple[Secret | None, str]:
    """The token, if there is one, and the API's address."""
    token = environ.get("DIGITALOCEAN_TOKEN") or environ.get("DIGITALOCEAN_ACCESS_TOKEN")
    return redact(token or None), environ.get("DIGITALOCEAN_API_URL") or _BASE_URL


def _shared_budget(config: Config, token: str | None, base_url: str) -> Budget | None:
    """The budget of many processes, if `config` asks for it; who does not pays no import for it."""
    if config.budget == "process":
        return None
    from ._ratelimit.shared.opening import open_budget

    return open_budget(config, token, base_url)


# What is given elsewhere by other names, and what belongs into the settings here.
_CALLED_ELSEWHERE: Final = {
    "token": "BlockStore(token), or BlockStore.from_env() for the one in the environment",
    "api_key": "BlockStore(token)",
    "access_token": "BlockStore(token)",
    "client": "session=, an aiohttp.ClientSession",
    "http_client": "session=, an aiohttp.ClientSession",
    "endpoint": "base_url=",
    "timeout": "config=Config(timeout_s=...)",
    "max_retries": "config=Config(max_attempts=...), the first attempt included",
    "retries": "config=Config(max_attempts=...), the first attempt included",
    **{field.name: f"config=Config({field.name}=...)" for field in attrs.fields(Config)},
}


def _kind(value: object) -> str:
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


class BlockStore(AsyncOnly):
    """A client of DigitalOcean's block storage API for one token.

        async with BlockStore(token) as store:
            async for volume in store.volumes.list(region="nyc3"):
                print(volume.name)

    The token's budget (250 requests a minute, 5,000 an hour) is kept by the client: calls wait for
    their turn, interactive ones before those made `with store.background()`.

    When a request fails, it is sent again by these rules:

    1. never written (no connection): any request, after a jittered delay;
    2. connection lost, timeout, 500, 502 to 504, 520 to 524: GET and DELETE. A DELETE that then
       meets a 404 has succeeded;
    3. a create, action or delete by name whose response was lost is reconciled: adopted if it
       exists, sent again if it does not, `OutcomeUnknownError` if that cannot be found out;
    4. 429: any request, once the server would accept it: after its retry-after, or as the budget
       allows. Never for the account's capacity; for a snapshot's cooldown only within `timeout=`;
    5. at most `Config.max_attempts` times, never past the deadline, and no longer once
       `Config.retry_budget` is exhausted, so that an outage is not multiplied.

    A client belongs to the event loop and the process that opened it.

    Args:
        token: a personal access or OAuth token; or a function, async or quick, that returns one.
            It is called when the client opens, and again when the API rejects a token (401): once
            for all calls that met it, and each of them is sent once more. It has
            `Config.attempt_timeout_s` to answer. A refresh token (`dor_v1_`) is rejected.
        base_url: https, or http on loopback.
        config: settings; see `Config`.
        session: an aiohttp session to use instead of an own one; it is never closed here, and its
            own middlewares do not see these requests.
        throttle: the throttle of another client of the same token, to share one budget; its
            windows, reserve, burst and the like then apply, not those of `config`.

    Raises:
        ConfigError: the token, URL or settings are invalid.
    """

    # As `repr` shows it; dropped when a setting is invalid.
    _engine: Engine | None = None
    _is_opened = False
    _closed = False
    _base_url = "(refused)"

    @answering(ConfigError, _CALLED_ELSEWHERE)
    def __init__(
        self,
        token: str | TokenSource,
        *,
        base_url: str = _BASE_URL,
        config: Config | None = None,
        session: aiohttp.ClientSession | Transport | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        if config is not None and not isinstance(config, Config):
            how = "Config(**settings)" if isinstance(config, Mapping) else "Config(...)"
            raise ConfigError(f"config must be {how}, not {_kind(config)}")
        if throttle is not None and not isinstance(throttle, Throttle):
            raise ConfigError(f"throttle must be `store.throttle`, not {_kind(throttle)}")
        check_session(session)
        # Error reporters show local variables, so the plain token is to be none.
        token = token if callable(token) else redact(token)  # type: ignore[assignment] # a text too
        self._credentials = Credentials(token)  # type: ignore[arg-type] # redacted, or a source
        self._base_url = check_base_url(base_url)
        self._config = Config() if config is None else config
        self._session = session
        self._clock = Clock(self._config.jitter_seed)
        if throttle is None:
            named_after = None if self._credentials.rotates else self._credentials.token
            budget = _shared_budget(self._config, named_after, self._base_url)
            throttle = Throttle(self._config, clock=self._clock, budget=budget)
        self._throttle = throttle
        self._codec = Codec()

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        config: Config | None = None,
        session: aiohttp.ClientSession | Transport | None = None,
        throttle: Throttle | None = None,
    ) -> Self:
        """A client for the token in the environment.

        Reads DIGITALOCEAN_TOKEN, then DIGITALOCEAN_ACCESS_TOKEN; DIGITALOCEAN_API_URL where set;
        DO_BLOCKSTORE_BUDGET, as `Config.budget`, where that has its default and no throttle is
        given.

        Raises:
            ConfigError: neither variable is set, or what they hold is invalid.
        """
        environ = os.environ if environ is None else environ
        token, base_url = _from_environment(environ)
        budget = environ.get("DO_BLOCKSTORE_BUDGET")
        del environ  # it holds the token too
        if budget and throttle is None and (config is None or config.budget == "process"):
            config = attrs.evolve(Config() if config is None else config, budget=budget)
        if not token:
            raise ConfigError("set DIGITALOCEAN_TOKEN or DIGITALOCEAN_ACCESS_TOKEN to a token")
        return cls(token, base_url=base_url, config=config, session=session, throttle=throttle)

    # Lifecycle.

    async def __aenter__(self) -> Self:
        if self._is_opened or self._closed:
            raise ClientClosedError("a client is opened once; make another one")
        self._is_opened = True
        try:
            await self._credentials.aopen(self._config.attempt_timeout_s)
        except BaseException:
            self._is_opened = False
            raise
        if self._closed:
            raise ClientClosedError("the client was closed while it was being opened")
        transport = make_transport(
            self._credentials, self._base_url, self._config, self._throttle, self._session
        )
        self._engine = engine = Engine(
            transport, self._throttle, self._config, self._clock, self._credentials
        )
        self._actions = ActionManager(engine, self._codec)
        self._volumes = VolumeManager(engine, self._codec, self._actions)
        self._snapshots = SnapshotManager(engine, self._codec)
        self._regions = RegionManager(engine, self._codec)
        self._throttle._join()
        try:
            await self._throttle._open_budget()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self, *, grace_s: float | timedelta = 0.0) -> None:
        """Close the client; harmless when repeated. Cancelled, it closes without grace.

        Args:
            grace_s: seconds or a timedelta that calls in flight get to finish. After that they
                raise `ClientClosedError`, or `OutcomeUnknownError` if they may have taken
                effect.
        """
        limit_s = seconds_of(grace_s, "grace_s")
        first, self._closed = not self._closed, True
        if self._engine is None:
            return
        try:
            await self._engine.aclose(limit_s)
        finally:
            if first:
                await self._throttle._leave()

    def __del__(self) -> None:
        if self._engine is not None and not self._closed:
            warnings.warn(
                f"unclosed {self!r}: use `async with` or `await store.aclose()`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    def __repr__(self) -> str:
        state = "closed" if self._closed else "new" if self._engine is None else "open"
        return f"<BlockStore {self._base_url} {state}>"

    def _open_engine(self) -> Engine:
        if self._engine is None:
            raise ClientClosedError("open the client first: async with BlockStore(token) as store")
        return self._engine

    # The managers.

    @property
    def volumes(self) -> VolumeManager:
        """Volumes, and attaching, detaching and resizing them."""
        self._open_engine()
        return self._volumes

    @property
    def snapshots(self) -> SnapshotManager:
        """Snapshots of volumes."""
        self._open_engine()
        return self._snapshots

    @property
    def actions(self) -> ActionManager:
        """Actions on volumes."""
        self._open_engine()
        return self._actions

    @property
    def regions(self) -> RegionManager:
        """Regions."""
        self._open_engine()
        return self._regions

    @property
    def bulk(self) -> _service.Bulk:
        """Jobs over many volumes, with a plan before and an outcome for each item after."""
        return _service.Bulk(
            engine=self._open_engine(),
            codec=self._codec,
            throttle=self._throttle,
            volumes=self._volumes,
            snapshots=self._snapshots,
            actions=self._actions,
            regions=self._regions,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | float | bool] | None = None,
        json: Any = None,
        timeout: Timeout = None,
    ) -> Response:
        """Call any other endpoint of the API, under the same budget, retries and errors.

        GET, HEAD and DELETE are sent again after a lost response; for POST, PUT and PATCH a lost
        response is an `OutcomeUnknownError`.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            path: absolute and escaped, such as `/v2/account`; never a host.
            params: query parameters, not yet escaped; True and False become `true` and `false`.
            json: the body, anything that JSON can hold.
            timeout: seconds or a timedelta, the wait for quota included.

        Returns:
            Status, headers and decoded body of the 2xx response.

        Raises:
            InvalidArgumentError: an argument is invalid; nothing was sent.
            BlockStoreError: see `errors`.
        """
        verb = method.upper() if isinstance(method, str) else ""
        if verb not in _METHODS:
            raise InvalidArgumentError(f"method must be one of {', '.join(sorted(_METHODS))}")
        if params is not None and not isinstance(params, Mapping):
            raise InvalidArgumentError(f"params must be a dict, not {_kind(params)}")

        query = check_params(params or {})
        check_encodable(query, json)

        def decode(raw: RawResponse) -> Response:
            headers = {name.lower(): value for name, value in raw.headers.items()}
            return Response(raw.status, headers, self._codec.anything(raw), rate_limit(headers))

        request = Request(
            method=verb,
            path=check_path(path),
            route=path,
            decode=decode,
            params=query,
            json=json,
            idempotent=verb in _IDEMPOTENT,
        )
        return await self._open_engine().call(request, timeout=timeout)

    # The budget.

    @property
    def throttle(self) -> Throttle:
        """The token's throttle, to share it with another client or an aiohttp session."""
        return self._throttle

    @property
    def quota(self) -> _status.QuotaStatus:
        """The state of the budget: used and remaining in each window, waiting, paused.

        Needs the running event loop, as `forecast` does.
        """
        return self._throttle.status()

    def explain(self, *, background: bool | None = None) -> _status.WaitReason:
        """Say why a call made now would wait for the budget, and until when.

            print(store.explain())  # the requests of the last minute are used up; it could ...

        Args:
            background: whether the call is bulk; None takes it from the surrounding `background()`.

        Raises:
            ClientClosedError: it is not called in the client's event loop.
        """
        return self._throttle.explain(background=background)

    def forecast(self, requests: int) -> timedelta:
        """Forecast the time until `requests` more requests, sent from now on, would be answered.

        Args:
            requests: 0 or more.

        Raises:
            InvalidArgumentError: `requests` is negative.
        """
        return self._throttle.forecast(requests)

    def background(
        self, job: Hashable | None = None, weight: float = 1.0
    ) -> AbstractContextManager[None]:
        """Mark the calls made inside as bulk: interactive ones go first, and keep a reserve.

        A context variable carries the mark, so tasks started inside inherit it.

        Args:
            job: calls of one job are served as one; None makes each block a job of its own.
            weight: this job's share against other jobs, more than 0; less than 0.001 counts as
                that, more than 1,000 as 1,000.

        Raises:
            InvalidArgumentError: `weight` is not a positive, finite number.
        """
        return self._throttle.background(job, weight)

    @staticmethod
    def deadline(timeout_s: float | timedelta) -> AbstractContextManager[None]:
        """Bound the calls made inside, of any client, by `timeout_s` seconds all together.

            with store.deadline(5):
                volume = await store.volumes.get(volume_id)
                await store.volumes.resize(volume.id, 2 * volume.size_gigabytes)

        Each call has its own `timeout=` too; the earlier end counts. Tasks started inside inherit
        the deadline, except those started in `detached()`.

        Args:
            timeout_s: seconds or a timedelta, from now, 0 or more.

        Raises:
            InvalidArgumentError: `timeout_s` is not a number of seconds, 0 or more.
        """
        return _deadline.deadline(timeout_s)

    @staticmethod
    def detached() -> AbstractContextManager[None]:
        """Start work here that outlives the task around it, such as a job started by a web request.

            with store.detached(), store.background():
                job = asyncio.create_task(nightly(store))

        It inherits no deadline, no job and no observer.
        """
        return _context.detached()
