"""What a journal says: who works on the plan, which steps they hold, how the others ended. Pure.

A journal is a log of facts (`_log/store.py`): the plan, then what its workers did. Each worker
replays all of them into this state, and writes only facts that hold in the state that the log has
at that moment. So facts are applied as they come, and all workers know the same.

JS1. The state is a function of the facts alone.
JS2. A step is held by the worker that began it, until it has an outcome; or until that worker has
     left or is lost, then it is in doubt: what became of its request has to be looked up.
JS3. A worker is lost once it has been silent for `silent_s`, by the log's clock, whoever notices.
JS4. A request of a step reaches the server at most `arrives_within_s` after the step was last
     begun: its first byte is written within `_SEND_WITHIN` of that, or not at all, and it takes
     `Config.late_arrival_s` at most on its way.
JS5. Whoever looked at the account when the log was at position p may begin or end those steps that
     nothing was written about since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

import attrs
import msgspec

from ..._log.store import Fact as LogFact
from ...resources._ids import IdMap
from ..model.outcome import Ended

__all__ = [
    "FORMAT",
    "Alive",
    "Begun",
    "Finished",
    "Joined",
    "JournalFact",
    "JournalState",
    "Left",
    "PlanPart",
    "Planned",
    "Timing",
    "WorkerGone",
    "WorkerState",
    "decode_fact",
    "encode_fact",
    "planned",
]

FORMAT: Final = 3

# The shortest and the longest time to wait for whoever is silent, and for the first byte, seconds.
_SILENT: Final = (1.0, 30.0)
_SEND_WITHIN: Final = (1.0, 10.0)
_PACE_S: Final = 60.0


class Timing(msgspec.Struct, frozen=True, array_like=True):
    """How long others wait for a worker.

    Attributes:
        silent_s: a worker that wrote nothing for so long is lost, seconds.
        send_within_s: its requests are written so soon after their steps were begun, seconds.
        late_arrival_s: as in `Config`.
    """

    silent_s: float
    send_within_s: float
    late_arrival_s: float

    @classmethod
    def of(cls, late_arrival_s: float) -> Timing:
        """The times for a worker with this setting."""
        return cls(
            _within(_SILENT, late_arrival_s),
            _within(_SEND_WITHIN, late_arrival_s / 3),
            late_arrival_s,
        )

    @property
    def arrives_within_s(self) -> float:
        """A request arrives so soon after its step was begun, or never (JS4)."""
        return self.send_within_s + self.late_arrival_s


class _Fact(msgspec.Struct, frozen=True, array_like=True):
    worker: str


class Planned(_Fact, frozen=True, array_like=True, tag="plan"):
    """The first fact: the plan, as JSON, by which all that follows is to be understood.

    Attributes:
        plan: null where it is long: then facts of their own follow at once, with its text in parts.
    """

    format: int
    digest: str
    plan: msgspec.Raw


class PlanPart(_Fact, frozen=True, array_like=True, tag="plan_part"):
    """The next part of a long plan's JSON."""

    text: str


class Joined(_Fact, frozen=True, array_like=True, tag="joined"):
    """The worker works on the plan from now on. `name` is for people: a host and a process id."""

    name: str
    timing: Timing


class Alive(_Fact, frozen=True, array_like=True, tag="alive"):
    """The worker is still there."""


class Begun(_Fact, frozen=True, array_like=True, tag="begun"):
    """The worker holds these steps, and sends their request at once."""

    keys: tuple[str, ...]


class Finished(_Fact, frozen=True, array_like=True, tag="finished"):
    """How steps that shared a request ended."""

    outcomes: dict[str, Ended]


class Left(_Fact, frozen=True, array_like=True, tag="left"):
    """The worker ended.

    Attributes:
        refused: steps that it had begun and given up: none of their requests had an effect. Written
            since 0.2; without it they are in doubt.
    """

    refused: tuple[str, ...] = ()


class WorkerGone(_Fact, frozen=True, array_like=True, tag="lost"):
    """The worker was silent for too long; another one has noticed it."""


JournalFact: TypeAlias = Planned | PlanPart | Joined | Alive | Begun | Finished | Left | WorkerGone

_decoder: Final = msgspec.json.Decoder(JournalFact)
_NULL: Final = msgspec.Raw(b"null")
# While an entry of the log is copied or parsed, no other thread runs.
_PART_BYTES: Final = 1 << 18


