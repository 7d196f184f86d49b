"""A log in Redis or Valkey: for the processes of many machines. Needs redis-py.

Each exchange is one script, which Redis runs alone: so it is atomic (L2, L3). The facts are a
stream whose ids are the positions; the rest are three plain keys. All share a hash tag, so they
share a slot of a cluster.

R1. The clock is the server's TIME, plus a stored correction. Whoever was answered within 5 s says
    what time it should be now by its own measure; where the two differ by more than half a second
    the server's clock was set, and the script corrects it before it dates anything. A slow request
    looks like a clock that was set back: then time passes a little slower, which frees slots later,
    never earlier.
R2. Keys nobody uses expire, so a token that was retired leaves nothing behind.

Redis acknowledges before it writes to the disk or to a replica: after a crash or a failover the
last second of the log may be lost. For a budget that is an open risk; journals are not kept here.

It needs the commands EVALSHA, SCRIPT LOAD, TIME, GET, SET, XADD, XRANGE, XTRIM, PEXPIRE, on keys of
its prefix alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis.asyncio
import redis.exceptions

from .store import PAGE, Fact, LogStoreError, Reply

__all__ = ["RedisStore"]

_HEARD_S: Final = 5.0
_KEPT_S: Final = 86_400.0
_TIMEOUT_S: Final = 5.0

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
if clock and expected >= 0 and math.abs(now - expected) > 500000 then
  shift = expected - raw
  now = expected
end
if now < latest then now = latest end
local id = redis.call('GET', KEYS[4])
if not id then
  id = new_id
  redis.call('SET', KEYS[4], id)
end
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local accepted = 1
if #ARGV > 7 then
  if only_if < 0 or only_if == last then
    for n = 8, #ARGV do
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
        self._clock = clock
        self._new_id = new_id
        self._kept_ms = math.ceil(kept_s * 1000)
        # The store's time and ours when it last answered.
        self._heard: tuple[float, float] | None = None

    async def exchange(
        self,
        after: int,
        facts: Sequence[bytes] = (),
        *,
        only_if: int | None = None,
        trim_before: int = 0,
    ) -> Reply:
        """See `LogStore.exchange`."""
        arguments: list[bytes | str | int] = [
            after,
            -1 if only_if is None else only_if,
            trim_before,
            PAGE,
            self._expected_us(),
            self._kept_ms,
            self._new_id(),
            *facts,
        ]
        try:
            answer: Any = await self._script(keys=self._keys, args=arguments)
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            # Never the message itself where it may quote the URL, which may hold a password.
            raise LogStoreError(f"Redis is away or refuses: {type(error).__name__}") from None
        accepted, now_us, log_id, first, last, flat = answer
        now_s = int(now_us) / 1e6
        self._heard = (now_s, self._clock())
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

    def _expected_us(self) -> int:
        """Return what time the store's clock should show; -1 if that was heard too long ago."""
        if self._heard is None:
            return -1
        store_s, own_s = self._heard
        elapsed_s = self._clock() - own_s
        return round((store_s + elapsed_s) * 1e6) if 0 <= elapsed_s <= _HEARD_S else -1

    async def aclose(self) -> None:
        """Close the connections; harmless when repeated."""
        await self._client.aclose()
