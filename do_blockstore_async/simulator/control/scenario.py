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
from typing import Any

import attrs
import msgspec
from msgspec import Struct, field

from ..faults.rules import FaultInjector, FaultRule
from ..state.contents import Contents, GivenDroplet, GivenVolume
from ..state.options import WorldOptions
from ..world import World

__all__ = ["FaultSpec", "Scenario", "parse_scenario"]

# What a scenario says in its own words, or what only the server knows.
_NOT_OPTIONS = {"contents", "now", "link_base"}


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


Scenario.__module__ = "do_blockstore_async.simulator"


def _at_s(at: datetime | None) -> float | None:
    if at is None:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def parse_scenario(text: str) -> Scenario:
    """Parse a scenario, and try it: what it names has to exist and to fit together.

    Raises:
        ValueError: it is not TOML, names what there is not, or cannot be built; the message says
            where.
    """
    try:
        file = msgspec.convert(tomllib.loads(text), _ScenarioFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"scenario: {error}") from None
    known = {attribute.name for attribute in attrs.fields(WorldOptions)} - _NOT_OPTIONS
    unknown = sorted(file.options.keys() - known)
    if unknown:
        raise ValueError(f"scenario: no such options: {', '.join(unknown)}")
    contents = Contents(droplets=file.droplets, volumes=file.volumes, tags=file.tags)
    # Where Droplets are named, no others are made.
    droplets = {"droplets": ()} if file.droplets else {}
    try:
        scenario = Scenario(
            options={**droplets, **file.options, "contents": contents},
            at_s=_at_s(file.clock.at),
            frozen=file.clock.frozen,
            faults=tuple(spec.rule() for spec in file.faults),
        )
        World(**scenario.options)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"scenario: {error}") from None
    return scenario
