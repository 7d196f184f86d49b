"""What the processes that share a budget write into its log. Pure.

A fact says what its writer did; what follows from it is computed by every reader alike
(`replica.py`). The log dates the facts. Times inside of facts are on the log's clock.

A `writer` is one client's stay in the log: a process that was taken for dead comes back as a new
one. Leases have the numbers 1, 2, 3, ... of their writer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from ...config import Config
from ...errors import ConfigError, RateLimitKind

__all__ = [
    "Absence",
    "Ask",
    "Backlog",
    "Bye",
    "Checkpoint",
    "Done",
    "Fact",
    "Grant",
    "Hello",
    "Lost",
    "Refused",
    "Reserve",
    "SharedSettings",
    "Unused",
    "decode",
    "encode",
    "known_headers",
]

FORMAT: Final = 1

_HEADERS: Final = (
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "date",
)


class SharedSettings(msgspec.Struct, frozen=True):
    """The settings that must be the same wherever the token is used.

    Attributes:
        grace_s: for how long after its last fact a process may spend a share on its own, seconds;
            0 where the store cannot be away for one process alone.
    """

    windows: tuple[tuple[int, float], ...]
    window_margin_s: float
    late_arrival_s: float
    reserve: tuple[float, ...]
    cold_start_concurrency: int
    burst: int
    grace_s: float

    @classmethod
    def of(cls, config: Config, grace_s: float) -> SharedSettings:
        """Take them from a client's configuration."""
        return cls(
            tuple((limit, float(length_s)) for limit, length_s in config.windows),
            float(config.window_margin_s),
            float(config.late_arrival_s),
            tuple(map(float, config.reserve)),
            config.cold_start_concurrency,
            config.burst,
            float(grace_s),
        )

    def config(self) -> Config:
        """Return a configuration with these settings, for a ledger."""
        return Config(
            windows=self.windows,
            window_margin_s=self.window_margin_s,
            late_arrival_s=self.late_arrival_s,
            reserve=self.reserve,
            cold_start_concurrency=self.cold_start_concurrency,
            burst=self.burst,
        )

    def differences(self, other: SharedSettings) -> str:
        """Say in which settings `other` differs: `burst 60 (here) and 90`."""
        names = [name for name in self.__struct_fields__ if name != "grace_s"]
        return ", ".join(
            f"{name} {getattr(self, name)} here and {getattr(other, name)} there"
            for name in names
            if getattr(self, name) != getattr(other, name)
        )


class Backlog(msgspec.Struct, frozen=True, array_like=True):
    """What waits for the budget at a writer.

    Attributes:
        oldest_at_s: when the oldest interactive request was made.
        weight: of the bulk jobs together.
    """

    interactive: int = 0
    oldest_at_s: float = 0.0
    bulk: int = 0
    weight: float = 1.0


class _Fact(msgspec.Struct, frozen=True, array_like=True):
    writer: str


class Hello(_Fact, frozen=True, array_like=True, tag="hello"):
    """The writer uses the token from now on. `name` is for people: a host and a process id."""

    format: int
    name: str
    settings: SharedSettings


class Ask(_Fact, frozen=True, array_like=True, tag="ask"):
    """The writer lives, and this waits there."""

    waiting: Backlog


class Grant(_Fact, frozen=True, array_like=True, tag="grant"):
    """The writer takes a slot; `passed` are writers whose turn it was and who did not take it."""

    number: int
    background: bool
    waiting: Backlog
    passed: tuple[str, ...] = ()


class Done(_Fact, frozen=True, array_like=True, tag="done"):
    """A response arrived: its status, and those of its headers that speak of the budget."""

    number: int
    status: int
    headers: dict[str, str]


class Lost(_Fact, frozen=True, array_like=True, tag="lost"):
    """The request was written, perhaps, and no response came."""

    number: int


class Unused(_Fact, frozen=True, array_like=True, tag="unused"):
    """Nothing was written: the slot is free again."""

    number: int


class Refused(_Fact, frozen=True, array_like=True, tag="refused"):
    """A 429 whose kind only its body tells."""

    kind: RateLimitKind
    retry_after_s: float | None


class Reserve(_Fact, frozen=True, array_like=True, tag="reserve"):
    """An interactive caller was told to come back at `at_s`."""

    at_s: float


class Bye(_Fact, frozen=True, array_like=True, tag="bye"):
    """The writer stops using the token; what it had in flight may still arrive."""


class Absence(_Fact, frozen=True, array_like=True, tag="absence"):
    """A writer that had no way to the log sent requests meanwhile.

    `writer` is its former name, under which a share was kept for it. Of the `sent` ones
    `in_flight` are not answered yet.
    """

    sent: int
    in_flight: int


class Checkpoint(_Fact, frozen=True, array_like=True, tag="checkpoint"):
    """The state of the budget after all facts before this one; readers may begin here.

    Where `is_carried` the log was emptied or set back, and the state comes from one who still runs.
    """

    format: int
    is_carried: bool
    state: msgspec.Raw


Fact: TypeAlias = (
    Hello | Ask | Grant | Done | Lost | Unused | Refused | Reserve | Bye | Absence | Checkpoint
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Fact)


def encode(fact: Fact) -> bytes:
    """Return the fact as the log keeps it."""
    return _encoder.encode(fact)


def decode(data: bytes) -> Fact:
    """Read a fact.

    Raises:
        ConfigError: another version of the package wrote it.
    """
    try:
        fact: Fact = _decoder.decode(data)
    except msgspec.DecodeError:
        fact = Bye("")
        is_known = False
    else:
        is_known = not isinstance(fact, Hello | Checkpoint) or fact.format == FORMAT
    if not is_known:
        raise ConfigError(
            "another version of do-blockstore-async shares this token's budget in a format that "
            "this one does not read: use one version for all processes of a token"
        )
    return fact


def known_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those of a response's headers that a ledger reads."""
    return {name: str(headers[name]) for name in _HEADERS if name in headers}
