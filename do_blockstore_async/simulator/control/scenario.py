"""Parse a scenario: a TOML file that says how a simulator begins.

    clock = {at = 2026-01-01T00:00:00Z, frozen = true}
    tags = ["keep"]

    [options]                     # keywords of WorldOptions
    limits = "none"
    messages = {rate = "Too many requests"}

    [[droplets]]
    id = 7
    region = "nyc3"

    [[volumes]]
    name = "orders-db"
    size_gigabytes = 100
    droplet = 7
    snapshots = [{name = "first", age_s = 86400}]

    [[faults]]                    # arguments of FaultInjector.add
    kind = "html_502"
    path = "/v2/volumes"
    times = 2

Pure: no clock, no I/O.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Annotated, Any

import attrs
import msgspec
from msgspec import Meta, Struct, field

from ..._lazy import public_in
from ..faults.rules import FaultInjector, FaultRule
from ..ratelimit import MinuteModel
from ..state.contents import Contents, GivenDroplet, GivenVolume
from ..world import World

__all__ = ["FaultSpec", "Scenario", "parse_scenario"]

_Count = Annotated[int, Meta(ge=0, le=1_000_000)]
_Seconds = Annotated[float, Meta(ge=0, le=4_730_400_000)]
# All but what a scenario says in its own words, or only the server knows.
_OPTION_TYPES: dict[str, Any] = {
    "seed": int,
    "volumes": _Count,
    "snapshots": _Count,
    "snapshot_name": str,
    "snapshot_tags": tuple[str, ...],
    "droplets": _Count | list[int | str] | dict[str, str],
    "token": str,
    "limits": str | list[tuple[int, float]],
    "minute_model": MinuteModel,
    "other_clients_per_s": Annotated[float, Meta(ge=0, le=1_000_000)],
    "action_s": tuple[_Seconds, _Seconds],
    "action_lag_s": _Seconds,
    "action_failure_rate": Annotated[float, Meta(ge=0, le=1)],
    "max_snapshots": _Count,
    "snapshot_cooldown_s": _Seconds,
    "cooldown_retry_after": bool,
    "capacity_gigabytes": Annotated[int, Meta(ge=0, le=2**62)],
    "max_volumes": _Count,
    "max_volumes_of_droplet": _Count,
    "capacity_status": int,
    "messages": dict[str, str],
    "nulls": bool,
}


class FaultSpec(Struct, forbid_unknown_fields=True, frozen=True):
    """A fault rule: the arguments of `FaultInjector.add`."""

    kind: str
    method: str | None = None
    path: str | None = None
    rate: float = 1.0
    times: int | None = None
    skip: int = 0
    commit: float | None = None
    seconds: float | None = None
    return_second: bool = False

    def rule(self) -> FaultRule:
        """Make the rule; ValueError where a number is out of range or the kind unknown."""
        return FaultRule(**msgspec.structs.asdict(self))


class ClockStart(Struct, forbid_unknown_fields=True, frozen=True):
    """When the world begins, and whether its time stands still until it is moved."""

    at: datetime | None = None
    frozen: bool = False


class _ScenarioFile(Struct, forbid_unknown_fields=True, frozen=True):
    options: dict[str, Any] = field(default_factory=dict)
    clock: ClockStart = ClockStart()
    tags: tuple[str, ...] = ()
    droplets: tuple[GivenDroplet, ...] = ()
    volumes: tuple[GivenVolume, ...] = ()
    faults: tuple[FaultSpec, ...] = ()


@attrs.frozen
class Scenario:
    """How a simulator begins: made by `parse_scenario` and `read_scenario`.

    Attributes:
        options: keywords of `WorldOptions`, the contents among them.
        at_s: when it begins, in seconds since the epoch; None for now.
        frozen: whether its time stands still until it is moved.
        faults: the rules of faults.
    """

    options: dict[str, Any]
    at_s: float | None
    frozen: bool
    faults: tuple[FaultRule, ...]

    def fault_injector(self) -> FaultInjector:
        """Make the faults it begins with."""
        return FaultInjector(self.faults, seed=self.options.get("seed", 0))


public_in("do_blockstore_async.simulator", Scenario)


def _at_s(at: datetime | None) -> float | None:
    if at is None:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _option(name: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, _OPTION_TYPES[name])
    except msgspec.ValidationError as error:
        raise ValueError(f"option {name}: {error}") from None


def parse_scenario(text: str) -> Scenario:
    """Parse a scenario, and try it: what it names has to exist and to fit together.

    Raises:
        ValueError: it is not TOML, names what there is not, or cannot be built; the message says
            where.
    """
    try:
        file = msgspec.convert(tomllib.loads(text), _ScenarioFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"scenario: {error}") from None
    unknown = sorted(file.options.keys() - _OPTION_TYPES.keys())
    if unknown:
        raise ValueError(f"scenario: no such options: {', '.join(unknown)}")
    contents = Contents(droplets=file.droplets, volumes=file.volumes, tags=file.tags)
    # Where Droplets are named, no others are made.
    droplets = {"droplets": ()} if file.droplets else {}
    try:
        options = {name: _option(name, value) for name, value in file.options.items()}
        scenario = Scenario(
            options={**droplets, **options, "contents": contents},
            at_s=_at_s(file.clock.at),
            frozen=file.clock.frozen,
            faults=tuple(spec.rule() for spec in file.faults),
        )
        # Everything is rendered as it is put in.
        begins = {} if scenario.at_s is None else {"now": scenario.at_s}
        World(**{**scenario.options, **begins})
    except (TypeError, ValueError, AttributeError, LookupError, OSError, OverflowError) as error:
        raise ValueError(f"scenario: {error}") from None
    return scenario
