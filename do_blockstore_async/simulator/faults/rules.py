"""What goes wrong between a client and the API: seeded, scriptable, logged.

Theory: a fault is decided before its request is handled and has two sides. In the world the request
takes effect, or not, or twice. On the wire the response arrives, is changed (`mutate_response`), or
something else happens to it (`Delivery.wire`). Both are decided here; the server and the in-process
transport only carry out the wire's part, so a run over sockets and one in virtual time meet the
same faults.

Invariants:
1. The same seed and the same requests in the same order give the same faults.
2. A rule fires at most `times` times; at most one rule fires for a request.
3. The log names every fault that was injected, and whether its request was given to the world.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs
from attrs.validators import optional

from ..._clock import seeded
from .._messages import SimRequest, SimResponse
from .mutations import HEADER_FAULTS, HTML_STATUS, mutate_response

if TYPE_CHECKING:
    from ..world import World

__all__ = [
    "KINDS",
    "Delivery",
    "Fault",
    "FaultInjector",
    "FaultRule",
    "InjectedFault",
    "Wire",
    "deliver",
    "mutate_response",
]

Wire = Literal["respond", "drop", "reset", "stall", "drip", "truncate"]
"""What happens to the response: sent; connection closed without it; connection reset; nothing until
the client disconnects; sent byte by byte; cut short."""

# kind: (what happens on the wire, the share of these requests that take effect)
_KINDS: dict[str, tuple[Wire, float]] = {
    "response_lost": ("drop", 1.0),
    "reset_before": ("reset", 0.0),
    "keepalive_drop": ("drop", 0.0),
    "drip": ("drip", 1.0),
    "stall": ("stall", 0.5),
    "truncated": ("truncate", 1.0),
    "huge_body": ("respond", 1.0),
    "gzip_bomb": ("respond", 1.0),
    # A gateway knows no more than the client whether the request took effect.
    **dict.fromkeys(HTML_STATUS, ("respond", 0.5)),
    "error_500_after_commit": ("respond", 1.0),
    "error_500_before": ("respond", 0.0),
    "malformed_json": ("respond", 1.0),
    "empty_body": ("respond", 1.0),
    "wrong_content_type": ("respond", 1.0),
    "another_answer": ("respond", 1.0),
    "hostile_next": ("respond", 1.0),
    "redirect": ("respond", 0.0),
    "duplicate": ("respond", 1.0),
    "clock_step": ("respond", 1.0),
    "snapshot_errors": ("respond", 0.0),
    "action_errors": ("respond", 1.0),
    "retry_after_date": ("respond", 0.0),
    **dict.fromkeys(HEADER_FAULTS, ("respond", 1.0)),
}

KINDS: tuple[str, ...] = tuple(_KINDS)
"""Every kind of fault."""

# These only make sense for some requests.
_ONLY: dict[str, tuple[str, str]] = {
    "snapshot_errors": ("POST", "/v2/volumes/*/snapshots"),
    "action_errors": ("POST", "/v2/volumes/**actions"),
    "hostile_next": ("GET", "**"),
}


class Fault(NamedTuple):
    """One fault that was decided for one request.

    Attributes:
        kind: one of `KINDS`.
        number: counts the faults of a run from 1; shapes that vary, vary with it.
        commit: whether the request is given to the world.
        wire: what happens to the response.
        seconds: for `clock_step`, how far; for `drip`, the pause between bytes.
        return_second: for `duplicate`, whether the second response is returned.
    """

    kind: str
    number: int
    commit: bool
    wire: Wire
    seconds: float
    return_second: bool


class InjectedFault(NamedTuple):
    """A line of the log of faults."""

    number: int
    kind: str
    method: str
    target: str
    commit: bool


def _known(_: Any, __: Any, kind: str) -> None:
    if kind not in _KINDS:
        raise ValueError(f"no such fault: {kind!r}; known are {', '.join(KINDS)}")


def _share(rule: FaultRule, attribute: attrs.Attribute[Any], share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{rule.kind}: {attribute.name} must be from 0 to 1, not {share!r}")


def _count(rule: FaultRule, attribute: attrs.Attribute[Any], count: int) -> None:
    if count < 0:
        raise ValueError(f"{rule.kind}: {attribute.name} must be 0 or more, not {count!r}")


def _duration(rule: FaultRule, _: Any, seconds: float) -> None:
    if not math.isfinite(seconds):
        raise ValueError(f"{rule.kind}: seconds must be finite, not {seconds!r}")
    if seconds < 0 and rule.kind != "clock_step":
        raise ValueError(f"{rule.kind}: seconds must be 0 or more, not {seconds!r}")


def _slashed(rule: FaultRule, _: Any, path: str) -> None:
    if not path.startswith(("/", "*")):
        raise ValueError(f"{rule.kind}: a path begins with a slash, not {path!r}")


@attrs.define(eq=False)
class FaultRule:
    """When a fault happens.

    Args:
        kind: one of `KINDS`.
        method: such as `POST`; None for any.
        path: the path without query; `*` stands for one part of it, `**` for anything; None for
            any.
        rate: the share of the requests it matches, drawn from the seed.
        times: how often at most; None for ever.
        skip: lets so many of the matching requests pass first.
        commit: the share of its requests that take effect; None for the kind's own.
        seconds: see `Fault`.
        return_second: see `Fault`.

    Raises:
        ValueError: there is no such kind, or a number is out of range.
    """

    kind: str = attrs.field(validator=_known)
    method: str | None = None
    path: str | None = attrs.field(default=None, validator=optional(_slashed))
    rate: float = attrs.field(default=1.0, validator=_share)
    times: int | None = attrs.field(default=None, validator=optional(_count))
    skip: int = attrs.field(default=0, validator=_count)
    commit: float | None = attrs.field(default=None, validator=optional(_share))
    seconds: float | None = attrs.field(default=None, validator=optional(_duration))
    return_second: bool = False
    _patterns: tuple[re.Pattern[str], ...] = attrs.field(init=False, repr=False)

    @_patterns.default
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        only = _ONLY[self.kind][1] if self.kind in _ONLY else None
        return tuple(_glob(path) for path in (self.path, only) if path is not None)

    def matches(self, method: str, path: str, *, reused: bool) -> bool:
        """Whether the rule is about such a request."""
        if self.kind == "keepalive_drop" and not reused:
            return False
        if self.method is not None and method != self.method:
            return False
        if self.kind in _ONLY and method != _ONLY[self.kind][0]:
            return False
        return all(pattern.fullmatch(path) for pattern in self._patterns)

    def fires(self, random: Random) -> bool:
        """Whether it happens to a request that matches; counts `skip` and `times` down."""
        if self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.rate < 1 and random.random() >= self.rate:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def _glob(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", path)
    known = {"*": "[^/]*", "**": ".*"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts))


class FaultInjector:
    """The faults of one simulator.

    Args:
        rules: the first that matches and fires, counts.
        seed: for rates and for what varies.

    Attributes:
        log: every fault that was injected.
    """

    def __init__(self, rules: Iterable[FaultRule] = (), *, seed: int = 0) -> None:
        self.seed = seed
        self._first_rules = [attrs.evolve(rule) for rule in rules]
        self.reset()

    def reset(self) -> None:
        """Return to the initial rules, with an empty log and the same random draws."""
        self.log: list[InjectedFault] = []
        self._rules: list[tuple[FaultRule, Random]] = []
        for rule in self._first_rules:
            self._append(attrs.evolve(rule))

    def add(
        self,
        kind: str,
        *,
        method: str | None = None,
        path: str | None = None,
        rate: float = 1.0,
        times: int | None = None,
        skip: int = 0,
        commit: float | None = None,
        seconds: float | None = None,
        return_second: bool = False,
    ) -> FaultRule:
        """Add a rule, until `reset()`. Arguments and errors: see `FaultRule`."""
        rule = FaultRule(kind, method, path, rate, times, skip, commit, seconds, return_second)
        self._append(rule)
        return rule

    @property
    def rules(self) -> list[FaultRule]:
        """The rules as they stand, the first that is asked first."""
        return [rule for rule, _ in self._rules]

    def clear(self) -> None:
        """Remove every rule; the log is kept."""
        self._rules.clear()

    def _append(self, rule: FaultRule) -> None:
        self._rules.append((rule, seeded(f"{self.seed} {len(self._rules)} {rule.kind}")))

    def next(self, request: SimRequest, *, reused: bool = False) -> Fault | None:
        """The fault for a request that has just arrived, or None. Call it once for each.

        Args:
            request: what arrived.
            reused: whether its connection had carried a request before.
        """
        if not self._rules:
            return None
        path = request.path
        for rule, random in self._rules:
            if rule.matches(request.method, path, reused=reused) and rule.fires(random):
                return self._fault(rule, random, request)
        return None

    def _fault(self, rule: FaultRule, random: Random, request: SimRequest) -> Fault:
        wire, share = _KINDS[rule.kind]
        commit = random.random() < (share if rule.commit is None else rule.commit)
        number = len(self.log) + 1
        self.log.append(InjectedFault(number, rule.kind, request.method, request.target, commit))
        seconds = rule.seconds
        if seconds is None:
            seconds = 3600.0 if rule.kind == "clock_step" else 0.05
        return Fault(rule.kind, number, commit, wire, seconds, rule.return_second)


class Delivery(NamedTuple):
    """What becomes of a request: the response, and what happens to it on the wire."""

    response: SimResponse
    wire: Wire = "respond"
    fault: Fault | None = None


def deliver(
    world: World, faults: FaultInjector, request: SimRequest, now: float, *, reused: bool = False
) -> Delivery:
    """Let a request arrive at the world, with whatever goes wrong on its way."""
    fault = faults.next(request, reused=reused)
    if fault is None:
        return Delivery(world.handle(request, now))
    response = SimResponse(500)
    if fault.kind == "clock_step":
        world.skew_s += fault.seconds
    if fault.commit:
        # A refused action must leave the failure for nobody else.
        failing = world.fail_actions
        world.fail_actions += fault.kind == "action_errors"
        response = world.handle(request, now)
        if fault.kind == "action_errors":
            world.fail_actions = failing
        if fault.kind == "duplicate":
            again = world.handle(request, now)
            response = again if fault.return_second else response
    return Delivery(mutate_response(fault.kind, response, now, fault.number), fault.wire, fault)
