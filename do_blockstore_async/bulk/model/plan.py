"""A plan: what a job will do, as data. Pure.

P1. A plan is never changed. Its digest covers everything that is saved of it, so that a journal
    belongs to one plan, and a file that was edited is noticed.
P2. The key of each step is unique in its plan. A step stands behind the one it depends on.
P3. It holds no token and nothing made from one. What ties it to an account are some of the ids that
    were listed there. Ids are unique everywhere, so an account that has none of them is another
    one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, TypeVar

import attrs
import msgspec

from ..._http.request import encode_json
from ..._interop.structs import known_to_attrs
from ..._schema.validation import check_tags
from ...resources._ids import IdSet
from ..errors import PlanError
from .rows import CompactRows, LongRows, kept
from .selection import Selection
from .specs import VolumeSpec

__all__ = [
    "FORMAT",
    "STEP_ACTIONS",
    "ListingCounts",
    "Plan",
    "Sighting",
    "SkippedStep",
    "Step",
    "StepAction",
    "account_sample",
    "pages_of",
]

StepAction: TypeAlias = Literal[
    "create_snapshot",
    "delete_snapshot",
    "delete_volume",
    "create_volume",
    "tag_volume",
    "untag_volume",
]
PlanKind: TypeAlias = Literal["snapshots", "prune", "deletions", "creations", "orphan-tags"]

STEP_ACTIONS: Final[tuple[StepAction, ...]] = (
    "create_snapshot",
    "delete_snapshot",
    "delete_volume",
    "create_volume",
    "tag_volume",
    "untag_volume",
)
FORMAT: Final = 2
_PER_PAGE: Final = 200
_SAMPLE_SIZE: Final = 16
# So many steps are written in one call, so many bytes read: some tenths of a millisecond.
_AT_ONCE: Final = 500
_PART_BYTES: Final = 100_000
_WRITTEN: Final = re.compile(rb'\{"format":%d,"digest":"([0-9a-f]{64})","plan":\{' % FORMAT)

R = TypeVar("R")


@known_to_attrs(
    "key",
    "action",
    "name",
    "region",
    "volume_id",
    "volume_name",
    "target_id",
    "size_gigabytes",
    "attached",
    "tags",
    "depends_on",
    "retained_snapshot_id",
    "batch",
    "reason",
    "monthly_cost",
    "spec",
)
class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing to do, and what was seen of its object when it was planned.

    Attributes:
        key: unique in the plan.
        action: what is done.
        name: of the snapshot or volume that is made or deleted, or the tag that is set or removed.
        region: slug of the region.
        volume_id, volume_name: the volume it concerns; empty where there is none, or not known.
        target_id: what is deleted or tagged; empty for creations. Of a volume, its `volume_id`.
        size_gigabytes: of the volume; for `delete_snapshot` the billable size of the snapshot.
        attached: whether the volume was attached.
        tags: given to what is created; of a snapshot to be deleted, its tags; those that a volume
            to be deleted must still carry.
        depends_on: key of the step that must be done before this one starts; or empty.
        retained_snapshot_id: for `delete_snapshot`, a snapshot of the volume that is kept: without
            it the deletion would be wrong; or empty, where only the new one is kept.
        batch: steps of one batch share a request; empty for a request of its own.
        reason: in words, for people.
        monthly_cost: what it changes in the storage cost of a month.
        spec: what to create, for `create_volume`.

    Raises:
        PlanError: the ids do not fit the action.
    """

    # By the alphabet: in the order in which saved plans have them, on which their digest depends.
    action: StepAction
    attached: bool = False
    batch: str = ""
    depends_on: str = ""
    key: str
    monthly_cost: float = 0.0
    name: str
    reason: str = ""
    region: str
    retained_snapshot_id: str = ""
    size_gigabytes: float = 0.0
    spec: VolumeSpec | None = None
    tags: tuple[str, ...] = ()
    target_id: str = ""
    volume_id: str = ""
    volume_name: str = ""

    def __post_init__(self) -> None:
        for field in ("size_gigabytes", "monthly_cost"):
            value = getattr(self, field)
            if value.__class__ is not float:
                # Written as 10.0 whatever it was given as: the digest depends on it.
                msgspec.structs.force_setattr(self, field, float(value))
        # What is checked before a step is what it then changes: they must be the same thing.
        if self.action == "create_volume":
            return
        if self.action in {"create_snapshot", "delete_snapshot"}:
            is_valid = bool(self.volume_id) and bool(self.target_id) == self.is_destructive
        else:
            is_valid = bool(self.volume_id) and self.target_id == self.volume_id
        if not is_valid:
            raise PlanError(
                f"step {self.key!r} does not say which volume or snapshot it changes, or names two"
            )

    @property
    def is_destructive(self) -> bool:
        """Whether it deletes something permanently."""
        return self.action in {"delete_snapshot", "delete_volume"}

    @property
    def concerns_volume(self) -> bool:
        """Whether what it rests on is seen in the listing of the volumes."""
        return self.action != "delete_snapshot"


