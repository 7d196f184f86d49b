"""What goes wrong between a client and the API: seeded, scriptable, logged.

Theory: a fault is decided before its request is handled and has two sides. In the world the request
takes effect, or not, or twice. On the wire the answer arrives, is bent (`shape`), or something else
happens to it (`Delivery.wire`). Both are decided here, purely; the server and the in-process
transport only act out the wire's part, so a run over sockets and one in virtual time meet the same
faults.

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
from typing import TYPE_CHECKING, Literal, NamedTuple

import attrs

from ..._clock import seeded
from .._messages import SimRequest, SimResponse
from .mutations import HEADER_FAULTS, HTML_STATUS, shape

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
    "shape",
]

Wire = Literal["answer", "drop", "reset", "stall", "drip", "truncate"]
"""What happens to the answer: sent; connection closed without it; connection reset; nothing at all
until the client goes; sent byte by byte; cut short."""

# kind: (what happens on the wire, the share of these requests that take effect)
_KINDS: dict[str, tuple[Wire, float]] = {
    "answer_lost": ("drop", 1.0),
    "reset_before": ("reset", 0.0),
    "keepalive_drop": ("drop", 0.0),
    "drip": ("drip", 1.0),
    "stall": ("stall", 0.5),
    "truncated": ("truncate", 1.0),
    "huge_body": ("answer", 1.0),
    "gzip_bomb": ("answer", 1.0),
    # A gateway knows no more than the client whether the request took effect.
    **dict.fromkeys(HTML_STATUS, ("answer", 0.5)),
    "error_500_after_commit": ("answer", 1.0),
    "error_500_before": ("answer", 0.0),
    "malformed_json": ("answer", 1.0),
    "empty_body": ("answer", 1.0),
    "wrong_content_type": ("answer", 1.0),
    "hostile_next": ("answer", 1.0),
    "redirect": ("answer", 0.0),
    "duplicate": ("answer", 1.0),
    "clock_step": ("answer", 1.0),
    "snapshot_errors": ("answer", 0.0),
    "action_errors": ("answer", 1.0),
    "retry_after_date": ("answer", 0.0),
    **dict.fromkeys(HEADER_FAULTS, ("answer", 1.0)),
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
        wire: what happens to the answer.
        seconds: for `clock_step`, how far; for `drip`, the pause between bytes.
        second: for `duplicate`, whether the second answer is returned.
    """

    kind: str
    number: int
    commit: bool
    wire: Wire
    seconds: float
    second: bool


class InjectedFault(NamedTuple):
    """A line of the log of faults."""

    number: int
    kind: str
    method: str
    target: str
    commit: bool


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
        second: see `Fault`.

    Raises:
        ValueError: there is no such kind, or a number is out of range.
    """

    kind: str
    method: str | None = None
    path: str | None = None
    rate: float = 1.0
    times: int | None = None
    skip: int = 0
    commit: float | None = None
    seconds: float | None = None
    second: bool = False
    _patterns: tuple[re.Pattern[str], ...] = attrs.field(init=False, repr=False, default=())

    def __attrs_post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"no such fault: {self.kind!r}; known are {', '.join(KINDS)}")
        for name, share in (("rate", self.rate), ("commit", self.commit)):
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{self.kind}: {name} must lie between 0 and 1, not {share!r}")
        if self.skip < 0 or (self.times is not None and self.times < 0):
            raise ValueError(f"{self.kind}: counts must be 0 or more")
        if self.seconds is not None:
            if not math.isfinite(self.seconds):
                raise ValueError(f"{self.kind}: seconds must be finite, not {self.seconds!r}")
            if self.seconds < 0 and self.kind != "clock_step":
                raise ValueError(f"{self.kind}: seconds must be 0 or more, not {self.seconds!r}")
        if self.path is not None and not self.path.startswith(("/", "*")):
            raise ValueError(f"{self.kind}: a path begins with a slash, not {self.path!r}")
        paths = [self.path] if self.path is not None else []
        if self.kind in _ONLY:
            paths.append(_ONLY[self.kind][1])
        self._patterns = tuple(_glob(path) for path in paths)

    def matches(self, method: str, path: str, *, reused: bool) -> bool:
        """Whether the rule is about such a request."""
        if self.kind == "keepalive_drop" and not reused:
            return False
        if self.method is not None and method != self.method:
            return False
        if self.kind in _ONLY and method != _ONLY[self.kind][0]:
            return False
        return all(pattern.fullmatch(path) for pattern in self._patterns)


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
        """Back to the rules of the beginning, with an empty log and the same draws again."""
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
        second: bool = False,
    ) -> FaultRule:
        """Add a rule, until `reset()`. Arguments and errors as of `FaultRule`."""
        rule = FaultRule(kind, method, path, rate, times, skip, commit, seconds, second)
        self._append(rule)
        return rule

    def clear(self) -> None:
        """Take every rule out; the log stays."""
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
            if rule.times == 0 or not rule.matches(request.method, path, reused=reused):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.rate < 1 and random.random() >= rule.rate:
                continue
            if rule.times is not None:
                rule.times -= 1
            wire, share = _KINDS[rule.kind]
            commit = random.random() < (share if rule.commit is None else rule.commit)
            number = len(self.log) + 1
            self.log.append(
                InjectedFault(number, rule.kind, request.method, request.target, commit)
            )
            seconds = rule.seconds
            if seconds is None:
                seconds = 3600.0 if rule.kind == "clock_step" else 0.05
            return Fault(rule.kind, number, commit, wire, seconds, rule.second)
        return None


class Delivery(NamedTuple):
    """What becomes of a request: the answer, and what happens to it on the wire."""

    response: SimResponse
    wire: Wire = "answer"
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
            response = again if fault.second else response
    return Delivery(shape(fault.kind, response, now, fault.number), fault.wire, fault)
