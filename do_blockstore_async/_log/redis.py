"""A log in Redis or Valkey: for the processes of many machines. Needs redis-py.

Each exchange is one script, which Redis runs alone: so it is atomic (L2, L3). The facts are a
stream whose ids are the positions; the rest are three plain keys. All share a hash tag, so they
share a slot of a cluster.

R1. The clock is the server's TIME, plus a stored correction, with the rules of `server_clock.py`;
    the script corrects it before it dates anything.
R2. Keys nobody uses expire, so a token that was retired leaves nothing behind.

Redis acknowledges before it writes to the disk or to a replica: after a crash or a failover the
last second of the log may be lost. For a budget that is an open risk; journals are not kept here.

It needs the commands EVALSHA, SCRIPT LOAD, TIME, GET, SET, XADD, XRANGE, XTRIM, XREAD, PEXPIRE, on
keys of its prefix alone.

R3. A log that was emptied takes its clock from whoever writes first, if that one has been answered
    before: time goes on for those who live.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis.asyncio
import redis.exceptions

from .._clock import now_s, pause
from ..errors import StoreUnusableError
from .server_clock import ServerClock
from .store import CHANGED_WITHIN_S, PAGE, Fact, LogStoreError, Reply

__all__ = ["RedisStore"]

_KEPT_S: Final = 86_400.0
_TIMEOUT_S: Final = 5.0

_REFUSED: Final = (
    redis.exceptions.AuthenticationError,
    redis.exceptions.AuthorizationError,
)
_AWAY: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
    OSError,
    TimeoutError,
)

# KEYS: facts, last, clock, id. Times are whole microseconds: numbers of Lua are doubles.
_SCRIPT: Final = """
local after, only_if, trim = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local page, expected, kept_ms, new_id = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7]
local time = redis.call('TIME')
local raw = tonumber(time[1]) * 1000000 + tonumber(time[2])
local clock = redis.call('GET', KEYS[3])
local shift, latest = 0, 0
if clock then
  shift, latest = string.match(clock, '^(%-?%d+) (%d+)$')
  shift, latest = tonumber(shift), tonumber(latest)
end
local now = raw + shift
local fresh = tonumber(ARGV[8]) == 1
if expected >= 0 then
  local step = now - expected
  if step > 500000 or (step < -500000 and (fresh or not clock)) then
    shift = expected - raw
    now = expected
  end
end
if now < latest then now = latest end
local id = redis.call('GET', KEYS[4])
if not id then
  id = new_id
  redis.call('SET', KEYS[4], id)
end
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local accepted = 1
if #ARGV > 8 then
  if only_if < 0 or only_if == last then
    for n = 9, #ARGV do
      last = last + 1
      redis.call('XADD', KEYS[1], string.format('%.0f-0', last),
                 't', string.format('%.0f', now), 'd', ARGV[n])
    end
    redis.call('SET', KEYS[2], string.format('%.0f', last))
  else
    accepted = 0
  end
end
if trim > 0 then
  redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', trim))
end
redis.call('SET', KEYS[3], string.format('%.0f %.0f', shift, now))
for n = 1, 4 do redis.call('PEXPIRE', KEYS[n], kept_ms) end
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local first = last + 1
if oldest[1] then first = tonumber(string.match(oldest[1][1], '^(%d+)')) end
local found = redis.call('XRANGE', KEYS[1], string.format('(%.0f-0', after), '+', 'COUNT', page)
local facts = {}
for _, entry in ipairs(found) do
  facts[#facts + 1] = string.match(entry[1], '^(%d+)')
  facts[#facts + 1] = entry[2][2]
  facts[#facts + 1] = entry[2][4]
end
return {accepted, string.format('%.0f', now), id, first, last, facts}
"""


class RedisStore:
    """One log in one Redis.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py takes it.
        key: names the log; never a token.
        clock: returns seconds, on a clock that nobody sets.
        new_id: makes the id of a new log.
        kept_s: seconds after which a log that nobody uses is dropped; a day by default.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        kept_s: float = _KEPT_S,
    ) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._script = self._client.register_script(_SCRIPT)
        tag = f"do-blockstore:{{{key}}}"
        self._keys = [f"{tag}:{part}" for part in ("facts", "last", "clock", "id")]
        self._clock = ServerClock(clock)
        self._new_id = new_id
        self._kept_ms = math.ceil(kept_s * 1000)

    async def exchange(
        self,
        after: int,
        facts: Sequence[bytes] = (),
        *,
        only_if: int | None = None,
        trim_before: int = 0,
    ) -> Reply:
        """See `LogStore.exchange`."""
        expected = self._clock.expected()
        arguments: list[bytes | str | int] = [
            after,
            -1 if only_if is None else only_if,
            trim_before,
            PAGE,
            -1 if expected is None else round(expected.now_s * 1e6),
            self._kept_ms,
            self._new_id(),
            int(expected is not None and expected.is_fresh),
            *facts,
        ]
        try:
            answer: Any = await self._script(keys=self._keys, args=arguments)
        except (*_REFUSED, *_AWAY) as error:
            # Some versions of redis-py put the refusal into a ConnectionError.
            if isinstance(error, _REFUSED) or isinstance(error.__cause__, _REFUSED):
                raise StoreUnusableError(
                    "Redis refuses the user name or the password of its URL"
                ) from None
            # Never the message itself where it may quote the URL, which may hold a password.
            raise LogStoreError(f"Redis is away: {type(error).__name__}") from None
        except (redis.exceptions.RedisError, ValueError) as error:
            raise StoreUnusableError(f"Redis cannot keep the budget: {_reason(error)}") from None
        accepted, now_us, log_id, first, last, flat = answer
        now_s = int(now_us) / 1e6
        self._clock.heard(now_s)
        return Reply(
            accepted=accepted == 1,
            now_s=now_s,
            log_id=log_id.decode(),
            first=first,
            last=last,
            facts=tuple(
                Fact(int(position), int(at_us) / 1e6, data)
                for position, at_us, data in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
            ),
        )

    async def changed(self, after: int) -> None:
        """See `LogStore.changed`: a blocking read of the stream."""
        until = now_s() + CHANGED_WITHIN_S
        block_ms = math.ceil(CHANGED_WITHIN_S * 1000)
        try:
            await self._client.xread({self._keys[0]: f"{after}-0"}, count=1, block=block_ms)
        except (redis.exceptions.RedisError, OSError, TimeoutError, ValueError):
            await pause(max(0.0, until - now_s()))

    async def aclose(self) -> None:
        """Close the connections; harmless when repeated."""
        await self._client.aclose()


def _reason(error: Exception) -> str:
    """Say what is wrong and what to do, without the server's own words."""
    if isinstance(error, redis.exceptions.NoPermissionError):
        return "its user may not run the commands that this needs (see the page on sharing a token)"
    if isinstance(error, redis.exceptions.MovedError | redis.exceptions.AskError):
        return "it is a node of a Redis Cluster, which is not supported: name a single server"
    if isinstance(error, redis.exceptions.InvalidResponse):
        return "another kind of server listens there"
    return f"it refuses the exchange ({type(error).__name__}); is it Redis 6.2 or later, or Valkey?"