@known_to_attrs("name", "region", "code", "reason", "volume_id")
class SkippedStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that was selected and is left untouched.

    Attributes:
        code: `exists`, `cooldown`, `snapshot_limit`, `name_too_long`, `attached`, `untagged`,
            `grace_period`, `prune_guard` or `name_conflict`.
        reason: the same in words.
    """

    # By the alphabet, as those of a step.
    code: str
    name: str
    reason: str
    region: str
    volume_id: str = ""


@attrs.frozen
class ListingCounts:
    """How many there were when the plan was made; None where they were not listed.

    Attributes:
        volumes, snapshots: all that were listed.
        volumes_in_scope: the volumes in the regions of the selection.
        owned_snapshots: the snapshots that the job had made.
    """

    volumes: int | None = None
    snapshots: int | None = None
    volumes_in_scope: int | None = None
    owned_snapshots: int | None = None


@attrs.frozen
class Sighting:
    """When and by whom the listings behind a plan were read: of this process, never saved.

    Attributes:
        engine: the client's engine; another client is perhaps another account.
        at_s: loop time.
    """

    engine: Any
    at_s: float


@attrs.frozen(kw_only=True)
class Plan:
    """What a job will do: its steps, what it skips, what it costs.

    Attributes:
        kind: which planner made it.
        job: the job's name.
        made_at: when, in UTC; names and retention count from here.
        selection: the volumes asked for.
        steps: in the order in which they start.
        skips: what was selected and is left untouched, and why.
        listing_counts: the sizes of the listings it was made from.
        duration_s: how long its requests take by the budget of the moment it was made.
        currency: of all amounts.
        options: the options it was made with, in words.
        account_sample_ids: some of the ids listed in the account.
        warnings: what looked wrong in the listings, and what to do, in words.
    """

    kind: PlanKind
    job: str
    made_at: datetime
    selection: Selection
    steps: Sequence[Step]
    skips: Sequence[SkippedStep] = ()
    listing_counts: ListingCounts = ListingCounts()
    duration_s: float = 0.0
    currency: str = "USD"
    options: Mapping[str, str] = attrs.field(factory=dict)
    account_sample_ids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    # Not saved; lets a run skip reading again what was read a moment ago.
    _sighting: Sighting | None = attrs.field(default=None, eq=False, repr=False)

    # What it says.

    @property
    def requests(self) -> int:
        """What a run sends when nothing fails and the listings are fresh.

        One for each step; one for each batch, and one more for each tag that batches set.
        """
        batched = [step for step in self.steps if step.batch]
        batches = {step.batch for step in batched}
        tags = {step.name for step in self.steps if step.action == "tag_volume"}
        return len(self.steps) - len(batched) + len(batches) + len(tags)

    @property
    def requests_to_check(self) -> int:
        """What a run sends beforehand when it must read the listings again.

        ceil(V / 200) where a step concerns a volume, and ceil(S / 200) where one deletes a
        snapshot or depends on a new one, of V volumes and S snapshots then in the account; at least
        one each.
        """
        return sum(
            pages_of(count or 0)
            for count, needed in (
                (self.listing_counts.volumes, self.needs_volumes),
                (self.listing_counts.snapshots, self.needs_snapshots),
            )
            if needed
        )

    @property
    def needs_volumes(self) -> bool:
        """Whether checking it needs the volumes."""
        return any(step.concerns_volume for step in self.steps)

    @property
    def needs_snapshots(self) -> bool:
        """Whether checking it needs the snapshots."""
        return self.needs_snapshots_for(self.steps)

    def needs_snapshots_for(self, steps: Iterable[Step]) -> bool:
        """The same for some of its steps: one deletes a snapshot, or depends on one to be made."""
        made = IdSet(step.key for step in self.steps if step.action == "create_snapshot")
        return any(step.action == "delete_snapshot" or step.depends_on in made for step in steps)

    @property
    def monthly_change(self) -> float:
        """What the storage costs more (or less) each month afterwards.

        A new snapshot counts with the size of the volume's newest one, or else with the whole
        volume: at most so much.
        """
        return sum(step.monthly_cost for step in self.steps)

    @property
    def counts(self) -> Counter[str]:
        """How many steps of each action."""
        return Counter(step.action for step in self.steps)

    @property
    def deletion_count(self) -> int:
        """How many volumes and snapshots it deletes."""
        return sum(step.is_destructive for step in self.steps)

    def was_read_by(self, engine: object, *, since_s: float) -> bool:
        """Whether this engine read the listings behind it, at `since_s` (loop time) or later."""
        seen = self._sighting
        return seen is not None and seen.engine is engine and seen.at_s >= since_s

    def by_region(self) -> dict[str, Counter[str]]:
        """How many steps of each action in each region, and what is skipped."""
        regions: dict[str, Counter[str]] = {}
        for step in self.steps:
            regions.setdefault(step.region, Counter())[step.action] += 1
        for skip in self.skips:
            regions.setdefault(skip.region, Counter())["skip"] += 1
        return dict(sorted(regions.items()))

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return header and rows, one for each step and each skip."""
        rows: list[tuple[str, ...]] = [
            (
                s.action,
                s.region,
                s.volume_name or s.volume_id,
                s.name,
                f"{s.monthly_cost:+.2f}",
                s.reason,
            )
            for s in self.steps
        ]
        rows += [("skip", s.region, s.name, "", "", s.reason) for s in self.skips]
        return ("action", "region", "volume", "name", f"{self.currency} a month", "reason"), rows

    # Saving.

    @property
    def digest(self) -> str:
        """A digest of the whole plan: 64 hexadecimal digits."""
        found = hashlib.sha256()
        for piece in self._pieces():
            found.update(piece)
        return found.hexdigest()

    def _pieces(self) -> Iterator[bytes]:
        """Yield everything that is saved, as JSON, in pieces.

        None of them takes long: while one is made, no other thread runs.
        """
        before = b"{"
        for name in _SAVED:
            yield before + encode_json(name) + b":"
            before = b","
            value = getattr(self, name)
            if not isinstance(value, tuple | LongRows):
                yield encode_json(value)
                continue
            yield b"["
            for start in range(0, len(value), _AT_ONCE):
                comma = b"," if start else b""
                yield comma + encode_json(value[start : start + _AT_ONCE])[1:-1]
            yield b"]"
        yield b"}"

    def to_json(self) -> str:
        """The whole plan as JSON, with its format and digest."""
        # Appended to, a text grows where it stands; joined, all of it would be copied at once.
        text = ""
        for piece in self.to_json_pieces():
            text += piece.decode()
        return text

    def to_json_pieces(self, digest: str | None = None) -> Iterator[bytes]:
        """Yield what `to_json` returns in pieces, so that a large plan is not held twice.

        Args:
            digest: the plan's, where it is known already.
        """
        digest = self.digest if digest is None else digest
        yield encode_json({"format": FORMAT, "digest": digest})[:-1] + b',"plan":'
        yield from self._pieces()
        yield b"}"

    @staticmethod
    def read_as_written(data: bytes | bytearray) -> Plan | None:
        """Read what `to_json` wrote, a part at a time; None for any other text.

        No call of it takes long: while one runs, no other thread does. Where the parts begin is
        found by bytes that cannot stand inside of a string, as their quotes would be escaped; that
        they were the right ones, the digest shows.

        Args:
            data: UTF-8.
        """
        head = _WRITTEN.match(data)
        if head is None:
            return None
        try:
            shared: dict[Any, Any] = {}
            begin = data.index(b'"steps":[', head.end())
            steps, at = _read_array(
                data, begin + 9, b'},{"action":', b'],"skips":[', list[Step], shared
            )
            skips, at = _read_array(
                data, at + 11, b'},{"code":', b'],"listing_counts":', list[SkippedStep], shared
            )
            rest = data[head.end() - 1 : begin] + b'"steps":[],"skips":[' + data[at:-1]
            found = msgspec.convert(msgspec.json.decode(rest), Plan)
            _check_steps(steps)
            plan = attrs.evolve(found, steps=kept(steps), skips=kept(skips), sighting=None)
            return plan if plan.digest == head[1].decode() else None
        except (PlanError, ValueError, OverflowError, RecursionError):
            return None

    @classmethod
    def from_json(cls, text: str | bytes | bytearray) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            PlanError: another format, edited since, or not a plan at all.
        """
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        plan = cls.read_as_written(data)
        if plan is not None:
            return plan
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise PlanError("not a saved plan: it is not JSON") from None
        if not isinstance(document, dict) or "format" not in document or "plan" not in document:
            raise PlanError("not a saved plan: save one with save_plan")
        if document["format"] != FORMAT:
            raise PlanError(
                f"the plan has format {document['format']!r}, this version reads {FORMAT}: "
                "plan again"
            )
        try:
            plan = msgspec.convert(document["plan"], cls)
            _check_steps(plan.steps)
        except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
            raise PlanError(f"the saved plan cannot be read: {error}; plan again") from None
        plan = attrs.evolve(plan, steps=kept(plan.steps), skips=kept(plan.skips), sighting=None)
        if plan.digest != document.get("digest"):
            raise PlanError("the saved plan was edited: plan again")
        return plan


# In the order in which they are written.
_SAVED: Final = tuple(field.name for field in attrs.fields(Plan) if not field.name.startswith("_"))


def _read_array(
    data: bytes | bytearray,
    start: int,
    between: bytes,
    behind: bytes,
    kind: type[list[R]],
    shared: dict[Any, Any],
) -> tuple[CompactRows[R], int]:
    """Read the items of an array in parts.

    Args:
        data: the whole text.
        start: where the first item begins, or the array ends.
        between: stands between two items: the end of one, and the beginning of the other.
        behind: what the array ends with.
        kind: of the array.
        shared: texts that are there already; what is equal becomes one object.

    Returns:
        The items, and where `behind` begins.
    """
    decode = msgspec.json.Decoder(kind).decode
    items: CompactRows[R] = CompactRows()
    while True:
        cut = data.find(between, start + _PART_BYTES)
        end = -1
        if cut < 0:
            end = data.index(behind, max(0, start - 1))
        part = decode(b"[" + data[start : cut + 1 if cut >= 0 else end] + b"]")
        for item in part:
            _share(item, shared)
        items.extend(part)
        if cut < 0:
            return items, end
        start = cut + 2


def _share(item: Any, shared: dict[Any, Any]) -> None:
    """Let what many steps have in common be one object: a plan that is read has each by itself."""
    for field in _SHARED[type(item)]:
        value = getattr(item, field)
        msgspec.structs.force_setattr(item, field, shared.setdefault(value, value))


# Texts that many of them have in common.
_SHARED: Final[Mapping[type, tuple[str, ...]]] = {
    Step: ("region", "volume_id", "volume_name", "tags", "depends_on", "reason"),
    SkippedStep: ("region", "code", "reason"),
}


def _check_steps(steps: Iterable[Step]) -> None:
    """Check P2, and the tags, whose names become part of a URL.

    Raises:
        PlanError, InvalidArgumentError: it does not hold.
    """
    keys = IdSet()
    for step in steps:
        if step.key in keys:
            raise PlanError(f"two steps have the key {step.key!r}")
        if step.depends_on and step.depends_on not in keys:
            raise PlanError(
                f"{step.key!r} depends on {step.depends_on!r}, which is no step before it"
            )
        keys.add(step.key)
        if step.action in {"tag_volume", "untag_volume"}:
            check_tags((step.name,))
        elif not step.is_destructive:
            check_tags(step.tags)


def pages_of(count: int) -> int:
    """How many requests it takes to list so many items."""
    return max(1, -(-count // _PER_PAGE))


def account_sample(ids: Callable[[], Iterable[str]], targets: IdSet) -> tuple[str, ...]:
    """Sample the ids evenly; those that are no target of the plan come first.

    Targets may already be deleted on resume, so they cannot identify the account.

    Args:
        ids: returns them, from the first, each time that it is called.
        targets: ids that the plan deletes.
    """

    def lasting() -> Iterable[str]:
        return (each for each in ids() if each not in targets)

    count = sum(1 for _ in lasting())
    found = lasting() if count else ids()
    stride = max(1, (count or sum(1 for _ in ids())) // _SAMPLE_SIZE)
    return tuple(islice(found, 0, stride * _SAMPLE_SIZE, stride))