@attrs.define
class WorkerState:
    """One worker. `heard_s` is when it last wrote, on the log's clock."""

    name: str
    timing: Timing
    joined_s: float
    heard_s: float
    is_present: bool = True


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A step was begun: where in the log, when, and by whom."""

    position: int
    at_s: float
    worker: str


class JournalState:
    """The replayed log.

    Attributes:
        plan: the plan as JSON; None of a log that is empty.
        format: of the journal.
        digest: of the plan.
        position: of the last fact.
        now_s: the log's clock, when it was last heard.
        workers: all that there ever were, by id.
        claims: the last beginning of each step, by key.
        in_flight: keys of the steps that were begun and have no outcome.
        finished: the outcomes, by key.
        failures: requests that failed or ended unknown, since somebody last began alone.
    """

    def __init__(self) -> None:
        self.plan: bytearray | None = None
        self.format = 0
        self.digest = ""
        self.position = 0
        self.now_s = 0.0
        self.workers: dict[str, WorkerState] = {}
        self.claims: IdMap[Claim] = IdMap()
        self.in_flight: dict[str, None] = {}
        self.finished: IdMap[Ended] = IdMap()
        self.failures = 0
        # The position of the last fact about each step.
        self._touched: IdMap[int] = IdMap()
        # When how many steps ended, for the last minute that somebody worked.
        self._ended: deque[tuple[float, int]] = deque()

    def apply(self, entry: LogFact, fact: JournalFact | None = None) -> JournalFact:
        """Apply the next fact of the log, and return it.

        Args:
            entry: of the log.
            fact: what it says, if it is decoded already.

        Raises:
            ValueError: it is no fact of a journal.
        """
        fact = decode_fact(entry.data) if fact is None else fact
        self.position = entry.position
        self.now_s = max(self.now_s, entry.at_s)
        worker = self.workers.get(fact.worker)
        if worker is not None and not isinstance(fact, WorkerGone):
            worker.heard_s = entry.at_s
        match fact:
            case Planned(_, format, digest, plan):
                self.format, self.digest = format, digest
                self.plan = bytearray(b"" if plan == _NULL else plan)
            case PlanPart(_, text):
                if self.plan is None:
                    raise ValueError("the first fact is not a plan")
                self.plan += text.encode()
            case Joined(who, name, timing):
                if not any(each.is_present for each in self.workers.values()):
                    self.failures = 0
                    self._ended.clear()
                self.workers[who] = WorkerState(name, timing, entry.at_s, entry.at_s)
            case Begun(who, keys):
                for key in keys:
                    self.claims[key] = Claim(entry.position, entry.at_s, who)
                    self.in_flight[key] = None
                    self.finished.pop(key, None)
                    self._touched[key] = entry.position
            case Finished(_, outcomes):
                for key in outcomes:
                    self.in_flight.pop(key, None)
                    self._touched[key] = entry.position
                self.finished.update(outcomes)
                self.failures += any(
                    ended.status in {"failed", "unknown"} for ended in outcomes.values()
                )
                self._ended.append((entry.at_s, len(outcomes)))
                while self._ended[0][0] < entry.at_s - _PACE_S:
                    self._ended.popleft()
            case Left(who, refused):
                for key in refused:
                    if self.is_mine(key, (who,)):
                        del self.in_flight[key], self.claims[key]
                self._part_with(who)
            case WorkerGone(who):
                self._part_with(who)
        return fact

    def _part_with(self, who: str) -> None:
        if who in self.workers:
            self.workers[who].is_present = False

    @property
    def present(self) -> dict[str, WorkerState]:
        """The workers that neither left nor are lost, by id, those that joined first ahead."""
        return {who: worker for who, worker in self.workers.items() if worker.is_present}

    def silent(self) -> list[str]:
        """Ids of the workers that are lost, and of which no fact says so yet (JS3)."""
        return [
            who
            for who, worker in self.present.items()
            if self.now_s - worker.heard_s > worker.timing.silent_s
        ]

    def holder(self, key: str) -> str | None:
        """Id of the worker that holds a step; None if none does (JS2)."""
        if key not in self.in_flight:
            return None
        who = self.claims[key].worker
        worker = self.workers.get(who)
        return who if worker is not None and worker.is_present else None

    def is_held(self, key: str, mine: Collection[str]) -> bool:
        """Whether a worker other than `mine` holds a step."""
        holder = self.holder(key)
        return holder is not None and holder not in mine

    def is_mine(self, key: str, mine: Collection[str]) -> bool:
        """Whether a step in flight was begun by one of `mine`, and by nobody since."""
        return key in self.in_flight and self.claims[key].worker in mine

    def is_untouched(self, key: str, since: int) -> bool:
        """Whether nothing was written about a step after position `since` (JS5)."""
        return self._touched.get(key, 0) <= since

    def touched_since(self, since: int) -> list[str]:
        """Return the steps about which something was written after `since`; in any thread."""
        touched = self._touched.copy()
        return [key for key, position in touched.items() if position > since]

    def arrives_until_s(self, key: str) -> float:
        """Until when the last request of a step that was begun may arrive, on the log's clock."""
        claim = self.claims.get(key)
        if claim is None:
            return 0.0
        return claim.at_s + self.workers[claim.worker].timing.arrives_within_s

    def pace(self) -> float | None:
        """Steps that end in a second, over the last minute; None before there is anything."""
        start_s = min((each.joined_s for each in self.present.values()), default=self.now_s)
        seconds = min(_PACE_S, self.now_s - start_s)
        ended = sum(n for at_s, n in self._ended if at_s >= self.now_s - _PACE_S)
        return ended / seconds if ended and seconds > 0 else None


def planned(digest: str, pieces: Iterable[bytes]) -> list[bytes]:
    """Return the first facts as the log keeps them.

    Args:
        digest: of the plan.
        pieces: the plan as JSON, each of them whole letters.
    """
    facts: list[bytes] = []
    part = b""
    for piece in pieces:
        if len(part) > _PART_BYTES:
            facts.append(encode_fact(PlanPart("", part.decode())))
            part = b""
        part += piece
    if not facts:
        return [encode_fact(Planned("", FORMAT, digest, msgspec.Raw(part)))]
    head = encode_fact(Planned("", FORMAT, digest, _NULL))
    return [head, *facts, encode_fact(PlanPart("", part.decode()))]


def decode_fact(data: bytes) -> JournalFact:
    """Return what an entry of the log says.

    Raises:
        ValueError: it is no fact of a journal.
    """
    fact: JournalFact = _decoder.decode(data)
    return fact


def encode_fact(fact: JournalFact) -> bytes:
    """Return a fact as the log keeps it."""
    return msgspec.json.encode(fact)


def _within(bounds: tuple[float, float], value: float) -> float:
    least, most = bounds
    return min(most, max(least, value))
